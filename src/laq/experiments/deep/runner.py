"""A network on all classes, compressed in several ways, and the file size of each result."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import nn

from laq import data
from laq.checkpoints import graph_edits, lineage, packing
from laq.checkpoints.deep_container import file
from laq.checkpoints.deep_container.container import Weights
from laq.deep_compression.stages import Trainer
from laq.experiments.deep.measured import Row, Settings, State
from laq.experiments.evaluation import score
from laq.experiments.variants import deep
from laq.experiments.variants.task import Task
from laq.experiments.variants.trainable import begun
from laq.models.networks import predict
from laq.training import Split
from laq.training.recipe import of_training
from laq.utils import disks

# Coders of a network's files, each with the prefix of its columns.
FILED = {"fixed": "", "huffman": "huffman_"}


@dataclass(frozen=True, eq=False)
class Bench:
    """task: of the trained network and all classes, without a recipe yet. place: folder in which
    files are written, measured, read back and removed."""

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
        """The task of a subset's classes, with the images of all classes."""
        return replace(self.task, members=members)

    def asked(self, settings: Settings, repeat: int = 1, state: Path | None = None) -> Task:
        """The task of compressing the network by a variant's ``deep`` entry."""
        recipe = {"parent": "original", "deep": settings}
        return replace(self.task, recipe=recipe, repeat=repeat, state=state)

    def compress(self, settings: Settings, state: Path | None = None) -> deep.Deep:
        """The network after all stages; ``state``: as of ``laq.experiments.variants.task.Task``."""
        return deep.make(self.asked(settings, state=state))

    def describe(self, settings: Settings) -> dict[str, Any]:
        return deep.describe(self.asked(settings))

    def trainer(self, settings: Settings, repeat: int = 1, state: Path | None = None) -> Trainer:
        """The trainer of ``compress``, for single stages of it."""
        task = self.asked(settings, repeat, state)
        generator = begun(task)[3]
        spec = graph_edits.spec(task.described)
        recipe = of_training(settings)
        return Trainer(self.test, recipe, generator.initial_seed(), task.device, state, spec)

    def score(self, network: nn.Module) -> Row:
        """``n``, ``correct`` and ``top1`` over all test images."""
        logits = predict(network, self.test[0], self.task.device)
        result = score(logits, self.test[1], self.task.members)[0]
        return {name: getattr(result, name) for name in ("n", "correct", "top1")}

    def weighed(self, size: int, prefix: str = "") -> Row:
        return {f"{prefix}bytes": size, f"{prefix}ratio": 4 * self.parameters / size}

    def filed(self, state: State, description: Mapping[str, Any], weights: Weights) -> Row:
        """Sizes of the files, of fixed width and Huffman-coded, and the score when read back."""
        row: Row = {}
        with disks.folder(self.place, ".deep") as folder:
            for coder, prefix in FILED.items():
                path = folder / f"{coder}.safetensors"
                size = write(path, state, description, weights, coder)
                row |= self.weighed(size, prefix)
            return row | self.score(packing.load(path))


def write(
    path: str | os.PathLike[str],
    state: State,
    description: Mapping[str, Any],
    weights: Weights,
    coder: str,
) -> int:
    """Write a network; returns the bytes of its file."""
    file.save(path, state, description, weights, coder)
    return Path(path).stat().st_size


def timed(rows: Iterable[Row], point: Sequence[str]) -> tuple[list[Row], list[Row]]:
    """All rows; and for each the seconds that it took, with its columns ``point``."""
    collected, times = [], []
    start = perf_counter()
    for row in rows:
        collected.append(row)
        end = perf_counter()
        times.append({key: row[key] for key in point} | {"seconds": end - start})
        start = end
    return collected, times
