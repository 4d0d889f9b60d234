"""Deep Compression for a subset's classes: by their images alone, against images of all classes.

The arms differ only in the images that measure layers, retrain weights and train shared values. The
arm of all classes has more images, but takes as many steps, over as many of its images as these
steps can use. So the comparison is of what steps are spent on, not of how many there are.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from laq import data
from laq.checkpoints import graph_edits, packing
from laq.checkpoints.deep_container import file
from laq.deep_compression import pipeline, pruning
from laq.deep_compression.stages import Row, Trainer
from laq.experiments.evaluation import score
from laq.experiments.variants import deep
from laq.experiments.variants.task import Task
from laq.models.networks import predict
from laq.training import Split, resume
from laq.training.constraints import Constraint
from laq.training.loop import batches
from laq.training.recipe import of_training
from laq.utils import devices, disks, seeds

# Classes whose images are used: the subset's, or all. The original network's rows have NONE.
ARMS = AWARE, AGNOSTIC = "subset", "all"
NONE = "none"


@dataclass(frozen=True, eq=False)
class Paced(Trainer):
    """Trains for as many steps as others that have fewer images.

    fewer: number of images of this trainer to that of the others. steps: number of steps of each
    training so far.
    """

    fewer: Mapping[int, int] = field(default_factory=dict)
    steps: list[int] = field(default_factory=list)

    def __call__(
        self,
        network: nn.Module,
        images: Split,
        constraint: Constraint,
        stage: str,
        **changes: Any,
    ) -> list[Row]:
        recipe = {**self.recipe, **changes}
        epochs, available = recipe["epochs"], len(images[1])
        size, processes = recipe["batch_size"], recipe.get("processes", 1)
        count = available
        if epochs and available in self.fewer:
            base_epochs = epochs
            epochs, count = paced(base_epochs, self.fewer[available], available, size, processes)
            changes |= _stretched(recipe, epochs / base_epochs)
        if count < available:
            generator = devices.generator(self.seed, "deep", stage, "images")
            indices = torch.randperm(available, generator=generator)[:count].sort().values
            images = images[0][indices], images[1][indices]
        self.steps.append(epochs * _steps(count, size, processes))
        return super().__call__(network, images, constraint, stage, **{**changes, "epochs": epochs})


def paced(epochs: int, fewer: int, there: int, batch: int, processes: int = 1) -> tuple[int, int]:
    """Epochs, and images of each, that take as many steps as ``epochs`` over ``fewer`` images do.

    Epochs are as few as the ``there`` images allow, so that as many different images as possible
    are used. Steps are rounded up to whole epochs, by less than one step for each epoch.
    """
    steps = epochs * _steps(fewer, batch, processes)
    passes = -(-steps // _steps(there, batch, processes))
    return passes, min(there, -(-steps // passes) * batch)


def _steps(images: int, batch: int, processes: int = 1) -> int:
    return len(batches(torch.arange(images), batch, processes))


def _stretched(recipe: Mapping[str, Any], times: float) -> dict[str, Any]:
    """Settings of a recipe in epochs, for ``times`` as many epochs."""
    changes: dict[str, Any] = {"warmup": times * recipe.get("warmup", 0.0)}
    if milestones := recipe.get("milestones"):
        changes["milestones"] = [max(1, math.ceil(times * epoch)) for epoch in milestones]
    return changes


@dataclass(frozen=True)
class DensityPoint:
    """One network that is made.

    classes: ``subset`` or ``all``, whose images are used. density: share of the weights kept.
    repeat: from 1. state: file that a killed pipeline resumes from.
    """

    classes: str
    density: float
    repeat: int = 1
    state: Path | None = None


def points(table: str, densities: Sequence[float], repeats: int) -> list[DensityPoint]:
    """All points of a ``table``; their states are files beside it."""
    stem = table.removesuffix(".csv")
    return [
        DensityPoint(arm, density, repeat, resume.beside(f"{stem}-{arm}-{index}-{repeat}.csv"))
        for index, density in enumerate(densities)
        for arm in ARMS
        for repeat in range(1, repeats + 1)
    ]


def measure(
    task: Task, settings: Mapping[str, Any], asked: Sequence[DensityPoint], place: Path
) -> Iterator[Row]:
    """Two rows, one for each scope, of the network in float and of each point.

    task: of the trained network and a subset's classes, with the images of all classes; its recipe
    is not used. settings: a variant's ``deep`` entry that prunes layers by the scan; points replace
    its density and classes. place: folder in which files are written, measured, read back, removed.
    """
    parameters = sum(parameter.numel() for parameter in task.network.parameters())
    float_columns = {"bytes": 4 * parameters, "ratio": 1.0, "steps": 0}
    for row in _scores(task, task.network):
        yield {"classes": NONE, "density": 1.0, "repeat": 1, **row, **float_columns}
    for point in asked:
        size, network, steps = _compressed(task, settings, point, place)
        point_columns = {"classes": point.classes, "density": point.density, "repeat": point.repeat}
        size_columns = {"bytes": size, "ratio": 4 * parameters / size, "steps": steps}
        for row in _scores(task, network):
            yield {**point_columns, **row, **size_columns}


def _compressed(
    task: Task, settings: Mapping[str, Any], point: DensityPoint, place: Path
) -> tuple[int, nn.Module, int]:
    """Bytes of the file, the network that is read back from it, and steps of all trainings."""
    arm_task = _of_arm(task, settings, point)
    arm_settings, images = arm_task.recipe["deep"], _split(arm_task.train)
    repeat_seed = seeds.of_repeat(task.seed, point.repeat)
    purpose = "label-aware", point.classes, *task.members
    seed = devices.seed_everything(repeat_seed, *purpose).initial_seed()
    trainer = Paced(
        *(_split(arm_task.test), of_training(arm_settings), seed, task.device, point.state),
        spec=graph_edits.spec(task.described),
        fewer=_fewer(arm_task, settings["held_back"], seed) if point.classes == AGNOSTIC else {},
    )
    network = copy.deepcopy(task.network).cpu()
    candidates, reasons = pipeline.select(network, images[0], arm_settings)
    layers = [name for name in candidates if name not in reasons]
    masks, _ = pipeline.prune(network, images, layers, arm_settings, trainer)
    shared = pipeline.share(network, images, masks, arm_settings, trainer).shared
    with disks.folder(place, ".deep") as folder:
        path = folder / "network.safetensors"
        description = deep.describe(arm_task)
        file.save(path, network.state_dict(), description, shared, arm_settings["coder"])
        return path.stat().st_size, packing.load(path), sum(trainer.steps)


def _of_arm(task: Task, settings: Mapping[str, Any], point: DensityPoint) -> Task:
    """The task with the images of an arm, and its recipe.

    ``held_back`` is scaled so that all arms measure layers on as many images.
    """
    aware, all_classes = point.classes == AWARE, list(range(len(task.train.classes)))
    subset_images, held_back = data.only(task.train, task.members), settings["held_back"]
    fraction = 1 if aware else len(subset_images.labels) / len(task.train.labels)
    changes = {
        "density": point.density,
        "classes": point.classes,
        "held_back": fraction * held_back,
    }
    return replace(
        task,
        recipe={"parent": "original", "deep": {**settings, **changes}},
        taken=task.members if aware else all_classes,
        train=subset_images if aware else task.train,
        test=data.only(task.test, task.members),  # of histories, of which nothing is kept
        repeat=point.repeat,
    )


def _fewer(agnostic: Task, held_back: float, seed: int) -> dict[int, int]:
    """``Paced.fewer`` for all images, and for those that are not held back.

    held_back: share that the subset's arm holds back of its images.
    """
    shares = agnostic.recipe["deep"]["held_back"], held_back
    splits = [agnostic.train, data.only(agnostic.train, agnostic.members)]
    full_splits = [_split(split) for split in splits]
    train_splits = [
        pruning.hold_back(split, share, seed)[0]
        for split, share in zip(full_splits, shares, strict=True)
    ]
    return {len(larger[1]): len(smaller[1]) for larger, smaller in (full_splits, train_splits)}


def _split(images: data.Dataset) -> Split:
    return torch.from_numpy(images.images), torch.from_numpy(images.labels)


def _scores(task: Task, network: nn.Module) -> list[Row]:
    images, labels = map(torch.from_numpy, data.of_classes(task.test, task.members))
    names = ("scope", "n", "correct", "top1")
    logits = predict(network, images, task.device)
    return [
        {name: getattr(result, name) for name in names}
        for result in score(logits, labels, task.members)
    ]
