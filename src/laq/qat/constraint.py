"""The constraint on a training that all methods of quantization-aware training share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from torch import nn

from laq.qat import grid, inputs, selection
from laq.training.constraints import Constraint, Group, Progress

# The least ratio of a learned step to its initial value: no step becomes 0.
_LEAST = 1e-3


@dataclass(frozen=True)
class OnGrid(Constraint):
    """Weights that end on grids; subclasses say how they get there.

    bits: of each quantized weight, by layer. inputs: bits of each quantized input, by layer.
    per_channel: a step for each row of a weight. frozen: keep the statistics of BatchNorm as they
    are. step_rate: learning rate of learned steps, as a multiple of the recipe's. alone: train the
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
        """The parameters of learned steps: their ratios to the initial steps."""
        return [module.ratio for module in inputs.attached(network)]

    def after_step(self, network: nn.Module, progress: Progress) -> None:
        for ratio in self.learned(network):
            ratio.clamp_(min=_LEAST)

    def coded(self, network: nn.Module) -> list[nn.Parameter]:
        """The float weights that are quantized to grids, and no other parameters."""
        return [values for _, values in grid.attached(network)]

    def groups(self, network: nn.Module) -> list[Group]:
        """Steps without weight decay: a smaller step makes no simpler network."""
        ratios = self.learned(network)
        return [{"params": ratios, "weight_decay": 0.0, "share": self.step_rate}] if ratios else []
