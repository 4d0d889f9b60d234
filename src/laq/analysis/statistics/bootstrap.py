"""Expanded percentiles: bootstrap intervals with their nominal coverage for a dozen points.

Plain percentile intervals of a bootstrap are too short for few points: they miss the factor
n / (n - k) of the variance about k fitted parameters, and Student's t. So the percentiles are
taken further out, at ``Φ(√(n/(n-k)) t(α/2; n-k))`` (Hesterberg 2015).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from laq.utils.errors import ConfigError

Interval = tuple[float, float]
Alternative = Literal["two-sided", "greater", "less"]

# With fewer points resamples repeat too few of them: at 3 to 5 points nominal 95 % bands cover 54
# to 90 %. Results of so few points have no interval.
FEWEST = 6

UNKNOWN: Interval = (float("nan"), float("nan"))


def expanded_tail(n: int, parameters: int, confidence: float) -> float:
    """Share of resamples beyond each end of an interval from n points about k ``parameters``.

    Raises:
        ConfigError: if the confidence is not between 0 and 1.
    """
    from scipy.special import ndtr, stdtrit

    check_confidence(confidence)
    dof = n - parameters
    return float(ndtr(np.sqrt(n / dof) * stdtrit(dof, (1 - confidence) / 2)))


def p_of_draws(
    draws: NDArray[np.float64], bound: float, alternative: Alternative, n: int, parameters: int
) -> float:
    """The p value that the interval of ``draws`` (B,) implies: it inverts ``expanded_tail``.

    ``greater``: p against "the quantity is at most ``bound``". The share of draws up to the
    bound becomes a normal quantile, and that, shrunk by √((n-k)/n), a tail of Student's t. So
    p < α/2 exactly when the interval at confidence 1 - α lies above the bound, and the
    two-sided p, twice the smaller, is below α exactly when the interval excludes it. B draws
    cannot tell shares below 1/(B+1), which bounds p from below: 12 points about a line and
    2000 draws give no p under 0.0067 on one side, 10,000 none under 0.0034. Where the tail
    of the interval is less than that share, p stays above α, since the draws do not reach it.

    No draws give NaN.

    Raises:
        ConfigError: an alternative of another name.
    """
    if alternative not in ("two-sided", *_SIDES):
        raise ConfigError(
            f"the alternative {alternative!r} is none of two-sided, {', '.join(_SIDES)}"
        )
    if not len(draws):
        return float("nan")
    if alternative == "two-sided":
        return min(1.0, 2 * min(p_of_draws(draws, bound, side, n, parameters) for side in _SIDES))
    from scipy.special import ndtri, stdtr

    if alternative == "less":
        draws, bound = -draws, -bound
    smallest = 1 / (len(draws) + 1)
    share = min(max(_share_up_to(np.sort(draws), bound), smallest), 1 - smallest)
    dof = n - parameters
    return float(stdtr(dof, np.sqrt(dof / n) * ndtri(share)))


def check_confidence(confidence: float) -> None:
    """Raises ConfigError unless the confidence is between 0 and 1."""
    if not 0 < confidence < 1:
        raise ConfigError(f"a confidence of {confidence} makes no interval: give one such as 0.95")


_SIDES: tuple[Alternative, Alternative] = ("greater", "less")


def _share_up_to(ordered: NDArray[np.float64], bound: float) -> float:
    """The inverse of ``np.quantile``: the largest share whose quantile is at most ``bound``."""
    last = int(np.searchsorted(ordered, bound, side="right")) - 1
    if last < 0:
        return 0.0
    if last == len(ordered) - 1:
        return 1.0
    low, high = ordered[last], ordered[last + 1]
    return float((last + (bound - low) / (high - low)) / (len(ordered) - 1))
