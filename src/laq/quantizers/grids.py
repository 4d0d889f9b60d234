"""What integer codes stand for: the levels that a quantized weight may take.

A grid does not depend on how its levels or the codes were chosen. ``laq.quantizers.uniform`` and
``laq.quantizers.codebooks`` choose levels, solvers choose codes, and
``laq.checkpoints.packing`` writes both. Weights are (N, d) here, one neuron (filter) a row.

Scales may be shared by blocks of a weight, of ``rows`` consecutive neurons and ``columns``
consecutive inputs, so that a tensor of scales is

    ()       one for the layer
    (R, B)   R = ⌈N / rows⌉ times B = ⌈d / columns⌉; B = 1 where a block has all columns
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from laq.utils.errors import DataError

# What every grid has.


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
        like = weight[:, :1] if self.by_row else weight
        low, high = (
            self.values(torch.full_like(like, code, dtype=self.dtype))
            for code in (self.low, self.high)
        )
        if self.by_row:  # most filters lie within the outermost levels
            smallest, largest = weight.aminmax(dim=1, keepdim=True)
            rows = ((smallest < low) | (largest > high))[:, 0]
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
    """The smallest signed integers that hold ``largest``, of those with fast arithmetic."""
    if largest < 2**7:
        return torch.int8
    return torch.int32 if largest < 2**31 else torch.int64


# Equispaced levels, with zero points, a gap around zero or a shift.


@dataclass(frozen=True, eq=False)
class Uniform(Coded):
    """Equispaced levels: code c stands for step · k, with k = c − zero.

    step: positive, () or (R, B), float32 or float64, the dtype of the weights it is meant for.
    low, high: the smallest and the largest code. zero: integers in the shape of ``step``, the code
    of 0; None stands for 0. gap: levels but 0 are moved outwards, to step · (k + sign(k) · gap).
    shift: levels are moved up, to step · (k + shift); with ½ no level is 0. rows, columns: numbers
    of rows and columns that share a scale where ``step`` is (R, B); None stands for all columns.

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

        A limit that ``dtype`` does not hold exactly, like 2³¹ − 1 in float32, is rounded inwards.
        """
        zero = self.zero_points(shape).to(torch.int64)
        limits = self.low - zero, self.high - zero
        return tuple(_toward_zero(limit, dtype) for limit in limits)

    def nearest(self, values: Tensor) -> Tensor:
        """Codes of the levels nearest to finite ``values`` (N, d), for a grid without a gap.

        Halfway values go to the even k, here and in every solver. Values beyond the last level go
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
        """The levels of ``codes`` (N, d) in units of their step, in the dtype of ``step``."""
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
        """The lowest and the highest level in units of their step, over all zero points."""
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
            blocks = slice(rows.start // self.rows, -(-rows.stop // self.rows))
            return self._of(lambda scales: scales[blocks], self.rows)
        # A block is cut: a scale for each row.
        return self._of(
            lambda scales: scales.repeat_interleave(self.rows, 0)[rows.start : rows.stop], 1
        )

    def of_columns(self, column: int) -> Uniform:
        """The grid, with one scale a row, of the columns that share theirs with this one."""
        if self.by_row:
            return self
        block = column // self.columns
        return self._of(lambda scales: scales[:, block : block + 1], self.rows)

    def fits(self, shape: tuple[int, int]) -> bool:
        """Whether the scales are those of weights (N, d)."""
        if self.step.ndim == 0:
            return True
        columns = self.columns or shape[1]
        return self.step.shape == (-(-shape[0] // self.rows), -(-shape[1] // columns))

    def tensors(self) -> dict[str, Tensor]:
        return {"step": self.step} | ({} if self.zero is None else {"zero": self.zero})

    def fields(self) -> dict[str, Any]:
        sizes = {} if self.step.ndim == 0 else {"rows": self.rows, "columns": self.columns}
        offsets = {"gap": float(self.gap), "shift": float(self.shift)}
        return {"low": self.low, "high": self.high, **offsets, **sizes}

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
    """Whole numbers as floats, rounded toward zero."""
    floats = ends.to(dtype)
    beyond = floats.double().abs() > ends.double().abs()
    return torch.where(beyond, floats.nextafter(torch.zeros_like(floats)), floats)


# Levels of any value, in a table.


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
        """The first code. It makes codes signed integers of the width that they are stored in."""
        return -(1 << max(0, (self.table.shape[1] - 1).bit_length() - 1))

    @property
    def high(self) -> int:
        return self.low + self.table.shape[1] - 1

    def nearest(self, values: Tensor) -> Tensor:
        """Codes of the levels nearest to finite ``values`` (N, d). Ties go to the lower."""
        codes = torch.empty_like(values, dtype=self.dtype)
        for table, rows in zip(self.table, self._parts(len(values)), strict=True):
            midpoints = (table[1:].double() + table[:-1].double()) / 2
            index = torch.searchsorted(midpoints, values[rows].double().contiguous())
            codes[rows] = (index + self.low).to(self.dtype)
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
            blocks = slice(rows.start // self.rows, -(-rows.stop // self.rows))
            return replace(self, table=self.table[blocks])
        table = self.table.repeat_interleave(self.rows, 0)[rows.start : rows.stop]
        return replace(self, table=table, rows=1)

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


_KINDS = {"uniform": Uniform, "codebook": Codebook}


def kind(grid: Grid) -> str:
    """The name of a grid's class in a file."""
    return next(name for name, grid_class in _KINDS.items() if isinstance(grid, grid_class))


def restore(
    name: str, bits: int, scheme: str, fields: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> Grid:
    """The grid that ``fields`` and ``tensors`` describe, of the kind called ``name``.

    Raises ``DataError`` if they describe none.
    """
    if name not in _KINDS:
        raise DataError(f"grid {name!r} is unknown")
    for key, tensor in tensors.items():
        dtypes = (torch.float32, torch.float64)
        if key != "zero" and tensor.dtype not in dtypes:
            raise DataError(f"{key} of a grid is {tensor.dtype}")
    invalid = [field for field, value in fields.items() if not _plausible(field, value)]
    try:
        if invalid:
            raise DataError(f"{', '.join(sorted(invalid))} of a grid")
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
