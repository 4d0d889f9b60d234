"""Loops that NumPy and torch have no function for, compiled by Numba."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def compiled(**options: Any) -> Callable[[Callable], Callable]:
    """``numba.njit``, with a cache on disk where a folder for it can be written.

    Products and sums may be fused. Nothing else is allowed to change a result.
    """

    def decorate(function: Callable) -> Callable:
        settings = {"nogil": True, "fastmath": {"contract"}, "error_model": "numpy", **options}
        try:
            return numba.njit(cache=True, **settings)(function)
        except RuntimeError:  # numba: no locator available
            return numba.njit(**settings)(function)

    return decorate
