"""Levels of any value, in a table."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from laq.quantizers.grids.base import Coded
from laq.utils.errors import DataError


@dataclass(frozen=True, eq=False)
class Codebook(Coded):
    """Levels of any value: code c stands for table[row's block, c − low].

    table: (R, K) ascending, float32 or float64; R = ⌈N / rows⌉, or 1 where ``rows`` is None and all
    rows share it. K = high − low + 1.

    Raises ``DataError`` for a table that is not ascending and finite, or of another size.
    """

    table: Tensor
    bits: int
    scheme: str
    rows: int | None = None

    def __post_init__(self) -> None:
        if self.table.ndim != 2 or 0 in self.table.shape or not self.table.isfinite().all():
            raise DataError(f"the table of a codebook is {tuple(self.table.shape)}, or not finite")
        if bool((self.table.diff(dim=1) < 0).any()):
            raise DataError("the table of a codebook must be ascending")

    @property
    def scales(self) -> Tensor:
        return self.table

    @property
    def mean_step(self) -> None:
        return None

    @property
    def low(self) -> int:
        """The first code, so that codes are signed as wide as they are stored."""
        return -(1 << max(0, (self.table.shape[1] - 1).bit_length() - 1))

    @property
    def high(self) -> int:
        return self.low + self.table.shape[1] - 1

    def nearest(self, values: Tensor) -> Tensor:
        """Codes of the levels nearest to finite ``values`` (N, d), of two the lower."""
        codes = torch.empty_like(values, dtype=self.dtype)
        for table, rows in zip(self.table, self._parts(len(values)), strict=True):
            between = (table[1:].double() + table[:-1].double()) / 2
            place = torch.searchsorted(between, values[rows].double().contiguous())
            codes[rows] = (place + self.low).to(self.dtype)
        return codes

    def values(self, codes: Tensor) -> Tensor:
        """The levels of ``codes`` (N, d), in the dtype of ``table``."""
        values = torch.empty_like(codes, dtype=self.table.dtype)
        for table, rows in zip(self.table, self._parts(len(codes)), strict=True):
            values[rows] = table[codes[rows].long() - self.low]
        return values

    def zeros(self, codes: Tensor) -> int:
        """How many of ``codes`` (N, d) stand for 0."""
        return codes.numel() - int(self.values(codes).count_nonzero())

    def of_rows(self, rows: slice) -> Codebook:
        """The grid of some of the rows, ``rows`` being bounded and without a stride."""
        if self.rows is None:
            return self
        if rows.start % self.rows == 0:
            part = slice(rows.start // self.rows, -(-rows.stop // self.rows))
            return replace(self, table=self.table[part])
        each = self.table.repeat_interleave(self.rows, 0)[rows.start : rows.stop]
        return replace(self, table=each, rows=1)

    def fits(self, shape: tuple[int, int]) -> bool:
        """Whether the tables are those of weights (N, d)."""
        return len(self.table) == -(-shape[0] // (self.rows or shape[0]))

    def tensors(self) -> dict[str, Tensor]:
        return {"table": self.table}

    def fields(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def _parts(self, count: int) -> list[slice]:
        size = self.rows or count
        return [slice(first, first + size) for first in range(0, count, size)]
