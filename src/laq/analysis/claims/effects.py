"""One effect with its interval, and p values against lying outside and inside a region.

Means are tested by sign flips at the region's bounds, curves by inverting their bootstrap.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from laq.analysis.claims.rules import Region
from laq.analysis.claims.words import distance
from laq.analysis.observations import DECIMALS
from laq.analysis.statistics import (
    FEWEST,
    Estimate,
    fit_log_curve,
    mean_interval,
    sign_flip_p,
)
from laq.utils.errors import DataError

NONE = float("nan")

# The p value of "the effect is not beyond this bound on this side"; sides: greater, less.
Test = Callable[[float, str], float]


@dataclass(frozen=True)
class Rigour:
    """The confidence level and the numbers of random draws.

    ``resamples``: bootstrap resamples for the interval of a mean. ``flips``: sign flips for its
    p value. ``draws``: bootstrap draws for the band and the p value of a curve. Holm's correction
    multiplies p values by up to a dozen, so the smallest possible one must be low. For a curve
    through 12 subsets it is 0.0067 with 2000 draws and 0.0019 with 50,000.
    """

    confidence: float = 0.95
    resamples: int = 2000
    seed: int = 0
    flips: int = 10_000
    draws: int = 50_000


@dataclass(frozen=True)
class TestedEffect:
    """A measured effect with its p values.

    ``outside`` is the p value against "it lies outside the region": the larger of the bounds'
    one-sided p values (two one-sided tests, Schuirmann 1987). ``inside`` is the smallest p value
    against "it lies inside", not yet corrected for the number of bounds. Both are NaN where the
    data are too few for a test.
    """

    estimate: Estimate
    outside: float = NONE
    inside: float = NONE
    remark: str = ""


def mean(d: NDArray[np.float64], region: Region, rigour: Rigour) -> TestedEffect:
    """The mean of ``d`` (n,), one difference a subset; n at least 1."""
    d = np.round(d, DECIMALS)
    estimate = mean_interval(d, rigour.confidence, rigour.resamples, rigour.seed)

    def test(bound: float, side: str) -> float:
        centred = np.round(d - bound, DECIMALS)
        return sign_flip_p(centred, 0.0, side, resamples=rigour.flips, seed=rigour.seed)

    return TestedEffect(estimate, *_against(region, test))


def curve(
    icd: NDArray[np.float64],
    d: NDArray[np.float64],
    quantile: float,
    region: Region,
    rigour: Rigour,
) -> TestedEffect:
    """The curve a ln(icd) + c fitted to ``d`` (n,), at a quantile of ``icd`` (n,); n at least 1.

    With fewer than ``FEWEST`` subsets there is no interval and no p value. With fewer than three
    there is no curve.
    """
    x = float(np.quantile(icd, quantile))
    d = np.round(d, DECIMALS)
    try:
        fit = fit_log_curve(icd, d, rigour.confidence, rigour.draws, rigour.seed)
    except DataError as error:
        return TestedEffect(Estimate(NONE, NONE, NONE, len(d)), remark=f"no curve: {error}")
    low, high = (float(limit) for limit in fit.band(x))
    estimate = Estimate(float(fit.at(x)), low, high, len(d))
    if len(d) < FEWEST:
        return TestedEffect(
            estimate, remark=f"a curve through fewer than {FEWEST} subsets has no p"
        )
    p = _against(region, lambda bound, side: fit.p_value(x, bound, side))
    return TestedEffect(estimate, *p, remark=f"at an ICD of {distance(x)}")


def _against(region: Region, test: Test) -> tuple[float, float]:
    """(p against outside, p against inside) of one effect."""
    bounds = [(region.low, "greater", "less"), (region.high, "less", "greater")]
    finite = [bound for bound in bounds if np.isfinite(bound[0])]
    outside = max(test(bound, inward) for bound, inward, _ in finite)
    inside = min(test(bound, outward) for bound, _, outward in finite)
    return outside, inside
