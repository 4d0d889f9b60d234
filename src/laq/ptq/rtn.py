"""Memoryless scalar quantization: every weight to its own level, whatever the inputs are.

The baseline without data (Lybrand & Saab, JMLR 2021, section 1). Samples serve to measure the
output error, so that it stands beside that of methods which use them; and an input that never
fires keeps its weights here, rounded as all others are.
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
    """Quantize ``weight`` (N, d), all tensors float32 or all float64 and on one device.

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
        whole = rules.codes(
            weight / grid.steps(weight.shape) - grid.shift,
            rounding.kind,
            rounding.threshold_on(grid.gap),
            low,
            high,
            rounding.noise(*weight.shape, like=weight),
        )
        codes = grid.from_centred(whole)
    return replace(measured(codes, grid, weight, samples), fitted=False)
