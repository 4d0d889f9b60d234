"""How far a network can be compressed at a given accuracy: where its curve falls below that.

Accuracy against ratio is measured at a few points, each of them a training with its own luck. It is
taken to fall, never to rise, as files get smaller: so the points are replaced by the nearest
falling sequence (isotonic regression), and between two of them by a line over ln(ratio).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from laq.utils.errors import DataError

FLOAT = 1.0  # the ratio of the network in float, which is as accurate as itself
ROUNDING = 1e-12  # by which an accuracy may miss the level and be taken to reach it


@dataclass(frozen=True)
class Reach:
    """The largest ratio at which the level is kept: ``ratio``, surely from ``low`` to ``high``.

    Where the curve crosses the level all three are the same. Where even its first point is below,
    they are that point's ratio, ``FLOAT`` and again the point's: at most so far. Where even its
    last one is not below, they are that point's, the same, and infinity: at least so far.
    """

    ratio: float
    low: float
    high: float

    @property
    def censored(self) -> bool:
        return self.low < self.high


def reach(ratios: ArrayLike, top1: ArrayLike, level: float) -> Reach:
    """How far a curve through the points ``ratios`` (n,), ``top1`` (n,) keeps ``level``.

    In any order; of the same ratio the mean counts. Raises ``DataError`` where there is no point,
    and for numbers that are not finite or ratios not above 0.
    """
    x, y = _falling(ratios, top1)
    if y[0] < level - ROUNDING:
        return Reach(float(x[0]), min(FLOAT, float(x[0])), float(x[0]))
    last = int(np.flatnonzero(y >= level - ROUNDING)[-1])
    if last == len(y) - 1:
        return Reach(float(x[last]), float(x[last]), float("inf"))
    part = (y[last] - level) / (y[last] - y[last + 1])
    part = min(max(part, 0.0), 1.0)  # but for rounding
    at = float(x[last] * (x[last + 1] / x[last]) ** part)
    return Reach(at, at, at)


def _falling(ratios: ArrayLike, top1: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Different ratios, ascending, and accuracies that do not rise: the nearest by squares."""
    from scipy.optimize import isotonic_regression

    x, y = (np.asarray(each, dtype=np.float64) for each in (ratios, top1))
    if x.ndim != 1 or x.shape != y.shape or not x.size:
        raise DataError(f"a curve needs a ratio and an accuracy a point, not {x.shape}, {y.shape}")
    if not (np.isfinite(x) & np.isfinite(y) & (x > 0)).all():
        raise DataError("a curve's ratios and accuracies are finite, and ratios above 0")
    different, place, counts = np.unique(x, return_inverse=True, return_counts=True)
    means = np.bincount(place, y) / counts
    return different, isotonic_regression(means, weights=counts, increasing=False).x
