"""A network on all classes, compressed in one way or another, each result weighed as a file."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from laq import data
from laq.checkpoints import graph_edits, lineage, packing
from laq.checkpoints.deep_container import file
from laq.checkpoints.deep_container.container import Weights
from laq.deep_compression.pipeline import Pipeline
from laq.deep_compression.stages import Trainer
from laq.experiments.evaluation import score
from laq.experiments.variants import deep
from laq.experiments.variants.task import Task
from laq.experiments.variants.trainable import begun
from laq.models.networks import load_state, predict
from laq.training import Split
from laq.training.recipe import of_training
from laq.utils import disks

# What a network takes and scores stage by stage: a row each of the paper's tables.


# Stages by name in the order of the table: the network to begin with, P, P+Q with centroids as
# k-means left them and as they were trained, and P+Q+H.
STAGES = ("original", "pruned", "clustered", "shared", "coded")

Row = dict[str, Any]


def scores(
    original: nn.Module,
    course: Pipeline,
    images: Split,
    members: Sequence[int],
    device: torch.device,
) -> list[Row]:
    """A row for each stage and scope of ``laq.experiments.evaluation``; ``images`` are of classes
    ``members``.

    What coding leaves is what it was given, so that stage has no rows of its own.
    """
    network = copy.deepcopy(course.network)
    rows = []
    for stage, state in (("original", original.state_dict()), *_states(course)):
        load_state(network, state)
        for found in score(predict(network, images[0], device), images[1], members):
            counts = {name: getattr(found, name) for name in ("n", "correct", "top1")}
            rows.append({"stage": stage, "scope": found.scope, **counts})
    return rows


def sizes(
    parameters: int,
    course: Pipeline,
    description: Mapping[str, Any],
    coder: str,
    place: Path,
) -> dict[str, Row]:
    """Columns for each stage: what it has of so many ``parameters``, and what its file takes.

    Files are written to the folder ``place``, and their bytes are those that stat counts. kept:
    parameters that are not pruned, biases and all. ratio: of 4 bytes a parameter to the file; the
    original's would be these bytes alone.
    """
    pruned = sum(w.weight().numel() - len(w.positions) for w in course.shared.values())
    states = dict(_states(course))
    files: dict[str, tuple[Mapping[str, Tensor], Weights, str]] = {
        "pruned": (states["pruned"], course.weights, "fixed"),
        "clustered": (states["clustered"], course.clusters, "fixed"),
        "shared": (states["shared"], course.shared, "fixed"),
        "coded": (states["shared"], course.shared, coder),
    }
    found = {"original": (parameters, 4 * parameters)}
    with disks.folder(place, ".deep") as folder:
        for stage, (state, weights, way) in files.items():
            path = folder / f"{stage}.safetensors"
            file.save(path, state, description, weights, way)
            found[stage] = parameters - pruned, path.stat().st_size
    return {
        stage: {
            "parameters": parameters,
            "kept": kept,
            "bytes": size,
            "ratio": 4 * parameters / size,
        }
        for stage, (kept, size) in found.items()
    }


def table(scored: Sequence[Row], sized: Mapping[str, Row]) -> list[Row]:
    """A row for each stage and scope, of ``scores`` and ``sizes``."""
    coded = [{**row, "stage": "coded"} for row in scored if row["stage"] == "shared"]
    return [{**row, **sized[row["stage"]]} for row in (*scored, *coded)]


def _states(course: Pipeline) -> Iterator[tuple[str, Mapping[str, Tensor]]]:
    yield "pruned", course.pruned
    yield "clustered", course.clustered
    yield "shared", course.network.state_dict()


Settings = Mapping[str, Any]
State = Mapping[str, Tensor]

# Coders by which a network is weighed, each with what its columns begin with.
FILED = {"fixed": "", "huffman": "huffman_"}


@dataclass(frozen=True, eq=False)
class Bench:
    """task: of the network as it was trained, all classes, without a recipe yet. place: folder in
    which files are written, weighed, read back and removed."""

    task: Task
    place: Path

    @classmethod
    def read(
        cls, train: str, test: str, classes: str, parent: str, seed: int, device: Any, place: Path
    ) -> Bench:
        """Raises ``DataError`` and ``CheckpointError`` for files that are not of the study."""
        splits = [data.load(path, classes) for path in (train, test)]
        members = list(range(len(splits[0].classes)))
        task = Task(
            packing.load(parent),
            lineage.of_parent(parent, "original", splits[0], None, seed),
            name="deep",
            recipe={},
            members=members,
            taken=members,
            train=splits[0],
            test=splits[1],
            seed=seed,
            device=device,
        )
        return cls(task, place)

    @property
    def original(self) -> nn.Module:
        return self.task.network

    @property
    def train(self) -> Split:
        return tuple(map(torch.from_numpy, (self.task.train.images, self.task.train.labels)))

    @property
    def test(self) -> Split:
        return tuple(map(torch.from_numpy, (self.task.test.images, self.task.test.labels)))

    @property
    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.original.parameters())

    def of(self, members: list[int]) -> Task:
        """The task of a subset's classes, still with the images of all."""
        return replace(self.task, members=members)

    def asked(self, settings: Settings, repeat: int = 1, state: Path | None = None) -> Task:
        """The task of compressing the network by a variant's ``deep`` entry."""
        recipe = {"parent": "original", "deep": settings}
        return replace(self.task, recipe=recipe, repeat=repeat, state=state)

    def compress(self, settings: Settings, state: Path | None = None) -> deep.Deep:
        """The network after all of it; ``state``: as of ``laq.experiments.variants.task.Task``."""
        return deep.make(self.asked(settings, state=state))

    def describe(self, settings: Settings) -> dict[str, Any]:
        return deep.describe(self.asked(settings))

    def trainer(self, settings: Settings, repeat: int = 1, state: Path | None = None) -> Trainer:
        """What trains in ``compress``, for parts of it."""
        task = self.asked(settings, repeat, state)
        generator = begun(task)[3]
        spec = graph_edits.spec(task.described)
        recipe = of_training(settings)
        return Trainer(self.test, recipe, generator.initial_seed(), task.device, state, spec)

    def score(self, network: nn.Module) -> Row:
        """``n``, ``correct`` and ``top1`` over all test images."""
        logits = predict(network, self.test[0], self.task.device)
        found = score(logits, self.test[1], self.task.members)[0]
        return {name: getattr(found, name) for name in ("n", "correct", "top1")}

    def weighed(self, size: int, prefix: str = "") -> Row:
        return {f"{prefix}bytes": size, f"{prefix}ratio": 4 * self.parameters / size}

    def filed(self, state: State, description: Mapping[str, Any], weights: Weights) -> Row:
        """What a network takes at fixed width and Huffman-coded, and what it scores, read back."""
        found: Row = {}
        with disks.folder(self.place, ".deep") as folder:
            for coder, prefix in FILED.items():
                path = folder / f"{coder}.safetensors"
                size = write(path, state, description, weights, coder)
                found |= self.weighed(size, prefix)
            return found | self.score(packing.load(path))


def write(
    path: str | os.PathLike[str],
    state: State,
    description: Mapping[str, Any],
    weights: Weights,
    coder: str,
) -> int:
    """Write a network; the bytes that the file takes."""
    file.save(path, state, description, weights, coder)
    return Path(path).stat().st_size


def timed(rows: Iterable[Row], point: Sequence[str]) -> tuple[list[Row], list[Row]]:
    """All rows, and the seconds that each took after the one before, with its columns ``point``."""
    found, times = [], []
    begin = perf_counter()
    for row in rows:
        found.append(row)
        end = perf_counter()
        times.append({key: row[key] for key in point} | {"seconds": end - begin})
        begin = end
    return found, times
