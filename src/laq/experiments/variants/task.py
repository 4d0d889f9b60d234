"""The argument and the result of a variant's maker."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from laq.checkpoints import packing
from laq.data import Dataset
from laq.ptq.activation_cache import MEMORY
from laq.quantizers.packed_weight import PackedWeight


@dataclass(frozen=True, eq=False)
class Task:
    """One variant to be made of its parent.

    network: the parent; makers leave it as it is. described: the parent's description, by
    ``laq.checkpoints.lineage.describe``. name, recipe: of the variant. members: indices of the
    subset's classes. taken: indices of the classes whose images calibrate or train; None where
    images made without data are of no class. train: images to calibrate on or to draw from; for a
    training those of the classes ``taken`` alone. test: images of the same classes, for a
    training's history. seed: the study's. repeat: number of this repeat of the variant, from 1.
    memory: bytes in which activations are kept. device: where a training computes; a compression
    computes where ``network`` is. state: file that an interrupted training resumes from.
    """

    network: nn.Module
    described: Mapping[str, Any]
    name: str
    recipe: Mapping[str, Any]
    members: list[int]
    taken: Sequence[int] | None
    train: Dataset
    seed: int
    test: Dataset | None = None
    repeat: int = 1
    memory: int = MEMORY
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    state: Path | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """Entries that the description of every variant has."""
        return {"subset": self.members, "seed": self.seed, "repeat": self.repeat}


@dataclass(frozen=True, eq=False)
class MadeVariant:
    """A variant: the first three are arguments of ``laq.checkpoints.packing.save``.

    history: a row an epoch, of a training. layers: the layer report, where weights are packed.
    """

    state: Mapping[str, Tensor]
    description: Mapping[str, Any]
    packed: Mapping[str, Sequence[PackedWeight]] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    layers: list[dict[str, Any]] = field(default_factory=list)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the checkpoint to ``path`` atomically."""
        packing.save(path, self.state, self.description, self.packed)
