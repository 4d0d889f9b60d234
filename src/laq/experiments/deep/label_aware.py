"""Deep Compression for a subset's classes: by their images alone, against images of all classes.

Whose images measure layers, retrain weights and train shared values is all that differs. Where all
classes are taken there are more images, and as many steps, over as many of the images as so many
can see: what is compared is what steps are spent on, not how many there are.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
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
from laq.utils.errors import DataError

# How far a network can be compressed at a given accuracy: where its curve falls below that.
#
# Accuracy against ratio is measured at a few points, each of them a training with its own luck. It
# is taken to fall, never to rise, as files get smaller: so the points are replaced by the nearest
# falling sequence (isotonic regression), and between two of them by a line over ln(ratio).


FLOAT = 1.0  # the ratio of the network in float, which is as accurate as itself
ROUNDING = 1e-12  # by which an accuracy may miss the level and be taken to reach it


@dataclass(frozen=True)
class Reach:
    """The largest ratio at which the level is kept: ``ratio``, surely from ``low`` to ``high``.

    Where the curve crosses the level all three are the same. Where even its first point is below,
    they are that point's ratio, ``FLOAT`` and again the point's: at most so far. Where even its
    last one is not below, they are that point's, the same, and infinity: at least so far.
    """

    ratio: float
    low: float
    high: float

    @property
    def censored(self) -> bool:
        return self.low < self.high


def reach(ratios: ArrayLike, top1: ArrayLike, level: float) -> Reach:
    """How far a curve through the points ``ratios`` (n,), ``top1`` (n,) keeps ``level``.

    In any order; of the same ratio the mean counts. Raises ``DataError`` where there is no point,
    and for numbers that are not finite or ratios not above 0.
    """
    x, y = _falling(ratios, top1)
    if y[0] < level - ROUNDING:
        return Reach(float(x[0]), min(FLOAT, float(x[0])), float(x[0]))
    last = int(np.flatnonzero(y >= level - ROUNDING)[-1])
    if last == len(y) - 1:
        return Reach(float(x[last]), float(x[last]), float("inf"))
    part = (y[last] - level) / (y[last] - y[last + 1])
    part = min(max(part, 0.0), 1.0)  # but for rounding
    at = float(x[last] * (x[last + 1] / x[last]) ** part)
    return Reach(at, at, at)


def _falling(ratios: ArrayLike, top1: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Different ratios, ascending, and accuracies that do not rise: the nearest by squares."""
    from scipy.optimize import isotonic_regression

    x, y = (np.asarray(each, dtype=np.float64) for each in (ratios, top1))
    if x.ndim != 1 or x.shape != y.shape or not x.size:
        raise DataError(f"a curve needs a ratio and an accuracy a point, not {x.shape}, {y.shape}")
    if not (np.isfinite(x) & np.isfinite(y) & (x > 0)).all():
        raise DataError("a curve's ratios and accuracies are finite, and ratios above 0")
    different, place, counts = np.unique(x, return_inverse=True, return_counts=True)
    means = np.bincount(place, y) / counts
    return different, isotonic_regression(means, weights=counts, increasing=False).x


# Whose images everything sees: the subset's classes, or all. The network as it was trained is NONE.
ARMS = AWARE, AGNOSTIC = "subset", "all"
NONE = "none"


