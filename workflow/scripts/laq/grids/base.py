"""What every grid has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor


class Grid(Protocol):
    """bits, scheme: nominal bits and name, as documentation. low, high: range of the codes."""

    bits: int
    scheme: str
    low: int
    high: int

    @property
    def levels(self) -> int:
        """Number of levels."""
        ...

    @property
    def width(self) -> int:
        """Bits that one code takes in a file, ⌈log₂ levels⌉."""
        ...

    def values(self, codes: Tensor) -> Tensor:
        """The levels that ``codes`` (N, d) stand for."""
        ...

    def zeros(self, codes: Tensor) -> int:
        """How many of ``codes`` (N, d) stand for 0."""
        ...

    def clip(self, weight: Tensor) -> Tensor:
        """``weight`` (N, d), what lies beyond the outermost levels moved to these."""
        ...

    def of_rows(self, rows: slice) -> Grid:
        """The grid of some of the rows."""
        ...

    def fits(self, shape: tuple[int, int]) -> bool:
        """Whether it is one for weights (N, d)."""
        ...

    @property
    def mean_step(self) -> float | None:
        """The step in the mean over blocks; None where levels are not equispaced."""
        ...

    @property
    def scales(self) -> Tensor:
        """Floats that levels are computed from, of their dtype."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """What a file holds of it beside codes and ``fields``, by name."""
        ...

    def fields(self) -> dict[str, Any]:
        """The rest, as JSON."""
        ...


class Coded:
    """What follows from a grid's ``low``, ``high`` and ``values``."""

    low: int
    high: int
    values: Callable[[Tensor], Tensor]

    @property
    def levels(self) -> int:
        return self.high - self.low + 1

    def clip(self, weight: Tensor) -> Tensor:
        """``weight`` (N, d), what lies beyond the outermost levels moved to these."""
        lowest, highest = (
            self.values(torch.full_like(weight, code, dtype=self.dtype))
            for code in (self.low, self.high)
        )
        return weight.clamp(lowest, highest)

    @property
    def width(self) -> int:
        return max(1, (self.levels - 1).bit_length())

    @property
    def dtype(self) -> torch.dtype:
        """The integers that codes are kept in."""
        return integers(max(-self.low - 1, self.high))


def integers(largest: int) -> torch.dtype:
    """The smallest signed integers that hold ``largest``, of those arithmetic is fast on."""
    if largest < 2**7:
        return torch.int8
    return torch.int32 if largest < 2**31 else torch.int64
