"""One entry on all subsets and calibrations: made once where one network serves every subset."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from laq import data
from laq.checkpoints import inference, packing
from laq.config import zoo_kinds
from laq.config.recipes import STEPS
from laq.config.recipes import of as step_of
from laq.data import Dataset
from laq.experiments.evaluation import Score, score
from laq.experiments.variants.registry import MAKERS
from laq.experiments.variants.task import MadeVariant, Task
from laq.models.networks import predict
from laq.utils import disks

# A network of the zoo as it would be deployed: written, its file's bytes counted, read and tested.


@dataclass(frozen=True)
class FileWeight:
    """Bytes of a network's file, the number of its quantized weights, and bits of each of these,
    codes and scales; 32 bits where none is quantized."""

    bytes: int
    weights: int
    bits_per_weight: float


@dataclass(frozen=True, eq=False)
class MeasuredNetwork:
    """A network as it was read back, and the size of its file."""

    network: torch.nn.Module
    weight: FileWeight


def stored(made: MadeVariant, place: Path) -> MeasuredNetwork:
    """Write a network to a file in the folder ``place``, and read it with ``read``."""
    with disks.folder(place, ".zoo") as folder:
        path = folder / "network.safetensors"
        made.save(path)
        return read(path)


def read(path: str | os.PathLike[str]) -> MeasuredNetwork:
    """The network of a checkpoint, in integers where its transforms say so, and its file's size."""
    checkpoint = packing.read(path)
    packed = [weight for runs in checkpoint.packed.values() for weight in runs]
    weights = sum(weight.codes.numel() for weight in packed)
    coded_bits = 8 * sum(weight.nbytes for weight in packed)
    weight = FileWeight(
        Path(path).stat().st_size, weights, coded_bits / weights if weights else 32.0
    )
    return MeasuredNetwork(inference.built(path, checkpoint), weight)


def rows(
    measured: MeasuredNetwork,
    images: Tensor,
    labels: Tensor,
    members: Sequence[int],
    device: torch.device,
) -> list[dict[str, Any]]:
    """A row for each scope; images uint8 (n, c, h, w), labels (n,) of the classes ``members``."""
    scores = score(predict(measured.network, images, device), labels, members)
    return [{**_counts(scope_score), **vars(measured.weight)} for scope_score in scores]


def _counts(found: Score) -> dict[str, Any]:
    return {name: getattr(found, name) for name in ("scope", "n", "correct", "top1", "in_subset")}


@dataclass(eq=False)
class ZooRunner:
    """An entry called ``name`` of the network in ``parent``, whose description is ``described``.

    train, test: images of all classes. memory: bytes in which quantizing keeps activations.
    place: folder in which networks are written, measured and removed again.
    """

    parent: str
    described: Mapping[str, Any]
    name: str
    recipe: Mapping[str, Any]
    train: Dataset
    test: Dataset
    seed: int
    memory: int
    device: torch.device
    place: Path
    _shared: dict[str, MeasuredNetwork] = field(default_factory=dict)
    _original: nn.Module | None = None

    def measure(
        self, members: list[int], calibration: str, images: Dataset | None = None
    ) -> tuple[list[dict[str, Any]], dict[str, float]]:
        """``rows`` for a subset's classes, and seconds by ``make``, ``store`` and ``evaluate``.

        images: made images in place of training images, where ``calibration`` uses them.
        """
        start_time = perf_counter()
        measured, made_time = self._measured(members, calibration, images)
        read_time = perf_counter()
        test_images, labels = map(torch.from_numpy, data.of_classes(self.test, members))
        results = rows(measured, test_images, labels, members, self.device)
        end_time = perf_counter()
        return results, {
            "make": made_time - start_time,
            "store": read_time - made_time,
            "evaluate": end_time - read_time,
        }

    def _measured(
        self, members: list[int], calibration: str, images: Dataset | None
    ) -> tuple[MeasuredNetwork, float]:
        """The network, read back from its file, and when it was made."""
        if calibration in self._shared:
            return self._shared[calibration], perf_counter()
        step, variant = step_of(self.recipe), None
        if step is not None:
            variant = MAKERS[step](self._task(members, calibration, images))
        made_time = perf_counter()
        measured = stored(variant, self.place) if variant else read(self.parent)
        if zoo_kinds.serves_every_subset(self.recipe, calibration):
            self._shared[calibration] = measured
        return measured, made_time

    def _task(self, members: list[int], calibration: str, images: Dataset | None) -> Task:
        if self._original is None:
            self._original = packing.load(self.parent).to(self.device)
        all_classes = list(range(len(self.train.classes)))
        classes = all_classes if calibration == "all" else members
        train, test = self.train if images is None else images, self.test
        if STEPS[step_of(self.recipe)].trains:
            train, test = data.only(train, classes), data.only(test, classes)
        return Task(
            network=self._original,
            described=self.described,
            name=self.name,
            recipe=zoo_kinds.calibrated(self.recipe, calibration),
            members=members,
            taken=classes,
            train=train,
            test=test,
            seed=self.seed,
            memory=self.memory,
            device=self.device,
        )
