"""Rates of counted images."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from laq.analysis.statistics.bootstrap import check_confidence
from laq.utils.errors import DataError


def wilson_interval(
    correct: ArrayLike, n: ArrayLike, confidence: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Wilson's score interval of the rate ``correct / n``: (low, high), float64.

    ``correct`` and ``n`` are counts and broadcast together (Wilson 1927). The interval
    stays within 0..1 and has a width at rates of 0 and 1, where the usual ±1.96 σ has none.

    Raises:
        DataError: unless 0 <= correct <= n and n >= 1 throughout.
        ConfigError: if the confidence is not between 0 and 1.
    """
    from scipy.special import ndtri

    check_confidence(confidence)
    correct, n = np.broadcast_arrays(
        np.asarray(correct, dtype=np.float64), np.asarray(n, dtype=np.float64)
    )
    invalid = ~((n >= 1) & (correct >= 0) & (correct <= n))
    if invalid.any():
        raise DataError(
            f"{correct[invalid][0]:g} correct of {n[invalid][0]:g} is not a rate: "
            "give counts with 0 <= correct <= n and n at least 1"
        )
    z = ndtri((1 + confidence) / 2)
    rate = correct / n
    centre = (rate + z**2 / (2 * n)) / (1 + z**2 / n)
    half_width = z / (1 + z**2 / n) * np.sqrt(rate * (1 - rate) / n + z**2 / (4 * n**2))
    # At the ends the formula gives 0 and 1 but for rounding.
    low = np.where(correct == 0, 0.0, centre - half_width)
    high = np.where(correct == n, 1.0, centre + half_width)
    return low, high


def difference_interval(
    first: ArrayLike, second: ArrayLike, n: ArrayLike, confidence: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Interval of the rate ``first / n`` less ``second / n``: (low, high), float64.

    The ends of the two Wilson intervals, squared and added (Newcombe 1998, method 10), which
    takes the two for independent. Of networks tested on the same images, most of which both have
    right, it is rather too long; the counts alone do not say by how much.

    Raises:
        DataError, ConfigError: as ``wilson_interval``.
    """
    counts = [np.asarray(correct, dtype=np.float64) for correct in (first, second)]
    intervals = [wilson_interval(correct, n, confidence) for correct in counts]
    (p, q), ((p_low, p_high), (q_low, q_high)) = (
        (count / np.asarray(n) for count in counts),
        intervals,
    )
    return p - q - np.hypot(p - p_low, q_high - q), p - q + np.hypot(p_high - p, q - q_low)
