"""Rank correlation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from laq.analysis.statistics.bootstrap import FEWEST, UNKNOWN, Interval, check_confidence
from laq.analysis.statistics.pairs import pairs
from laq.utils.errors import DataError

# Two pairs are in order or not: that is no correlation.
FEWEST_FOR_RANKS = 3


@dataclass(frozen=True)
class Association:
    """Spearman's rho with its interval, the two-sided p of no association, and n pairs.

    All are NaN with fewer than three pairs, or where x or y is constant; the interval is with
    fewer than ``FEWEST``.
    """

    rho: float
    low: float
    high: float
    p: float
    n: int


def spearman(
    x: ArrayLike,
    y: ArrayLike,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Association:
    """Spearman's rank correlation of ``x`` (n,) and ``y`` (n,), a pair a subset.

    p: by permutation of the pairs, all n! of them if they are no more than ``resamples``, else
    so many drawn and the data counted among them. The usual t approximation errs to the small
    side in the tail that Holm's correction looks at (at n = 12 by 1.2 at 0.005, by 1.7 at 0.001).

    Interval: Fisher's z with the variance (1 + ρ²/2)/(n - 3) of Bonett and Wright (2000), about
    a rho no nearer to ±1 than one swap of neighbours, since ranks in perfect order do not prove
    that the next will be. Measured for nominal 95 % intervals of normal pairs, 500 studies each:
    0.95-0.99 for true rho up to 0.8 at n = 6, 12 and 35; at a rho of 0.95 0.97, 0.94 and 0.95,
    at 0.99 0.91, 0.85 and 0.87. Without that bound 0.76 and 0.40 at n = 6. A bootstrap of pairs
    repeats pairs, so that ranks tie, and is wider by up to a half for no more coverage.

    Raises:
        DataError: if x and y differ in length or hold values that are not finite.
        ConfigError: if the confidence is not between 0 and 1.
    """
    from scipy.stats import permutation_test, rankdata

    check_confidence(confidence)
    x, y = _pairs(x, y)
    n = len(x)
    if n < FEWEST_FOR_RANKS or np.ptp(x) == 0 or np.ptp(y) == 0:
        return Association(*[float("nan")] * 4, n)
    ranks = rankdata(x) - (n + 1) / 2
    others = rankdata(y) - (n + 1) / 2
    size = np.sqrt(np.square(ranks).sum() * np.square(others).sum())

    # Ranks are whole or half: their sums of products are exact, and ties are ties.
    def products(ordered: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
        return np.abs((ordered * others).sum(axis=axis))

    p = permutation_test(
        (ranks,),
        products,
        permutation_type="pairings",
        vectorized=True,
        alternative="greater",
        n_resamples=resamples,
        rng=np.random.default_rng(seed),
    ).pvalue
    rho = float((ranks * others).sum() / size)
    return Association(rho, *_interval(rho, n, confidence), float(p), n)


def _interval(rho: float, n: int, confidence: float) -> Interval:
    from scipy.special import ndtri

    if n < FEWEST:
        return UNKNOWN
    # Without ties the largest rho below 1: two neighbours swapped.
    most = 1 - 12 / (n * (n**2 - 1))
    centre = float(np.clip(rho, -most, most))
    half = ndtri((1 + confidence) / 2) * np.sqrt((1 + centre**2 / 2) / (n - 3))
    low, high = np.tanh(np.arctanh(centre) + np.array([-half, half]))
    return (-1.0 if rho <= -most else float(low)), (1.0 if rho >= most else float(high))


def _pairs(x: ArrayLike, y: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both as float64 (n,), if they are finite and of one length."""
    x, y = pairs(x, y)
    unknown = ~(np.isfinite(x) & np.isfinite(y))
    if unknown.any():
        at = int(np.flatnonzero(unknown)[0])
        raise DataError(f"the pair {x[at]:g}, {y[at]:g} at {at} has no rank: leave it out")
    return x, y
