"""Beacon: codes and the step of one layer together (Zhang & Saab, arXiv 2508.20293, algorithm 1).

For a neuron w, inputs X of the float network and X̃ of the network quantized so far, take levels q
on a grid without a step, such as −1, 0, 1. The step c that is best for them is that of least
squares, and what is left depends on the angle between the two outputs alone:

    c = <X w, X̃ q> / |X̃ q|²        ‖X w − c X̃ q‖² = ‖X w‖² (1 − cos² ∠(X w, X̃ q))

So q is chosen to make the cosine large, and no step is needed before. A greedy pass takes the
columns t = 1 … d in order, and cycles over all columns follow, until no code changes:

    q_t = argmax_p cos ∠( X_{≤t} w_{≤t}, X̃_{<t} q_{<t} + p X̃_t )            (greedy pass)
    q_t = argmax_p cos ∠( X w, Σ_{s≠t} q_s X̃_s + p X̃_t )                    (each cycle)

The paper takes a QR factorization of X̃. Nothing but inner products is needed of it, and here they
come from X̃ᵀX̃ and X̃ᵀX, which are added up in float64 whatever the dtype of the samples. The cosine
has one stationary point in p, so that the best of any number of levels is one of the two beside it,
or the first or the last one. Correlations with X̃ q are kept for all columns and are updated after a
block of them.

The grid that is given has three parts in this. Its levels in units of its step are those of q. The
code nearest to a weight is the one taken where many have the same cosine, as all of one sign have
at the first column. And its step stays where no other can be had. Zero points stay too: they say
which levels there are. The paper's first version has another asymmetric grid, one moved by the mean
of the weights, which is no whole number of steps and which codes with a zero point cannot have.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from laq.ptq.column_loop import kernels
from laq.ptq.hessian import grouped, measured
from laq.ptq.layer import QuantizedLayer, Samples, check, not_finite
from laq.quantizers.grids import Grid, Uniform
from laq.quantizers.rounding import Rounding
from laq.utils.errors import ConfigError, DataError

# Cycles at most; the paper takes 4 at 4 bits and 6 at 2 bits.
CYCLES = 6

# Columns a block; it does not change the codes but for rounding errors.
BLOCK = 64


def quantize_layer(
    weight: Tensor,
    inputs: Tensor,
    quantized_inputs: Tensor,
    alphabet: Uniform,
    *,
    groups: int = 1,
    cycles: int = CYCLES,
    block: int = BLOCK,
    threads: int | None = None,
) -> QuantizedLayer:
    """Quantize ``weight`` (N, d), one neuron a row, by Beacon.

    ``inputs`` (m, G·d) are the layer's inputs in the float network, ``quantized_inputs``
    (m, G·d) those in the network quantized so far, G being the ``groups`` of a convolution.
    Everything else, and what is raised, as in ``solve``.
    """
    samples = Samples.for_weight(weight, inputs, quantized_inputs, groups)
    return solve(weight, samples, alphabet, cycles=cycles, block=block, threads=threads)


@torch.no_grad()
def solve(
    weight: Tensor,
    samples: Samples,
    grid: Grid,
    *,
    cycles: int = CYCLES,
    rounding: Rounding | None = None,
    block: int = BLOCK,
    threads: int | None = None,
) -> QuantizedLayer:
    """Quantize ``weight`` (N, d) on ``samples`` of its inputs, with a step of its own for each row.

    All tensors are float32 or all float64, on one device; the arithmetic is in float64. ``grid``
    has equispaced levels, the same in all columns. The grid that is returned has its levels, and
    steps (N, 1), positive and finite:

    - A neuron whose best cosine is not positive, such as one without weights, has the least error
      with outputs of 0. Its codes are 0 and its step is that of ``grid``. On a grid without the
      level 0 its step is next to 0.
    - Weights of inputs that never fire do not count in a cosine. They get the nearest level of the
      step that the others give, or of that of ``grid`` where no input fires.

    Args:
        cycles: over all columns at most, after the greedy pass; neurons stop alone, each when none
            of its codes has changed.
        rounding: None or to the nearest level, since the cosine chooses the level.
        block: columns a block.
        threads: of the compiled loop, torch's own number where None; it does not change the codes.

    Raises ``ConfigError`` for negative cycles, for a codebook, for steps that differ along a row
    and for levels with a gap. Raises ``DataError`` for shapes, dtypes or devices that do not match,
    and for values that are not finite; the caller adds the layer's name.
    """
    _check_grid(grid)
    check(weight, samples, grid)
    if cycles < 0:
        raise ConfigError(f"cycles is {cycles}: it must be at least 0")
    if block < 1 or (threads is not None and threads < 1):
        raise ValueError(f"block {block} and threads {threads} must be at least 1")
    if rounding is not None and rounding.kind != "nearest":
        raise ValueError(f"beacon chooses levels by the cosine, not by {rounding.kind} rounding")
    search = _Search.of(weight, samples, grid, block, threads or torch.get_num_threads())
    levels, dot, square = search.run(cycles)
    codes, own = _scaled(weight, grid, levels, dot, square, search.inner)
    return measured(codes, own, weight, samples)


def _check_grid(grid: Grid) -> None:
    if not isinstance(grid, Uniform) or grid.gap:
        raise ConfigError(
            f"method beacon takes equispaced levels, and {grid.scheme} has others: take another "
            "alphabet, or method rtn"
        )
    if not grid.by_row:
        raise ConfigError(
            "method beacon gives each filter one step, and these differ along a filter: take "
            "granularity per_channel"
        )


@dataclass(frozen=True, eq=False)
class _Search:
    """The search for the largest cosines: weights (G, d, n) float64 in steps of the given grid.

    inner: X̃ᵀX̃ (G, d, d). cross: X̃ᵀX (G, d, d), the same tensor where the inputs do not differ.
    start: levels (G, d, n) nearest to the weights. bounds: (2, G, n), the first and the last level.
    """

    weight: Tensor
    inner: Tensor
    cross: Tensor
    start: Tensor
    bounds: Tensor
    shift: float
    block: int
    threads: int

    @classmethod
    def of(
        cls, weight: Tensor, samples: Samples, grid: Uniform, block: int, threads: int
    ) -> _Search:
        inner, cross = _products(samples)
        groups, rows = samples.groups, (len(weight), 1)
        low, high = (
            bound.expand(rows).reshape(groups, -1) + grid.shift
            for bound in grid.bounds(weight.shape, torch.float64)
        )
        scaled = weight.double() / grid.steps(weight.shape).double()
        scaled = scaled.unflatten(0, (groups, -1)).mT.contiguous()
        start = (scaled - grid.shift).round_().add_(grid.shift)
        start = start.clamp_(low[:, None], high[:, None])
        bounds = torch.stack([low, high])
        return cls(scaled, inner, cross, start, bounds, grid.shift, block, threads)

    def run(self, cycles: int) -> tuple[Tensor, Tensor, Tensor]:
        """Levels (G, d, n), and of each neuron <X w, X̃ q> and |X̃ q|², (G, n)."""
        target = self.cross @ self.weight  # <X̃_t, X w>
        found, product = self._greedy()
        levels, bounds = found.clone(), self.bounds
        dot, square = (found * target).sum(1), (found * product).sum(1)
        left = torch.arange(levels.shape[2], device=levels.device)  # neurons that still change
        for _ in range(cycles):
            moved = self._cycle(found, product, target, bounds)  # (n,)
            levels[..., left] = found
            dot[:, left], square[:, left] = (found * target).sum(1), (found * product).sum(1)
            if not moved.any():
                break
            left, found, product, target, bounds = (
                part[..., moved].contiguous() for part in (left, found, product, target, bounds)
            )
        return levels, dot, square

    def _spans(self) -> Iterator[slice]:
        columns = self.weight.shape[1]
        for first in range(0, columns, self.block):
            yield slice(first, min(first + self.block, columns))

    def _greedy(self) -> tuple[Tensor, Tensor]:
        """Levels after the greedy pass, and X̃ᵀX̃ q."""
        levels, weight = self.start.clone(), self.weight
        target = self.cross.tril() @ weight  # <X̃_t, X_{≤t} w_{≤t}>
        product = torch.zeros_like(weight)
        own = product if self.cross is self.inner else torch.zeros_like(weight)  # XᵀX̃ q
        state = weight.new_zeros(2, weight.shape[0], weight.shape[2])
        for span in self._spans():
            growth = own[:, span], weight[:, span], self.cross[:, span, span]
            chosen = self._walk(span, levels, product, target, state, self.bounds, growth)
            levels[:, span] = chosen
            product.baddbmm_(self.inner[:, :, span], chosen)
            if own is not product:
                own[:, span.stop :].baddbmm_(self.cross[:, span, span.stop :].mT, chosen)
        return levels, product

    def _cycle(self, levels: Tensor, product: Tensor, target: Tensor, bounds: Tensor) -> Tensor:
        """Choose all levels anew, in place; which of the neurons (n,) have changed."""
        state = torch.stack([(levels * target).sum(1), (levels * product).sum(1)])
        moved = torch.zeros(levels.shape[2], dtype=torch.bool, device=levels.device)
        for span in self._spans():
            chosen = self._walk(span, levels, product, target, state, bounds, None)
            change = chosen - levels[:, span]
            if change.any():
                levels[:, span] = chosen
                product.baddbmm_(self.inner[:, :, span], change)
                moved |= (change != 0).any(1).any(0)
        return moved

    def _walk(
        self,
        span: slice,
        levels: Tensor,
        product: Tensor,
        target: Tensor,
        state: Tensor,
        bounds: Tensor,
        growth: tuple[Tensor, Tensor, Tensor] | None,
    ) -> Tensor:
        """The levels of a block of columns by ``laq.ptq.kernels_cpu.cosines``."""
        chosen = levels[:, span].clone(memory_format=torch.contiguous_format)
        kernels(chosen.device).cosines(
            chosen,
            product[:, span].contiguous(),
            target[:, span].contiguous(),
            self.inner[:, span, span].contiguous(),
            state,
            bounds,
            self.shift,
            growth and tuple(part.contiguous() for part in growth),
            self.threads,
        )
        return chosen


def _products(samples: Samples) -> tuple[Tensor, Tensor]:
    """X̃ᵀX̃ and X̃ᵀX (G, d, d) float64, one tensor where the inputs do not differ."""
    inner = cross = None
    for inputs, quantized_inputs in samples.chunks():
        x = grouped(quantized_inputs, samples.groups).double()  # (G, m_c, d)
        inner = x.mT @ x if inner is None else inner.baddbmm_(x.mT, x)
        if inputs is not quantized_inputs:
            y = grouped(inputs, samples.groups).double()
            cross = x.mT @ y if cross is None else cross.baddbmm_(x.mT, y)
    cross = inner if cross is None else cross
    if not (inner.isfinite().all() and cross.isfinite().all()):
        raise DataError(not_finite(samples))
    return inner, cross


def _scaled(
    weight: Tensor, grid: Uniform, levels: Tensor, dot: Tensor, square: Tensor, inner: Tensor
) -> tuple[Tensor, Uniform]:
    """Codes (N, d) of ``levels`` (G, d, n), and the grid with the steps of least squares."""
    rows, tiny = (len(weight), 1), torch.finfo(weight.dtype).tiny
    fires = inner.diagonal(dim1=1, dim2=2) > 0  # (G, d)
    good = (dot > 0) & (square > 0)
    step = grid.steps(weight.shape).double().expand(rows).clone()
    zero = None if grid.zero is None else grid.zero_points(weight.shape).expand(rows).clone()
    scale = torch.where(good, dot / square, 1).view(rows)
    step *= scale
    if not grid.has_zero:
        aimless = (~good & fires.any(1, keepdim=True)).view(rows)
        step[aimless] = 0
    step = step.clamp_(2 * tiny, torch.finfo(weight.dtype).max).to(weight.dtype)
    own = replace(grid, step=step, zero=zero, rows=1, columns=None)
    whole = (levels - grid.shift).round_()
    if grid.has_zero:
        whole *= good[:, None]
    codes = own.from_centred(whole.mT.flatten(0, 1).contiguous())
    fires = fires[:, None].expand(-1, good.shape[1], -1).flatten(0, 1)
    return torch.where(fires, codes, own.nearest(weight)), own
