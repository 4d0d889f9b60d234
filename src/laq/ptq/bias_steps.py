"""Steps of weights for which a layer's bias fits its accumulator.

An accumulator counts in units of the weight's step times the input's. A filter of hardly any
weight, as weight decay leaves it, has a step so small that its bias, which comes from BatchNorm and
is as large as any other, takes more than 32 bits. Its step is then made larger. Its codes become
smaller, down to 0, which nobody sees: what the filter gives is its bias, on a grid of 8 bits.

ONNX Runtime makes such accumulators of its own accord wherever weight and input of a layer are in
8 bits, so that the same holds for a network that is simulated in float.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from laq.quantizers.grids import Grid, Uniform

# Half of what 32 bits hold is for the bias. The other half holds the products of 33,000 inputs.
LARGEST = 2.0**30

# A step is at least so much of the layer's largest. What is smaller adds nothing to values that
# share a grid of 8 bits, and its scale would not fit fixed point.
LEAST_SHARE = 2.0**-40

Runs = Sequence[tuple[int, Grid]]


def fitted(
    runs: Runs, layer: nn.Conv2d | nn.Linear, input_step: Tensor, on_grid: bool
) -> list[tuple[int, Grid]]:
    """The grids of a layer's runs of rows, with the steps that are too small made larger.

    input_step: () of the layer's static input quantizer. on_grid: whether what the layer gives is
    put on a grid of 8 bits as well, so that steps of next to nothing can go. Grids of more than 8
    bits, and those that no accumulator counts in, are left as they are.
    """
    filters = [rows for rows, _ in runs]
    bias = layer.weight.new_zeros(len(layer.weight)) if layer.bias is None else layer.bias.detach()
    least = bias.double().abs() / (LARGEST * input_step.double())
    largest = max((float(grid.step.max()) for _, grid in runs if _counts(grid)), default=0.0)
    if on_grid:
        least = least.clamp(min=LEAST_SHARE * largest)
    return [
        (rows, _at_least(grid, own) if _counts(grid) else grid)
        for (rows, grid), own in zip(runs, least.split(filters), strict=True)
    ]


def _counts(grid: Grid) -> bool:
    """Whether its levels are integers of 8 bits times a step of their filter."""
    whole = isinstance(grid, Uniform) and grid.by_row and grid.has_zero and not grid.gap
    return whole and grid.bits <= 8


def _at_least(grid: Uniform, least: Tensor) -> Uniform:
    """``grid`` with steps of at least ``least`` (N,), of which those of a block share the most."""
    if grid.step.ndim == 0:
        own = least.max()
    else:
        short = -len(least) % grid.rows
        own = nn.functional.pad(least, (0, short)).view(-1, grid.rows).amax(1, keepdim=True)
    if not bool((grid.step < own).any()):
        return grid
    # Rounded up, so that the bias fits whatever float32 makes of the step.
    larger = (own * (1 + 2.0**-20)).to(grid.step.dtype)
    return replace(grid, step=torch.maximum(grid.step, larger))
