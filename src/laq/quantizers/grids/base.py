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

    def clipping(self, weight: Tensor) -> float:
        """‖W − clip(W)‖² of ``weight`` W (N, d), clipped to the outermost levels."""
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
    by_row = True  # whether all columns of a row have the same levels

    @property
    def levels(self) -> int:
        return self.high - self.low + 1

    def clipping(self, weight: Tensor) -> float:
        """‖W − clip(W)‖² of ``weight`` W (N, d), clipped to the outermost levels."""
        each = weight[:, :1] if self.by_row else weight
        low, high = (
            self.values(torch.full_like(each, code, dtype=self.dtype))
            for code in (self.low, self.high)
        )
        if self.by_row:  # most filters lie within
            least, largest = weight.aminmax(dim=1, keepdim=True)
            rows = ((least < low) | (largest > high))[:, 0]
            weight, low, high = weight[rows], low[rows], high[rows]
        return float((weight - weight.clamp(low, high)).double().square().sum())

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
