"""Two lists of numbers, a pair a point."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from laq.utils.errors import DataError


def pairs(x: ArrayLike, y: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """``x`` and ``y`` as float64 (n,).

    Raises:
        DataError: if they are no lists, or differ in length.
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape:
        raise DataError(
            f"x of shape {x.shape} and y of shape {y.shape}: give two lists of equal length"
        )
    return x, y
