"""A layer's columns walked in order: weights in, codes out, on the CPU or on CUDA.

The compiled loops take one step a neuron, and codes whose level is 0 where they are 0. Other grids
are converted before and after: zero points are subtracted from the range of the codes, and a shift
from the weights. Where steps change along a row, a block of columns has one step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType

import torch
from torch import Tensor

from laq.quantizers.grids import Uniform, integers
from laq.quantizers.rounding import KINDS, Rounding
from laq.utils import compiling


def kernels(device: torch.device | None = None) -> ModuleType:
    """The loops in plain torch for a ``device`` that is no CPU, and where Numba is not installed;
    else the compiled ones.
    """
    if compiling.HAS_NUMBA and (device is None or device.type == "cpu"):
        from laq.ptq import kernels_cpu

        return kernels_cpu
    from laq.ptq import kernels_torch

    return kernels_torch


@dataclass(frozen=True, eq=False)
class Walk:
    """State of one layer's recursion.

    weight: (G, n, d), G groups of n neurons. units: (G, n), of sums and errors: the step of a
    neuron, or 1 where it has several steps. whole: (G, n, d) integers, codes less their zero point,
    filled column by column.
    """

    weight: Tensor
    units: Tensor
    whole: Tensor
    grid: Uniform
    rounding: Rounding
    threads: int

    @classmethod
    def of(
        cls, weight: Tensor, grid: Uniform, rounding: Rounding, groups: int, threads: int
    ) -> Walk:
        """The start of a walk over ``weight`` (N, d); ``threads``: of the compiled loops."""
        rows = len(weight)
        steps = grid.steps(weight.shape) if grid.by_row else weight.new_ones(())
        weight = weight.detach().contiguous().unflatten(0, (groups, -1))
        units = steps.expand(rows, 1).reshape(weight.shape[:2]).contiguous()
        dtype = grid.dtype if grid.zero is None else integers(grid.high - grid.low)
        whole = torch.empty_like(weight, dtype=dtype)
        return cls(weight, units, whole, grid, rounding, threads)

    @property
    def codes(self) -> Tensor:
        """(N, d), once all columns are walked."""
        return self.grid.from_centred(self.whole.flatten(0, 1))

    @property
    def plain(self) -> bool:
        """Whether ``path`` can walk it."""
        return self.grid.by_row and self.grid.has_zero

    def spans(self, block: int, first: int = 0) -> Iterator[slice]:
        """Columns from ``first`` on in blocks of at most ``block`` that have one step a neuron."""
        columns = self.weight.shape[2]
        width = columns if self.grid.by_row else self.grid.columns
        while first < columns:
            stop = min(first + block, first - first % width + width, columns)
            yield slice(first, stop)
            first = stop

    def scaled(self, columns: slice) -> Tensor:
        """The weights of some columns in their units, (G, B, n)."""
        return (self.weight[..., columns] / self.units[..., None]).mT.contiguous()

    def path(self, x: Tensor, drift: Tensor | None, inner: Tensor, cross: Tensor) -> Tensor:
        """Walk all columns by ``laq.ptq.kernels_cpu.path``; return ‖u‖² (G, n) float64."""
        groups, neurons, columns = self.weight.shape
        noise = self.rounding.noise(columns, groups * neurons, like=x)
        return kernels().path(
            self.weight,
            self.units,
            x,
            drift,
            inner,
            cross,
            noise,
            self._rule(),
            self._bounds(self.grid),
            self.whole,
            self.threads,
        )

    def block(
        self,
        columns: slice,
        base: Tensor,
        weight: Tensor,
        mix: Tensor,
        alive: Tensor,
    ) -> Tensor:
        """Walk a block of columns by ``kernels_cpu.block``, or on CUDA ``kernels_triton.block``.

        ``columns``: one of ``spans``. Weights of inputs that never fire get level 0, or the nearest
        level where 0 is none. Returns e (G, B, n), in ``base``.
        """
        groups, neurons, _ = self.weight.shape
        grid = self.grid.of_columns(columns.start)
        step = None
        if not self.grid.by_row:
            step = self._each(grid.steps((self.units.numel(), 1)))[:, None]
        if step is not None:
            base, weight = base.div_(step), weight / step
        if not grid.has_zero:
            base, weight = base.sub_(grid.shift), weight - grid.shift
            alive = torch.ones_like(alive)
        noise = self.rounding.noise(base.shape[1], groups * neurons, like=base)
        bounds = self._bounds(grid)
        arguments = (base, weight, mix, alive, noise, self._rule(), bounds, self.whole)
        if base.is_cuda:
            from laq.ptq import kernels_triton

            kernels_triton.block(*arguments, columns.start)
        else:
            kernels().block(*arguments, columns.start, self.threads)
        return base if step is None else base.mul_(step)

    def greedy(
        self, columns: slice, carried: Tensor, weight: Tensor, inner: Tensor, ridge: Tensor | float
    ) -> Tensor:
        """Walk a block of columns, each to the level that leaves the smallest error of the outputs.

        carried: (G, B, n), <X̃_t, u> without the errors of the block's columns. weight: (G, B, n).
        inner: (G, B, B), X̃ᵀX̃ of the block. ridge: λ. Returns e (G, B, n).
        """
        norms = inner.diagonal(dim1=1, dim2=2)[..., None] + ridge  # (G, B, 1)
        alive = norms > 0
        divisor = torch.where(alive, norms, 1)  # not its inverse, which may overflow
        base = weight + carried / divisor
        return self.block(columns, base, weight, inner / divisor, alive[..., 0])

    def _rule(self) -> tuple:
        """Index of the kind in KINDS, threshold and gap, the latter two in the weights' dtype."""
        gap = self.grid.gap
        numbers = [self.rounding.threshold_on(gap), gap]
        scalar_type = torch.empty(0, dtype=self.weight.dtype).numpy().dtype.type
        return KINDS.index(self.rounding.kind), *(scalar_type(value) for value in numbers)

    def _bounds(self, grid: Uniform) -> Tensor:
        """The range of whole numbers of each neuron, (2, G, n)."""
        bounds = grid.bounds((self.units.numel(), 1), self.weight.dtype)
        return torch.stack([self._each(bound) for bound in bounds])

    def _each(self, scales: Tensor) -> Tensor:
        """() or (N, 1) as (G, n)."""
        return scales.expand(self.units.numel(), 1).reshape(self.units.shape)
