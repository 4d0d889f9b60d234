"""Paired differences: one number a subset, their mean, its interval and its test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from laq.analysis.statistics.bootstrap import (
    FEWEST,
    UNKNOWN,
    Alternative,
    Interval,
    check_confidence,
    expanded_tail,
)
from laq.utils.errors import ConfigError, DataError

# The mean over strata of few numbers each: repeats of the same training, say, by bit width.


@dataclass(frozen=True)
class StratifiedMean:
    """The mean of strata's means, its standard error, and the error's degrees of freedom, free.

    n: the number of values in all strata. Where a stratum has fewer than two, error and free are
    NaN, and so are intervals and p values.
    """

    value: float
    error: float
    free: float
    n: int

    def interval(self, confidence: float = 0.95) -> Interval:
        """Student's; raises ``ConfigError`` unless the confidence is between 0 and 1."""
        from scipy.special import stdtrit

        check_confidence(confidence)
        if not self.free > 0:
            return UNKNOWN
        half_width = -float(stdtrit(self.free, (1 - confidence) / 2)) * self.error
        return self.value - half_width, self.value + half_width

    def p_value(self, bound: float, alternative: Alternative) -> float:
        """p against "the mean is not beyond ``bound``", on the side ``greater`` or ``less``."""
        from scipy.special import stdtr

        if not self.free > 0:
            return float("nan")
        distance = self.value - bound if alternative == "greater" else bound - self.value
        if self.error == 0:
            return float(distance <= 0)
        return float(stdtr(self.free, -distance / self.error))


def stratified_mean(strata: Sequence[ArrayLike], resolution: float = 0.0) -> StratifiedMean:
    """The mean over strata of the mean of each, (n_s,) numbers that chance alone tells apart.

    Each stratum has a variance of its own; degrees of freedom are Satterthwaite's (1946), as in
    Welch's test. It is meant for a handful of numbers, for which sign flips and bootstraps give no
    small p value: three numbers have eight flips. The numbers are taken as normal, as means of many
    images nearly are.

    resolution: the step in which a number is known, such as one image in n. The variance of a
    stratum is at least that of rounding to it, resolution² / 12.

    Measured for nominal 95 % intervals of normal numbers, three a stratum, 4000 studies each: 0.95
    of one stratum, 0.95-0.98 of two to six, whether alike or with deviations of 1 to 10.

    Raises:
        DataError: no strata, an empty one, or numbers that are not finite.
    """
    values = [np.asarray(stratum, dtype=np.float64) for stratum in strata]
    if not values or any(v.ndim != 1 or not len(v) or not np.isfinite(v).all() for v in values):
        raise DataError("a mean over strata needs strata, each a list of finite numbers")
    n = sum(map(len, values))
    mean = float(np.mean([v.mean() for v in values]))
    if any(len(v) < 2 for v in values):
        return StratifiedMean(mean, float("nan"), float("nan"), n)
    min_variance = resolution**2 / 12
    variances = np.array([max(v.var(ddof=1), min_variance) / len(v) for v in values])
    if not variances.any():
        return StratifiedMean(mean, 0.0, float(n - len(values)), n)
    dof = variances.sum() ** 2 / sum(
        variance**2 / (len(v) - 1) for variance, v in zip(variances, values, strict=True)
    )
    return StratifiedMean(mean, float(np.sqrt(variances.sum()) / len(values)), float(dof), n)


# Several tests at once.


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """Holm's adjusted p values (m,), float64: reject those below α to err at all with chance α.

    The k-th smallest of m is multiplied by m - k + 1, and is no less than those before it and
    no more than 1 (Holm 1979). NaN stands for a test that was not made: it stays NaN, and the
    family is the rest.

    Raises:
        DataError: a p that is not between 0 and 1, or no list.
    """
    p = np.asarray(p, dtype=np.float64)
    if p.ndim != 1:
        raise DataError(f"p values of shape {p.shape}: give a list")
    invalid = (p < 0) | (p > 1)
    if invalid.any():
        raise DataError(f"p = {p[invalid][0]:g} is not between 0 and 1")
    adjusted = np.full(p.shape, np.nan)
    order = np.flatnonzero(~np.isnan(p))
    order = order[np.argsort(p[order], kind="stable")]
    scaled = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted


