"""The trainings of a pipeline, one after the other, and a memo of those that are finished."""

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

    Each stage draws from a random stream of its own, independent of earlier stages. So a pipeline
    that resumes with a later stage, after a kill, ends with the same bytes.
    """

    test: Split
    recipe: Mapping[str, Any]
    seed: int
    device: torch.device
    state: Path | None = None
    spec: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        # Loaded code is part of a training's identity (``resume.identity``). So it is loaded here,
        # also for a pipeline that resumes with a later stage.
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

        changes: to the recipe, in this stage. With 0 epochs the network is only scored.
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
    """The results of a pipeline's finished stages: a file beside the state of its trainings.

    It is valid only for the same settings, images, initial network, seed, code and versions.
    """

    def __init__(
        self, trainer: Trainer, network: nn.Module, images: Split, settings: Mapping[str, Any]
    ) -> None:
        self.keeper, self.state = None, trainer.state
        if trainer.state is None:
            return
        generator = devices.seed_everything(trainer.seed, "deep")
        recipe = Recipe.of(FINETUNING, trainer.recipe)
        identity = resume.identity(network, images, trainer.test, recipe, generator, trainer.device)
        key = identity + json.dumps(settings, sort_keys=True).encode()
        self.keeper = resume.Keeper(_path(trainer.state), hashlib.sha256(key).digest())

    def load(self) -> dict[str, Any] | None:
        """The content that was saved last; None where there is no valid file."""
        return self.keeper.load(Team()) if self.keeper else None

    def save(self, content: dict[str, Any]) -> None:
        """Keep tensors, numbers, texts, lists and mappings of these, with the key ``history``."""
        if self.keeper and self.keeper.save(lambda: content):
            remove(self.state)  # of the finished stage


def clear(state: Path) -> None:
    """Remove all files that a pipeline keeps; call it when its result is stored."""
    remove(_path(state))
    resume.clear(state)


def _path(state: Path) -> Path:
    return state.with_suffix(".course")
