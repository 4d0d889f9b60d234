"""Several tests at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from laq.utils.errors import DataError


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
    wrong = (p < 0) | (p > 1)
    if wrong.any():
        raise DataError(f"p = {p[wrong][0]:g} is not between 0 and 1")
    adjusted = np.full(p.shape, np.nan)
    made = np.flatnonzero(~np.isnan(p))
    made = made[np.argsort(p[made], kind="stable")]
    steps = p[made] * np.arange(len(made), 0, -1)
    adjusted[made] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted
