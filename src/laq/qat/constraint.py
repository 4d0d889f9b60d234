"""What all methods of quantization-aware training keep a training to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from torch import nn

from laq.qat import grid, inputs, selection
from laq.training.constraints import Constraint, Group, Progress

# A step never falls below this share of where it began, and so never to 0.
_LEAST = 1e-3


@dataclass(frozen=True)
class OnGrid(Constraint):
    """Weights that end on grids; subclasses say how they get there.

    bits: of each layer whose weight is quantized. inputs: of each whose input is. per_channel: a
    step for each row of a weight. frozen: keep the statistics of BatchNorm as they are. step_rate:
    learning rate of steps that are learned, as a multiple of the recipe's. alone: train the
    quantized layers and no other parameter.
    """

    weight: ClassVar[type[grid.GridWeight]]

    bits: Mapping[str, int]
    inputs: Mapping[str, int] = field(default_factory=dict)
    per_channel: bool = False
    frozen: bool = False
    step_rate: float = 1.0
    alone: bool = False

    def prepare(self, network: nn.Module) -> None:
        grid.attach(network, self.weight, self.bits, self.per_channel)
        inputs.attach(network, self.inputs)
        if self.alone:
            network.requires_grad_(False)
            for name in {*self.bits, *self.inputs}:
                network.get_submodule(name).requires_grad_()

    def begin_epoch(self, network: nn.Module) -> None:
        if self.frozen:
            selection.freeze(network)

    def learned(self, network: nn.Module) -> list[nn.Parameter]:
        """The steps that are learned, as ratios to where they began."""
        return [module.ratio for module in inputs.attached(network)]

    def after_step(self, network: nn.Module, progress: Progress) -> None:
        for ratio in self.learned(network):
            ratio.clamp_(min=_LEAST)

    def coded(self, network: nn.Module) -> list[nn.Parameter]:
        """The float weights behind the grids, and no others."""
        return [values for _, values in grid.attached(network)]

    def groups(self, network: nn.Module) -> list[Group]:
        """Steps do not decay: a smaller one makes no simpler network."""
        ratios = self.learned(network)
        return [{"params": ratios, "weight_decay": 0.0, "share": self.step_rate}] if ratios else []
