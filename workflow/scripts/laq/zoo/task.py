"""What a maker of the zoo is given, and what it gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from laq.datasets import Dataset
from laq.packing import PackedWeight


@dataclass(frozen=True, eq=False)
class Task:
    """One network to be made of a trained one.

    network: the trained one, on the device to compute on; makers leave it as it is. described: by
    ``laq.lineage.describe``. name, recipe: as of a variant. members: indices of the subset's
    classes. taken: of the classes whose images calibrate or train. train: training images, or in
    their place those made without data. test: for the history of a training alone. memory: bytes.
    """

    network: nn.Module
    described: Mapping[str, Any]
    name: str
    recipe: Mapping[str, Any]
    members: list[int]
    taken: Sequence[int]
    train: Dataset
    test: Dataset
    seed: int
    memory: int
    device: torch.device

    @property
    def facts(self) -> dict[str, Any]:
        """What the description says of any variant."""
        return {"subset": self.members, "seed": self.seed, "repeat": 1}


@dataclass(frozen=True, eq=False)
class Made:
    """Arguments of ``laq.packing.save``: tensors, description, and packed weights."""

    state: Mapping[str, Tensor]
    description: Mapping[str, Any]
    packed: Mapping[str, Sequence[PackedWeight]] = field(default_factory=dict)
