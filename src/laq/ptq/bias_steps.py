"""Steps of weights for which a layer's bias fits its accumulator.

An accumulator counts in units of the weight's step times the input's. A filter of tiny weights, as
weight decay leaves it, has a tiny step. Its bias, which comes from BatchNorm and is as large as any
other, then takes more than 32 bits. So the step is made larger. The codes become smaller, down to
0, which does not matter: the output of such a filter is its bias, on a grid of 8 bits.

ONNX Runtime uses such accumulators wherever weight and input of a layer are in 8 bits, so that this
holds for a network that is simulated in float too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from laq.quantizers.grids import Grid, Uniform

# Largest bias: half of the range of 32 bits. The other half holds the products of 33,000 inputs.
LARGEST = 2.0**30

# The smallest step as a share of the layer's largest. A smaller one adds nothing to values that
# share a grid of 8 bits, and its scale would not fit fixed point.
LEAST_SHARE = 2.0**-40

Runs = Sequence[tuple[int, Grid]]


def fitted(
    runs: Runs, layer: nn.Conv2d | nn.Linear, input_step: Tensor, on_grid: bool
) -> list[tuple[int, Grid]]:
    """The grids of a layer's runs of rows, with steps that are too small made larger.

    input_step: () of the layer's static input quantizer. on_grid: whether the layer's output is put
    on a grid of 8 bits as well, so that negligible steps can be raised. Grids of more than 8 bits,
    and those that no accumulator counts in, are left as they are.
    """
    filters = [rows for rows, _ in runs]
    bias = layer.weight.new_zeros(len(layer.weight)) if layer.bias is None else layer.bias.detach()
    bounds = bias.double().abs() / (LARGEST * input_step.double())
    largest = max((float(grid.step.max()) for _, grid in runs if _counts(grid)), default=0.0)
    if on_grid:
        bounds = bounds.clamp(min=LEAST_SHARE * largest)
    return [
        (rows, _at_least(grid, bound) if _counts(grid) else grid)
        for (rows, grid), bound in zip(runs, bounds.split(filters), strict=True)
    ]


def _counts(grid: Grid) -> bool:
    """Whether an accumulator counts in it: levels are integers of 8 bits times a filter's step."""
    integral = isinstance(grid, Uniform) and grid.by_row and grid.has_zero and not grid.gap
    return integral and grid.bits <= 8


def _at_least(grid: Uniform, least: Tensor) -> Uniform:
    """``grid`` with steps of at least ``least`` (N,); a block's step, of at least its largest."""
    if grid.step.ndim == 0:
        minimum = least.max()
    else:
        padding = -len(least) % grid.rows
        minimum = nn.functional.pad(least, (0, padding)).view(-1, grid.rows).amax(1, keepdim=True)
    if not bool((grid.step < minimum).any()):
        return grid
    # Rounded up, so that the bias fits whatever float32 makes of the step.
    larger = (minimum * (1 + 2.0**-20)).to(grid.step.dtype)
    return replace(grid, step=torch.maximum(grid.step, larger))
