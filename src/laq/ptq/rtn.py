"""Memoryless scalar quantization: every weight to its own level, whatever the inputs are.

It is the baseline without data (Lybrand & Saab, JMLR 2021, section 1). Samples are for the output
error alone, so that it compares with that of methods which use them. Weights of inputs that never
fire are rounded as all others.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from laq.ptq.hessian import measured
from laq.ptq.layer import QuantizedLayer, Samples, check
from laq.quantizers import rounding as rules
from laq.quantizers.grids import Grid
from laq.quantizers.rounding import Rounding


@torch.no_grad()
def solve(
    weight: Tensor,
    samples: Samples,
    grid: Grid,
    *,
    rounding: Rounding | None = None,
) -> QuantizedLayer:
    """Quantize ``weight`` (N, d). Tensors are all float32 or all float64, and on one device.

    rounding: to the nearest level where None.

    Raises ``DataError`` for shapes, dtypes or devices that do not match, and for values that are
    not finite; the caller adds the layer's name.
    """
    rounding = rounding or Rounding()
    check(weight, samples, grid)
    if rounding.kind == "nearest":
        codes = grid.nearest(weight)
    else:
        low, high = grid.bounds(weight.shape, weight.dtype)
        rounded = rules.codes(
            weight / grid.steps(weight.shape) - grid.shift,
            rounding.kind,
            rounding.threshold_on(grid.gap),
            low,
            high,
            rounding.noise(*weight.shape, like=weight),
        )
        codes = grid.from_centred(rounded)
    return replace(measured(codes, grid, weight, samples), fitted=False)
