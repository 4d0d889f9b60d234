"""Conditions on weights in a training beside its loss: weights on a grid, weights that stay zero.

A constraint has six methods: ``prepare`` before a training, ``begin_epoch``, ``penalty`` of every
step and ``after_step``, ``groups`` for parameters that learn in another way, and ``coded`` for
those whose gradients processes may send each other in few bits. It is a frozen dataclass of JSON
values, so that each process of a training makes it anew from its description. What it learns or
remembers are parameters and buffers of modules that ``prepare`` puts into the network. So they are
in the state that a killed training goes on from, and are summed over processes, like all others.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor, nn

# Parameters, ``params``, and the optimizer's settings for them where they differ from the recipe's:
# ``weight_decay``, and ``share``, a factor of the learning rate.
Group = dict[str, Any]


@dataclass(frozen=True)
class Progress:
    """``done`` of the ``steps`` that a training takes."""

    done: int
    steps: int

    @property
    def share(self) -> float:
        return self.done / self.steps


@dataclass(frozen=True)
class Constraint:
    """The constraint that changes nothing in a training. All others descend from it."""

    @property
    def description(self) -> dict[str, Any]:
        """Its kind and all its fields as JSON, for ``create`` and the identity of the training."""
        return {"kind": f"{type(self).__module__}:{type(self).__name__}", **asdict(self)}

    def prepare(self, network: nn.Module) -> None:
        """Put into ``network``, before it is trained, the modules that the constraint needs.

        It takes no data and draws no numbers: processes of a training call it on a network whose
        values are loaded afterwards.
        """

    def begin_epoch(self, network: nn.Module) -> None:
        """Called after ``network.train()``, for modules that are to stay in evaluation mode."""

    def penalty(self, network: nn.Module, progress: Progress) -> Tensor | None:
        """What is added to the loss of a step: a scalar, or None for nothing.

        It depends on parameters alone, not on images: every process of a training adds the same.
        """
        return None

    def after_step(self, network: nn.Module, progress: Progress) -> None:
        """Called without gradients after the optimizer's step; ``progress`` includes the step."""

    def coded(self, network: nn.Module) -> list[nn.Parameter]:
        """Parameters whose gradients processes send each other in the recipe's ``gradient_bits``.

        They are those of convolutions and linear layers. Biases and normalisation are small, and
        stay in float.
        """
        return [parameter for parameter in network.parameters() if parameter.ndim > 1]

    def groups(self, network: nn.Module) -> list[Group]:
        """Parameters that learn in another way than the recipe says."""
        return []


def create(description: Mapping[str, Any] | None) -> Constraint:
    """The constraint of a description, or ``Constraint()`` where there is none.

    Raises ``ValueError`` for a description of anything else: a defect of the caller.
    """
    if description is None:
        return Constraint()
    settings = dict(description)
    module, _, name = settings.pop("kind").partition(":")
    kind = getattr(importlib.import_module(module), name)
    if not (isinstance(kind, type) and issubclass(kind, Constraint)):
        raise ValueError(f"{module}:{name} is no constraint")
    return kind(**settings)
