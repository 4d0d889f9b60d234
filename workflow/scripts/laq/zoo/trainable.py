"""What a training of an entry sets out from."""

from __future__ import annotations

import copy

import torch
from torch import nn

from laq import datasets, devices
from laq.training import Split
from laq.zoo.task import Task


def begun(task: Task) -> tuple[nn.Module, Split, Split, torch.Generator]:
    """A copy of the network, training and test images, and the generator of all draws: those of
    the variant of this recipe."""
    splits = [
        tuple(map(torch.from_numpy, datasets.of_classes(split, task.taken)))
        for split in (task.train, task.test)
    ]
    place = len(task.described["steps"])
    generator = devices.seed_everything(task.seed, "finetune", place, *task.taken)
    return copy.deepcopy(task.network), *splits, generator
