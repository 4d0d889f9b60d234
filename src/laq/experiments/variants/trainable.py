"""What a training of a variant sets out from."""

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

    given: the other fields of ``Task``. Raises ``DataError`` and ``CheckpointError`` for files that
    are not those of the study.
    """
    splits = [data.load(path, classes) for path in (train, test)]
    members = subset_files.read(subset, splits[0].classes)["indices"]
    made, seed = given["recipe"]["parent"], given["seed"]
    described = lineage.of_parent(parent, made, splits[0], members, seed)
    taken = members if whose == "subset" else list(range(len(splits[0].classes)))
    own = [data.only(split, taken) for split in splits]
    return Task(
        packing.load(parent),
        described,
        members=members,
        taken=taken,
        train=own[0],
        test=own[1],
        **given,
    )


def begun(task: Task) -> tuple[nn.Module, Split, Split, torch.Generator]:
    """A copy of the parent on the CPU, training and test images, and the generator of all draws.

    Siblings share their batches and so compare in pairs; a chain's next link does not.
    """
    train, test = (
        (torch.from_numpy(each.images), torch.from_numpy(each.labels))
        for each in (task.train, task.test)
    )
    place, own = len(task.described["steps"]), seeds.of_repeat(task.seed, task.repeat)
    generator = devices.seed_everything(own, "finetune", place, *task.taken)
    return copy.deepcopy(task.network).cpu(), train, test, generator
