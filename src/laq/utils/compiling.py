"""Loops that numpy and torch have no word for, compiled by Numba where it is installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

# Programs that load checkpoints may lack it, and those that quantize a few layers.
HAS_NUMBA = importlib.util.find_spec("numba") is not None


def compiled(**options: Any) -> Callable[[Callable], Callable]:
    """``numba.njit``, kept on disk between processes where a folder for it can be written.

    Products and sums may fuse. Nothing else is allowed to change a result. Without Numba the loop
    stays plain Python.
    """
    if not HAS_NUMBA:
        return lambda function: function
    import numba

    def decorate(function: Callable) -> Callable:
        settings = {"nogil": True, "fastmath": {"contract"}, "error_model": "numpy", **options}
        try:
            return numba.njit(cache=True, **settings)(function)
        except RuntimeError:  # numba: no locator available
            return numba.njit(**settings)(function)

    return decorate
