"""The trainings that a course is made of, one after the other, and what of them is done already."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from laq import training
from laq.training import Split, resume, untrained
from laq.training.constraints import Constraint
from laq.training.distributed import Team
from laq.training.recipe import FINETUNING, Recipe
from laq.utils import devices
from laq.utils.files import remove

Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Trainer:
    """Trains a network stage by stage; arguments as of ``laq.training.train``.

    Each stage draws from a stream of its own, whatever the ones before it drew: so a course that
    begins with a later one, after a kill, ends with the same bytes.
    """

    test: Split
    recipe: Mapping[str, Any]
    seed: int
    device: torch.device
    state: Path | None = None
    spec: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        # Loaded code is part of a training's identity (``resume.identity``), in a course that
        # begins with a later stage as well.
        if self.recipe.get("processes", 1) > 1:
            import laq.training.launch  # noqa: F401

    def __call__(
        self,
        network: nn.Module,
        images: Split,
        constraint: Constraint,
        stage: str,
        **changes: Any,
    ) -> list[Row]:
        """Train ``network`` in place under ``constraint``; rows of ``Epoch`` with the stage's name.

        changes: of the recipe, in this stage; with no epochs the network is scored alone.
        """
        recipe = {**self.recipe, **changes}
        generator = devices.seed_everything(self.seed, "deep", stage)
        if recipe["epochs"]:
            rows = training.finetune(
                network,
                images,
                self.test,
                recipe,
                generator,
                self.device,
                self.state,
                self.spec,
                constraint=constraint,
            )
        else:
            rows = untrained(network, self.test, self.device)
        return [{"stage": stage, **row} for row in rows]


class Memo:
    """What the finished stages of a course came to: a file beside the state of its trainings.

    It holds for the same settings, images, network to begin with, seed, code and versions alone.
    """

    def __init__(
        self, trainer: Trainer, network: nn.Module, images: Split, settings: Mapping[str, Any]
    ) -> None:
        self.keeper, self.state = None, trainer.state
        if trainer.state is None:
            return
        generator = devices.seed_everything(trainer.seed, "deep")
        recipe = Recipe.of(FINETUNING, trainer.recipe)
        begun = resume.identity(network, images, trainer.test, recipe, generator, trainer.device)
        own = begun + json.dumps(settings, sort_keys=True).encode()
        self.keeper = resume.Keeper(_path(trainer.state), hashlib.sha256(own).digest())

    def load(self) -> dict[str, Any] | None:
        """What ``save`` was given last; None where there is nothing that holds."""
        return self.keeper.load(Team()) if self.keeper else None

    def save(self, content: dict[str, Any]) -> None:
        """Keep tensors, numbers, texts, lists and mappings of these; ``history`` is among them."""
        if self.keeper and self.keeper.save(lambda: content):
            remove(self.state)  # of the stage that this is the result of


def clear(state: Path) -> None:
    """Remove all that a course keeps: its result is stored."""
    remove(_path(state))
    resume.clear(state)


def _path(state: Path) -> Path:
    return state.with_suffix(".course")
