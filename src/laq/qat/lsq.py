"""Learned step sizes: rounding in every forward pass, straight through in the backward one.

Esser, McKinstry, Bablani, Appuswamy and Modha, "Learned step size quantization", ICLR 2020. The
gradient of a weight passes rounding unchanged (Bengio et al. 2013) and is 0 where the weight is
clipped. A step's own gradient is that of the rounded weight, scaled by 1/√(n K), n being the number
of weights that share the step. So steps and weights move at about the same relative pace.

The learned parameter is a step's ratio to its initial value. Optimizers that normalise gradients,
as AdamW does, then move every step by about the same share, be it of 2 bits or of 8. With SGD it
makes no difference: the gradient is scaled so that steps move as they would by themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from laq.qat import grid
from laq.qat.constraint import OnGrid
from laq.qat.grid import LearnedRounding


class LearnedStep(grid.GridWeight):
    """A weight that is rounded in training, with a step that is learned."""

    def __init__(self, bits: int, rows: int | None) -> None:
        super().__init__(bits, rows)
        self.ratio = nn.Parameter(torch.ones_like(self.unit))

    @property
    def step(self) -> Tensor:
        return self.unit * self.ratio

    def trained(self, weight: Tensor) -> Tensor:
        """The values of ``rounded``, with the gradients above."""
        group_size = weight.numel() // self.unit.numel()
        scale = (group_size * self.limit) ** -0.5 / grid.along(self.unit, weight) ** 2
        return LearnedRounding.apply(weight, self.steps(weight), -self.limit, self.limit, scale)


@dataclass(frozen=True)
class LearnedSteps(OnGrid):
    """Weights on grids whose steps are learned."""

    weight: ClassVar[type[grid.GridWeight]] = LearnedStep

    def learned(self, network: nn.Module) -> list[nn.Parameter]:
        return [*super().learned(network), *(weight.ratio for weight, _ in grid.attached(network))]
