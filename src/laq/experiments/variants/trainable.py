"""The inputs of a variant's training: its task from files, and its network, images and draws."""

from __future__ import annotations

import copy
import os
from typing import Any, Literal

import torch
from torch import nn

from laq import data
from laq.checkpoints import lineage, packing
from laq.distances import subset_files
from laq.experiments.variants.task import Task
from laq.training import Split
from laq.utils import devices, seeds

Path = str | os.PathLike[str]


def read(
    train: Path,
    test: Path,
    classes: Path,
    subset: Path,
    parent: Path,
    whose: Literal["subset", "all"],
    **given: Any,
) -> Task:
    """The task of a training on images of the subset's classes or of all, from its files.

    whose: ``subset`` or ``all``. given: the other fields of ``Task``. Raises ``DataError`` and
    ``CheckpointError`` for files that are not those of the study.
    """
    splits = [data.load(path, classes) for path in (train, test)]
    members = subset_files.read(subset, splits[0].classes)["indices"]
    parent_variant, seed = given["recipe"]["parent"], given["seed"]
    described = lineage.of_parent(parent, parent_variant, splits[0], members, seed)
    class_indices = members if whose == "subset" else list(range(len(splits[0].classes)))
    class_splits = [data.only(split, class_indices) for split in splits]
    return Task(
        packing.load(parent),
        described,
        members=members,
        taken=class_indices,
        train=class_splits[0],
        test=class_splits[1],
        **given,
    )


def begun(task: Task) -> tuple[nn.Module, Split, Split, torch.Generator]:
    """A copy of the parent on the CPU, training and test images, and the generator of all draws.

    Variants of the same parent share their batches, so that they compare in pairs. A variant of a
    variant has batches of its own.
    """
    train, test = (
        (torch.from_numpy(split.images), torch.from_numpy(split.labels))
        for split in (task.train, task.test)
    )
    depth, repeat_seed = len(task.described["steps"]), seeds.of_repeat(task.seed, task.repeat)
    generator = devices.seed_everything(repeat_seed, "finetune", depth, *task.taken)
    return copy.deepcopy(task.network).cpu(), train, test, generator