# Differences of rates are sums of fractions that floating point rounds. Two flips are the same
# where their sums differ by less than this share of the sum of absolute values.
TIE = 1e-9


@dataclass(frozen=True)
class Estimate:
    """A value with its interval, and the number of subsets behind it.

    Where subsets are too few for an interval its ends are NaN.
    """

    value: float
    low: float
    high: float
    n: int


def mean_interval(
    d: ArrayLike, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Estimate:
    """The mean of ``d`` (n,), one number a subset, with an expanded percentile interval.

    No d gives NaN; fewer than ``FEWEST`` give a mean without an interval.

    Measured for nominal 95 % intervals, 1000 simulated studies each: at n = 12 and 35 these
    cover 0.94-0.95 where d is normal, heavy-tailed (t of 3 degrees) or of falling scale; where
    it is as skewed as the exponential, 0.91 and 0.94. At n = 6 that is 0.92-0.94 and 0.87.

    Raises:
        DataError: if d is not a list of finite numbers.
        ConfigError: if the confidence is not between 0 and 1.
    """
    from scipy.stats import bootstrap

    check_confidence(confidence)
    d = _numbers(d)
    n = len(d)
    if n < FEWEST:
        return Estimate(float(d.mean()) if n else float("nan"), *UNKNOWN, n)
    tail = expanded_tail(n, 1, confidence)
    interval = bootstrap(
        (d,),
        np.mean,
        n_resamples=resamples,
        confidence_level=1 - 2 * tail,
        method="percentile",
        vectorized=True,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Estimate(float(d.mean()), float(interval.low), float(interval.high), n)


def sign_flip_p(
    d: ArrayLike,
    bound: float = 0.0,
    alternative: Alternative = "two-sided",
    resamples: int = 10_000,
    seed: int = 0,
) -> float:
    """p of the sign-flip test that the differences ``d`` (n,) lie symmetrically about ``bound``.

    ``greater``: small where the mean of d is above the bound. All 2ⁿ flips are counted where
    they are no more than ``resamples``, else so many are drawn and the data counted among them
    (Phipson and Smyth 2010), so that p is never 0. No d at all gives NaN.

    It is exact for symmetric d, whatever their scales. Taken for a test of the mean of skewed d,
    one side errs more often: of exponential ones at a nominal 0.05 at n = 12, 0.12 on the side
    of the short tail and 0.02 on the other, 0.09 two-sided; at n = 35 0.09, 0.03 and 0.07. A
    bootstrap of the studentised mean has 0.075 there at n = 12: few skewed numbers have no
    better than fair tests.

    Raises:
        DataError: if d is not a list of finite numbers.
        ConfigError: an alternative of another name.
    """
    from scipy.stats import permutation_test

    if alternative not in ("two-sided", "greater", "less"):
        raise ConfigError(f"the alternative {alternative!r} is none of two-sided, greater, less")
    d = _numbers(d)
    if not len(d):
        return float("nan")
    centred = d - bound
    tolerance = TIE * (np.abs(d).sum() + len(d) * abs(bound))
    if alternative == "less":
        centred = -centred
    if len(centred) == 1:
        centred = np.append(centred, 0.0)  # scipy wants two, and a 0 flips into itself
    null = permutation_test(
        (centred,),
        np.sum,
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        rng=np.random.default_rng(seed),
    ).null_distribution
    observed = centred.sum()
    if alternative == "two-sided":
        observed, null = abs(observed), np.abs(null)
    # scipy's own count has a tolerance for ties that is relative to the observed sum. It vanishes
    # where that sum should be 0.
    extreme = int((null >= observed - tolerance).sum())
    sampled = 2 ** len(centred) > resamples
    return (extreme + sampled) / (len(null) + sampled)


def _numbers(d: ArrayLike) -> NDArray[np.float64]:
    """``d`` as float64 (n,), if it is a list of finite numbers."""
    d = np.asarray(d, dtype=np.float64)
    if d.ndim != 1:
        raise DataError(f"differences of shape {d.shape}: give one number a subset")
    if not np.isfinite(d).all():
        index = int(np.flatnonzero(~np.isfinite(d))[0])
        raise DataError(f"the difference is {d[index]} at subset {index}: leave it out, or mend it")
    return d
