"""How far a network can be compressed at a given accuracy: where its curve falls below that.

Accuracy against ratio is measured at a few points, each of them a training with its own noise.
Accuracy is assumed never to rise as files get smaller. So the points are replaced by the nearest
falling sequence (isotonic regression). Between two of them the curve is a line over ln(ratio).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from laq.utils.errors import DataError

FLOAT = 1.0  # the ratio of the network in float
ROUNDING = 1e-12  # an accuracy that misses the level by less reaches it


@dataclass(frozen=True)
class Reach:
    """The largest ratio at which the level is kept: ``ratio``, within ``low`` and ``high``.

    Where the curve crosses the level all three are the same. Where its first point is already
    below, ``ratio`` and ``high`` are that point's ratio, and ``low`` is ``FLOAT``, or the point's
    where that is less: an upper bound. Where its last point is not below, ``ratio`` and ``low`` are
    that point's, and ``high`` is infinity: a lower bound.
    """

    ratio: float
    low: float
    high: float

    @property
    def censored(self) -> bool:
        return self.low < self.high


def reach(ratios: ArrayLike, top1: ArrayLike, level: float) -> Reach:
    """How far a curve through the points ``ratios`` (n,), ``top1`` (n,) keeps ``level``.

    Points may be in any order; points of the same ratio are averaged. Raises ``DataError`` where
    there is no point, and for numbers that are not finite or ratios not above 0.
    """
    x, y = _falling(ratios, top1)
    if y[0] < level - ROUNDING:
        return Reach(float(x[0]), min(FLOAT, float(x[0])), float(x[0]))
    last = int(np.flatnonzero(y >= level - ROUNDING)[-1])
    if last == len(y) - 1:
        return Reach(float(x[last]), float(x[last]), float("inf"))
    fraction = (y[last] - level) / (y[last] - y[last + 1])
    fraction = min(max(fraction, 0.0), 1.0)  # but for rounding
    ratio = float(x[last] * (x[last + 1] / x[last]) ** fraction)
    return Reach(ratio, ratio, ratio)


def _falling(ratios: ArrayLike, top1: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Unique ratios, ascending, and the nearest accuracies by squares that do not rise."""
    from scipy.optimize import isotonic_regression

    x, y = (np.asarray(values, dtype=np.float64) for values in (ratios, top1))
    if x.ndim != 1 or x.shape != y.shape or not x.size:
        raise DataError(f"a curve needs a ratio and an accuracy a point, not {x.shape}, {y.shape}")
    if not (np.isfinite(x) & np.isfinite(y) & (x > 0)).all():
        raise DataError("a curve's ratios and accuracies are finite, and ratios above 0")
    unique_ratios, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    means = np.bincount(inverse, y) / counts
    return unique_ratios, isotonic_regression(means, weights=counts, increasing=False).x
