"""Learned step sizes: rounding in every forward pass, straight through in the backward one.

Esser, McKinstry, Bablani, Appuswamy and Modha, "Learned step size quantization", ICLR 2020. The
gradient passes rounding as if it were not there (Bengio et al. 2013) and stops where weights are
clipped; a step's own gradient is that of the rounded weight, scaled by 1/√(n K), so that steps and
weights move at about the same relative pace, n being the number of weights that share the step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from laq.qat import grid
from laq.training.constraints import Group, Progress

# A step that would turn negative becomes next to nothing instead.
_LEAST = 1e-8


class LearnedStep(grid.GridWeight):
    """A weight that trains as its rounded self, with a step that is learned."""

    learned: ClassVar[bool] = True

    def trained(self, weight: Tensor) -> Tensor:
        """The values of ``rounded``, with the gradients above."""
        shared = weight.numel() // self.step.numel()
        return Rounding.apply(weight, self.steps(weight), self.limit, (shared * self.limit) ** -0.5)


class Rounding(torch.autograd.Function):
    """round(clip(x / step, ±limit)) · step with straight-through gradients.

    x: any shape; step: one that broadcasts to it. The gradient of step is multiplied by ``scale``.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Tensor, limit: int, scale: float) -> Tensor:
        scaled = x / step
        ctx.save_for_backward(scaled)
        ctx.limit, ctx.scale, ctx.shape = limit, scale, step.shape
        return scaled.round().clamp_(-limit, limit).mul_(step)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        (scaled,) = ctx.saved_tensors
        codes = scaled.round().clamp_(-ctx.limit, ctx.limit)
        inside = scaled.abs() <= ctx.limit
        slope = torch.where(inside, codes - scaled, codes)
        of_step = (gradient * slope).sum_to_size(ctx.shape) * ctx.scale
        return gradient * inside, of_step, None, None


@dataclass(frozen=True)
class LearnedSteps(grid.OnGrid):
    """Weights on grids whose steps are learned; ``step_rate``: their share of the learning rate."""

    weight: ClassVar[type[grid.GridWeight]] = LearnedStep

    step_rate: float = 1.0

    def after_step(self, network: nn.Module, progress: Progress) -> None:
        for weight, _ in grid.attached(network):
            weight.step.clamp_(min=_LEAST)

    def groups(self, network: nn.Module) -> list[Group]:
        """Steps do not decay: a smaller step is no simpler network."""
        steps = [weight.step for weight, _ in grid.attached(network)]
        return [{"params": steps, "weight_decay": 0.0, "share": self.step_rate}] if steps else []
