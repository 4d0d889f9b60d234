"""Grids by the names that files have for them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from laq.quantizers.grids.base import Grid
from laq.quantizers.grids.codebook import Codebook
from laq.quantizers.grids.equispaced import Uniform
from laq.utils.errors import DataError

_KINDS = {"uniform": Uniform, "codebook": Codebook}


def kind(grid: Grid) -> str:
    """The name of a grid's class in a file."""
    return next(name for name, known in _KINDS.items() if isinstance(grid, known))


def restore(
    name: str, bits: int, scheme: str, fields: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> Grid:
    """The grid that ``fields`` and ``tensors`` describe, of the kind called ``name``.

    Raises ``DataError`` if they describe none.
    """
    if name not in _KINDS:
        raise DataError(f"grid {name!r} is unknown")
    for part, tensor in tensors.items():
        floats = (torch.float32, torch.float64)
        if part != "zero" and tensor.dtype not in floats:
            raise DataError(f"{part} of a grid is {tensor.dtype}")
    wrong = [field for field, value in fields.items() if not _plausible(field, value)]
    try:
        if wrong:
            raise DataError(f"{', '.join(sorted(wrong))} of a grid")
        return _KINDS[name](bits=bits, scheme=scheme, **fields, **tensors)
    except TypeError as error:
        raise DataError(f"{name} grid: {error}") from error


def _plausible(field: str, value: Any) -> bool:
    """Whether JSON gave a value that a grid's field may have."""
    if field in ("gap", "shift"):
        return type(value) is float and math.isfinite(value)
    if field in ("rows", "columns"):
        return value is None or (type(value) is int and value >= 1)
    return type(value) is int and abs(value) <= 2**62