@dataclass(frozen=True, eq=False)
class Paced(Trainer):
    """Trains for as many steps as others that have fewer images.

    fewer: to a number of images the one that the others have in its place. steps: of each training
    so far.
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
        epochs, size, there = recipe["epochs"], recipe["batch_size"], len(images[1])
        number = there
        if epochs and there in self.fewer:
            asked = epochs
            epochs, number = paced(asked, self.fewer[there], there, size)
            changes |= _stretched(recipe, epochs / asked)
        if number < there:
            generator = devices.generator(self.seed, "deep", stage, "images")
            chosen = torch.randperm(there, generator=generator)[:number].sort().values
            images = images[0][chosen], images[1][chosen]
        self.steps.append(epochs * _steps(number, size))
        return super().__call__(network, images, constraint, stage, **{**changes, "epochs": epochs})


def paced(epochs: int, fewer: int, there: int, batch: int) -> tuple[int, int]:
    """Epochs, and images of each, that take as many steps as ``epochs`` over ``fewer`` images do.

    As few epochs as images ``there`` allow, so that as many different ones as possible are seen;
    steps are rounded up to whole epochs, by less than one for each of these.
    """
    steps = epochs * _steps(fewer, batch)
    passes = -(-steps // _steps(there, batch))
    return passes, min(there, -(-steps // passes) * batch)


def _steps(images: int, batch: int) -> int:
    return len(batches(torch.arange(images), batch))


def _stretched(recipe: Mapping[str, Any], times: float) -> dict[str, Any]:
    """What a recipe counts in epochs, where these are ``times`` as many."""
    found: dict[str, Any] = {"warmup": times * recipe.get("warmup", 0.0)}
    if milestones := recipe.get("milestones"):
        found["milestones"] = [max(1, math.ceil(times * epoch)) for epoch in milestones]
    return found


@dataclass(frozen=True)
class DensityPoint:
    """One network that is made: density (share of the weights kept), which making, and whose images
    it sees.

    state: file that a killed course goes on from.
    """

    classes: str
    density: float
    repeat: int = 1
    state: Path | None = None


def points(table: str, densities: Sequence[float], repeats: int) -> list[DensityPoint]:
    """All points of a ``table``, beside which their states are."""
    begins = table.removesuffix(".csv")
    return [
        DensityPoint(arm, density, repeat, resume.beside(f"{begins}-{arm}-{number}-{repeat}.csv"))
        for number, density in enumerate(densities)
        for arm in ARMS
        for repeat in range(1, repeats + 1)
    ]


def measure(
    task: Task, settings: Mapping[str, Any], asked: Sequence[DensityPoint], place: Path
) -> Iterator[Row]:
    """Two rows, one for each scope, of the network in float and of each point.

    task: of the network as it was trained and a subset's classes, with the images of all; its
    recipe is not used. settings: a variant's ``deep`` entry that chooses layers by the scan; what
    points say is not used. place: folder in which files are written, weighed, read back, removed.
    """
    parameters = sum(parameter.numel() for parameter in task.network.parameters())
    whole = {"bytes": 4 * parameters, "ratio": 1.0, "steps": 0}
    for row in _scores(task, task.network):
        yield {"classes": NONE, "density": 1.0, "repeat": 1, **row, **whole}
    for point in asked:
        size, network, steps = _compressed(task, settings, point, place)
        own = {"classes": point.classes, "density": point.density, "repeat": point.repeat}
        weighed = {"bytes": size, "ratio": 4 * parameters / size, "steps": steps}
        for row in _scores(task, network):
            yield {**own, **row, **weighed}


def _compressed(
    task: Task, settings: Mapping[str, Any], point: DensityPoint, place: Path
) -> tuple[int, nn.Module, int]:
    """Bytes of the file, the network that is read back from it, and steps of all its trainings."""
    own = _of_arm(task, settings, point)
    asked, images = own.recipe["deep"], _split(own.train)
    begun = seeds.of_repeat(task.seed, point.repeat)
    purpose = "label-aware", point.classes, *task.members
    seed = devices.seed_everything(begun, *purpose).initial_seed()
    trainer = Paced(
        *(_split(own.test), of_training(asked), seed, task.device, point.state),
        spec=graph_edits.spec(task.described),
        fewer=_fewer(own, settings["held_back"], seed) if point.classes == AGNOSTIC else {},
    )
    network = copy.deepcopy(task.network).cpu()
    met, reasons = pipeline.select(network, images[0], asked)
    layers = [name for name in met if name not in reasons]
    masks, _ = pipeline.prune(network, images, layers, asked, trainer)
    shared = pipeline.share(network, images, masks, asked, trainer).shared
    with disks.folder(place, ".deep") as folder:
        path = folder / "network.safetensors"
        told = deep.describe(own)
        file.save(path, network.state_dict(), told, shared, asked["coder"])
        return path.stat().st_size, packing.load(path), sum(trainer.steps)


def _of_arm(task: Task, settings: Mapping[str, Any], point: DensityPoint) -> Task:
    """The task with the images of an arm, and its recipe: layers are measured on as many images."""
    aware, everyone = point.classes == AWARE, list(range(len(task.train.classes)))
    own, held_back = data.only(task.train, task.members), settings["held_back"]
    part = 1 if aware else len(own.labels) / len(task.train.labels)
    changes = {"density": point.density, "classes": point.classes, "held_back": part * held_back}
    return replace(
        task,
        recipe={"parent": "original", "deep": {**settings, **changes}},
        taken=task.members if aware else everyone,
        train=own if aware else task.train,
        test=data.only(task.test, task.members),  # of histories, of which nothing is kept
        repeat=point.repeat,
    )


def _fewer(agnostic: Task, held_back: float, seed: int) -> dict[int, int]:
    """``Paced.fewer`` of all images, and of them without those that are held back.

    held_back: share of the subset's images, of which the others have so many.
    """
    shares = agnostic.recipe["deep"]["held_back"], held_back
    splits = [agnostic.train, data.only(agnostic.train, agnostic.members)]
    whole = [_split(each) for each in splits]
    seen = [
        pruning.hold_back(each, share, seed)[0] for each, share in zip(whole, shares, strict=True)
    ]
    return {len(there[1]): len(fewer[1]) for there, fewer in (whole, seen)}


def _split(images: data.Dataset) -> Split:
    return torch.from_numpy(images.images), torch.from_numpy(images.labels)


def _scores(task: Task, network: nn.Module) -> list[Row]:
    shown, labels = map(torch.from_numpy, data.of_classes(task.test, task.members))
    names = ("scope", "n", "correct", "top1")
    logits = predict(network, shown, task.device)
    return [
        {name: getattr(each, name) for name in names}
        for each in score(logits, labels, task.members)
    ]
