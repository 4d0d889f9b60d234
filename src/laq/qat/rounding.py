"""Rounding to a grid that gradients pass straight through (Bengio, Léonard & Courville 2013)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

Limit = int | Tensor


class LearnedRounding(torch.autograd.Function):
    """round(clip(x / step, low, high)) · step with the gradients of Esser et al. (ICLR 2020).

    x: any shape; step: one that broadcasts to it; low ≤ 0 ≤ high: whole numbers. The gradient of x
    passes where it is not clipped; that of step is round(x / step) − x / step there and the limit
    elsewhere, summed, and multiplied by ``scale``.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, step: Tensor, low: Limit, high: Limit, scale: float | Tensor
    ) -> Tensor:
        ctx.save_for_backward(x, step)
        ctx.low, ctx.high, ctx.scale = low, high, scale
        return (x / step).round_().clamp_(low, high).mul_(step)

    @staticmethod
    def backward(ctx: Any, above: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        x, step = ctx.saved_tensors
        scaled = x / step
        inside = (scaled >= ctx.low) & (scaled <= ctx.high)
        codes = scaled.round().clamp_(ctx.low, ctx.high)
        slope = torch.where(inside, codes - scaled, codes)
        of_step = (above * slope).sum_to_size(step.shape) * ctx.scale
        # In the layout of x, which processes that share gradients expect.
        of_x = torch.mul(above, inside, out=torch.empty_like(x))
        return of_x, of_step, None, None, None
