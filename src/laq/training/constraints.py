"""What a training keeps to beside its loss: weights on a grid, weights that stay zero.

The loop asks a constraint six times: once before it begins, whenever an epoch does, for the
penalty of every step, after it, for parameters that learn in another way, and for those whose
gradients processes may send each other in few bits. A constraint is a
frozen dataclass of JSON values, so that each process of a training makes it anew from its
description. What it learns or remembers are parameters and buffers of modules that ``prepare`` puts
into the network: so they are in the state that a killed training goes on from, and summed over
processes, without a word about them.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor, nn

# Parameters and the optimizer's settings for them: ``params``, and of ``weight_decay`` and
# ``share``, of the recipe's learning rate, those that are not as for all others.
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
    """Asks nothing of a training, which then is what it is without one; others descend from it."""

    @property
    def description(self) -> dict[str, Any]:
        """All of it as JSON holds it, for ``create`` and for the identity of the training."""
        return {"kind": f"{type(self).__module__}:{type(self).__name__}", **asdict(self)}

    def prepare(self, network: nn.Module) -> None:
        """Put into ``network``, before it is trained, the modules that the constraint needs.

        It takes no data and draws nothing: processes of a training call it on a network whose
        values are loaded afterwards.
        """

    def begin_epoch(self, network: nn.Module) -> None:
        """Called after ``network.train()``, for modules that are to stay in evaluation mode."""

    def penalty(self, network: nn.Module, progress: Progress) -> Tensor | None:
        """What is added to the loss of a step: a scalar, or None for nothing.

        Of parameters alone, not of images: every process of a training adds the same.
        """
        return None

    def after_step(self, network: nn.Module, progress: Progress) -> None:
        """Called after the optimizer's step, which ``progress`` counts, without gradients."""

    def coded(self, network: nn.Module) -> list[nn.Parameter]:
        """Parameters whose gradients processes send each other in the recipe's ``gradient_bits``.

        Convolutions and linear layers; biases and normalisation are small, and stay in float.
        """
        return [parameter for parameter in network.parameters() if parameter.ndim > 1]

    def groups(self, network: nn.Module) -> list[Group]:
        """Parameters that learn in another way than the recipe says."""
        return []


def create(description: Mapping[str, Any] | None) -> Constraint:
    """The constraint of a description; the one that asks nothing where there is none.

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
