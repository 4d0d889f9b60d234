"""Weights pulled to the grid between the steps of an ordinary training, without straight-through.

Bai, Wang and Liberty, "ProxQuant: quantized neural networks via proximal operators", ICLR 2019,
with their W-shaped regulariser: λ times the distance Σ |w − Q(w)| is added to the loss. After each
of the optimizer's steps its proximal operator moves every weight towards the nearest point of the
grid, by λ at most and never beyond. So the training's gradients are those of the float network. λ
grows until all weights lie on the grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from laq.qat import grid
from laq.qat.constraint import OnGrid
from laq.training.constraints import Progress


class FloatWeight(grid.GridWeight):
    """A weight that trains as it is, and is rounded in evaluation."""

    def trained(self, weight: Tensor) -> Tensor:
        return weight


@dataclass(frozen=True)
class GrowingPull(OnGrid):
    """Weights that are pulled to their grids, ever harder, until they lie on them.

    pull: strength. At the share s of the training a weight moves at a rate of pull · s / (1 − s)
    steps of its grid per whole training. The last step puts every weight on the grid.
    """

    weight: ClassVar[type[grid.GridWeight]] = FloatWeight

    pull: float = 1.0

    def after_step(self, network: nn.Module, progress: Progress) -> None:
        """Fit the steps to the weights, then take the proximal step."""
        super().after_step(network, progress)
        remaining = progress.steps - progress.done
        threshold = self.pull * progress.share / remaining if remaining else float("inf")
        for weight, values in grid.attached(network):
            grid.refit(weight, values)
            nearest = weight.rounded(values)
            values.copy_(towards(values, nearest, threshold * weight.steps(values)))


def towards(values: Tensor, nearest: Tensor, reach: Tensor) -> Tensor:
    """The proximal operator of ``reach`` · |x − nearest|: soft thresholding about ``nearest``."""
    difference = values - nearest
    return nearest + difference.sign() * (difference.abs() - reach).clamp(min=0)
