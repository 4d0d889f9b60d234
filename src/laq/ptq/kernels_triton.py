"""The compiled loop of greedy quantization on CUDA: one launch a block of columns (Triton).

A program walks the columns of a block in order for a tile of neurons, as ``laq.ptq.kernels_cpu``
does on the CPU. Sums are added up in another order than there, so that codes in float32 may differ
where a value is on the border of two levels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from laq.quantizers.rounding import KINDS
from laq.utils.errors import ConfigError

try:
    import triton
    import triton.language as tl
except ImportError as error:
    raise ConfigError(
        "quantizing on CUDA needs Triton, which is not installed here: pip install triton, or "
        "set the config key device to cpu"
    ) from error

# Neurons a program, which is a single warp: sums over the columns of a block then need no barrier,
# and even a narrow layer keeps many multiprocessors busy.
_TILE = 16


def block(
    base: Tensor,
    weight: Tensor,
    mix: Tensor,
    alive: Tensor,
    noise: Tensor | None,
    rule: tuple[int, float, float],
    bounds: Tensor,
    codes: Tensor,
    first: int,
) -> None:
    """The recursion inside a block of B columns: ``laq.ptq.kernels_cpu.block`` on CUDA tensors.

    Shapes, units and outputs are as there. ``base`` and ``codes`` must be contiguous.
    """
    if not (base.is_contiguous() and codes.is_contiguous()):
        raise ValueError("base and codes are written in place and must be contiguous")
    groups, columns, neurons = base.shape
    kind, *numbers = rule
    tile = min(_TILE, triton.next_power_of_2(neurons))
    with torch.cuda.device_of(base):
        _block[groups, triton.cdiv(neurons, tile)](
            base,
            weight.contiguous(),
            mix.contiguous(),
            alive.contiguous(),
            noise,
            bounds.contiguous(),
            codes,
            first,
            columns,
            neurons,
            codes.shape[2],
            KINDS[kind],
            *map(float, numbers),
            triton.next_power_of_2(columns),
            tile,
            num_warps=1,
            enable_fp_fusion=True,  # as on the CPU
        )


# The rule's numbers are constants of the kernel because a float argument would be cut to float32.
@triton.jit
def _block(
    base,
    weight,
    mix,
    alive,
    noise,
    bounds,
    codes,
    first,
    columns,
    neurons,
    width,
    kind: tl.constexpr,
    threshold: tl.constexpr,
    gap: tl.constexpr,
    rows: tl.constexpr,
    tile: tl.constexpr,
):
    """One tile of neurons of one group; ``rows`` is B rounded up to a power of two."""
    group = tl.program_id(0)
    lane = tl.program_id(1) * tile + tl.arange(0, tile)
    lane_mask = lane < neurons
    row = tl.arange(0, rows)
    neuron = (group * neurons + lane).to(tl.int64)
    base += group * columns * neurons
    weight += group * columns * neurons
    mix += group * columns * columns
    alive += group * columns

    dtype = base.dtype.element_ty
    low = tl.load(bounds + neuron, lane_mask, 0.0)
    high = tl.load(bounds + tl.num_programs(0) * neurons + neuron, lane_mask, 0.0)
    error = tl.zeros((rows, tile), dtype)  # e of the columns walked, 0 for those to come
    for t in range(columns):
        w = tl.load(weight + t * neurons + lane, lane_mask, 0.0)
        value = tl.load(base + t * neurons + lane, lane_mask, 0.0)
        coefficients = tl.load(mix + t * columns + row, row < t, 0.0)
        value += tl.sum(coefficients[:, None] * error, 0)
        draw = value
        if kind == "stochastic":
            draw = tl.load(noise + t * tl.num_programs(0) * neurons + neuron, lane_mask, 0.0)
        code = _code(value, draw, kind, threshold, low, high)
        level = code + _signed(tl.where(code != 0, tl.full((tile,), gap, dtype), 0.0), code)
        live = tl.load(alive + t) != 0
        e = tl.where(live, w - level, w)
        error = tl.where(row[:, None] == t, e[None, :], error)
        code = tl.where(live, code, 0.0).to(codes.dtype.element_ty)
        tl.store(codes + neuron * width + first + t, code, lane_mask)
    block_mask = (row < columns)[:, None] & lane_mask[None, :]
    tl.store(base + row[:, None] * neurons + lane[None, :], error, block_mask)


@triton.jit
def _code(value, draw, kind: tl.constexpr, threshold: tl.constexpr, low, high):
    """``laq.quantizers.rounding.codes``; ``draw`` is its noise, read by ``stochastic`` alone."""
    if kind == "stochastic":
        code = tl.floor(value + draw)
    else:
        magnitude = tl.abs(value)
        if kind != "nearest":
            magnitude -= tl.full(value.shape, threshold, value.dtype)
        if kind == "hard":
            rounded = tl.where(magnitude > 0, _nearest(magnitude) + 1, 0.0)
        else:
            rounded = _nearest(tl.maximum(magnitude, 0.0))
        code = _signed(rounded, value)
    return tl.minimum(tl.maximum(code, low), high)


@triton.jit
def _nearest(magnitude):
    """The nearest integer to a number ≥ 0, halves to even; exact, as no step of it rounds."""
    floor = tl.floor(magnitude)
    fraction = magnitude - floor
    odd = tl.floor(floor * 0.5) * 2 != floor
    return tl.where((fraction > 0.5) | ((fraction == 0.5) & odd), floor + 1, floor)


@triton.jit
def _signed(magnitude, sign):
    return tl.where(sign < 0, -magnitude, magnitude)
