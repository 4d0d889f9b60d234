"""Equispaced levels, with zero points, a gap around zero or a shift."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from laq.quantizers.grids.base import Coded
from laq.utils.errors import DataError


@dataclass(frozen=True, eq=False)
class Uniform(Coded):
    """Equispaced levels: code c stands for step · k, with k = c − zero.

    step: positive, () or (R, B), float32 or float64, the dtype of the weights it is meant for.
    low, high: no code goes beyond them. zero: integers in the shape of ``step``, the code of 0,
    which is 0 where None. gap: levels but 0 are moved outwards, to step · (k + sign(k) · gap).
    shift: levels are moved up, to step · (k + shift); ½ has no level at 0. rows, columns: that
    share a scale where ``step`` is (R, B), all columns where None.

    Raises ``DataError`` for a step that is not positive and finite, and for a zero point that is
    no code.
    """

    step: Tensor
    low: int
    high: int
    bits: int
    scheme: str
    zero: Tensor | None = None
    gap: float = 0.0
    shift: float = 0.0
    rows: int = 1
    columns: int | None = None

    def __post_init__(self) -> None:
        if self.step.ndim not in (0, 2) or not bool(((self.step > 0) & self.step.isfinite()).all()):
            raise DataError("the step of a grid must be positive and finite, and () or (R, B)")
        if self.low > 0 or self.high < self.low or self.rows is None:
            raise DataError(f"a grid of codes from {self.low} to {self.high}, {self.rows} rows")
        zero = self.zero
        if zero is not None:
            if zero.shape != self.step.shape or zero.is_floating_point():
                raise DataError(f"zero points {zero.dtype} {tuple(zero.shape)} of a grid")
            if bool(((zero < self.low) | (zero > self.high)).any()):
                raise DataError(f"zero points go beyond {self.low} and {self.high}")

    @property
    def scales(self) -> Tensor:
        return self.step

    @property
    def mean_step(self) -> float:
        return float(self.step.double().mean())

    @property
    def has_zero(self) -> bool:
        """Whether 0 is a level."""
        return self.shift == 0

    @property
    def by_row(self) -> bool:
        """Whether all columns of a row have one step."""
        return self.step.ndim == 0 or self.step.shape[1] == 1

    def steps(self, shape: tuple[int, int]) -> Tensor:
        """The step of each of (N, d) weights, () or (N, 1) or (N, d)."""
        return self._spread(self.step, shape)

    def zero_points(self, shape: tuple[int, int]) -> Tensor:
        """The zero point of each of (N, d) weights, () or (N, 1) or (N, d)."""
        zero = self.zero if self.zero is not None else self.step.new_zeros((), dtype=torch.int8)
        return self._spread(zero, shape)

    def bounds(self, shape: tuple[int, int], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """The range of k for (N, d) weights, in the shape of ``zero_points``, as floats.

        Within it also where ``dtype`` does not hold it, like 2³¹ − 1 in float32.
        """
        zero = self.zero_points(shape).to(torch.int64)
        ends = self.low - zero, self.high - zero
        return tuple(_toward_zero(end, dtype) for end in ends)

    def nearest(self, values: Tensor) -> Tensor:
        """Codes of the levels nearest to finite ``values`` (N, d), for a grid without a gap.

        Halfway values go to the even k, here and in every solver; values beyond the last level go
        to it.
        """
        if self.gap:
            raise ValueError("the levels of a grid with a gap are not equispaced")
        low, high = self.bounds(values.shape, values.dtype)
        scaled = values / self.steps(values.shape)
        if self.shift:
            scaled -= self.shift
        return self.from_centred(scaled.round_().clamp_(low, high))

    def from_centred(self, k: Tensor) -> Tensor:
        """Codes from whole numbers k (N, d) of any type."""
        if self.zero is None:
            return k.to(self.dtype)
        return (k.to(torch.int64) + self.zero_points(k.shape)).to(self.dtype)

    def centred(self, codes: Tensor) -> Tensor:
        """Integers k (N, d) from codes."""
        return codes if self.zero is None else codes.to(torch.int64) - self.zero_points(codes.shape)

    def in_steps(self, codes: Tensor) -> Tensor:
        """The levels of ``codes`` (N, d) over their steps, in the dtype of ``step``."""
        k = self.centred(codes).to(self.step.dtype, copy=True)
        if self.gap:
            k += k.sign() * self.gap
        if self.shift:
            k += self.shift
        return k

    def values(self, codes: Tensor) -> Tensor:
        """The levels of ``codes`` (N, d), in the dtype of ``step``."""
        return self.in_steps(codes).mul_(self.steps(codes.shape))

    def ends(self) -> tuple[float, float]:
        """The lowest and the highest level over their steps, of all zero points."""
        zero = torch.zeros((), dtype=torch.int8) if self.zero is None else self.zero
        low = self.low - int(zero.max()) - self.gap + self.shift
        return low, self.high - int(zero.min()) + self.gap + self.shift

    def zeros(self, codes: Tensor) -> int:
        """How many of ``codes`` (N, d) stand for 0."""
        return codes.numel() - int(self.centred(codes).count_nonzero()) if self.has_zero else 0

    def of_rows(self, rows: slice) -> Uniform:
        """The grid of some of the rows, ``rows`` being bounded and without a stride."""
        if self.step.ndim == 0:
            return self
        if rows.start % self.rows == 0:
            part = slice(rows.start // self.rows, -(-rows.stop // self.rows))
            return self._of(lambda scales: scales[part], self.rows)
        # A block is cut: a scale for each row.
        return self._of(
            lambda scales: scales.repeat_interleave(self.rows, 0)[rows.start : rows.stop], 1
        )

    def of_columns(self, column: int) -> Uniform:
        """The grid, with one scale a row, of the columns that share theirs with this one."""
        if self.by_row:
            return self
        place = column // self.columns
        return self._of(lambda scales: scales[:, place : place + 1], self.rows)

    def fits(self, shape: tuple[int, int]) -> bool:
        """Whether the scales are those of weights (N, d)."""
        if self.step.ndim == 0:
            return True
        columns = self.columns or shape[1]
        return self.step.shape == (-(-shape[0] // self.rows), -(-shape[1] // columns))

    def tensors(self) -> dict[str, Tensor]:
        return {"step": self.step} | ({} if self.zero is None else {"zero": self.zero})

    def fields(self) -> dict[str, Any]:
        shared = {} if self.step.ndim == 0 else {"rows": self.rows, "columns": self.columns}
        moved = {"gap": float(self.gap), "shift": float(self.shift)}
        return {"low": self.low, "high": self.high, **moved, **shared}

    def _of(self, cut: Callable[[Tensor], Tensor], rows: int) -> Uniform:
        zero = None if self.zero is None else cut(self.zero)
        return replace(self, step=cut(self.step), zero=zero, rows=rows)

    def _spread(self, scales: Tensor, shape: tuple[int, int]) -> Tensor:
        return spread(scales, shape, self.rows, self.columns)


def spread(scales: Tensor, shape: tuple[int, int], rows: int, columns: int | None) -> Tensor:
    """Scales (R, B) as (N, 1), or where B is not 1 as (N, d); () stays."""
    if scales.ndim == 0:
        return scales
    if rows != 1:
        scales = scales.repeat_interleave(rows, 0)[: shape[0]]
    if scales.shape[1] != 1:
        scales = scales.repeat_interleave(columns, 1)[:, : shape[1]]
    return scales


def _toward_zero(ends: Tensor, dtype: torch.dtype) -> Tensor:
    """Whole numbers as floats, none farther from zero than it was."""
    floats = ends.to(dtype)
    beyond = floats.double().abs() > ends.double().abs()
    return torch.where(beyond, floats.nextafter(torch.zeros_like(floats)), floats)
