"""Loops that numpy and torch have no word for, compiled by Numba."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def compiled(**options: Any) -> Callable[[Callable], Callable]:
    """``numba.njit``, kept on disk between processes where a folder for it can be written.

    Products and sums may fuse; nothing else is allowed to change a result.
    """

    def decorate(function: Callable) -> Callable:
        settings = {"nogil": True, "fastmath": {"contract"}, "error_model": "numpy", **options}
        try:
            return numba.njit(cache=True, **settings)(function)
        except RuntimeError:  # numba: no locator available
            return numba.njit(**settings)(function)

    return decorate
