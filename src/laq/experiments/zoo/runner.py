"""One entry on all subsets and calibrations: made once where one network serves every subset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import nn

from laq import data
from laq.checkpoints import packing
from laq.config import zoo_kinds
from laq.config.recipes import STEPS
from laq.config.recipes import of as step_of
from laq.data import Dataset
from laq.experiments.variants.registry import MAKERS
from laq.experiments.variants.task import Task
from laq.experiments.zoo import measurement
from laq.experiments.zoo.measurement import MeasuredNetwork


@dataclass(eq=False)
class ZooRunner:
    """An entry called ``name`` of the network in ``parent``, which ``described`` is of.

    train, test: images of all classes. memory: that quantizing keeps activations in, in bytes.
    place: folder in which networks are written, weighed and removed again.
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
        """Rows of ``measurement.rows`` for a subset's classes, and seconds by what took them.

        images: in place of training images, where a calibration takes such.
        """
        begin = perf_counter()
        measured, made = self._measured(members, calibration, images)
        ready = perf_counter()
        shown, labels = map(torch.from_numpy, data.of_classes(self.test, members))
        rows = measurement.rows(measured, shown, labels, members, self.device)
        end = perf_counter()
        return rows, {"make": made - begin, "store": ready - made, "evaluate": end - ready}

    def _measured(
        self, members: list[int], calibration: str, images: Dataset | None
    ) -> tuple[MeasuredNetwork, float]:
        """The network, read back from its file, and when it was made."""
        if calibration in self._shared:
            return self._shared[calibration], perf_counter()
        step, made = step_of(self.recipe), None
        if step is not None:
            made = MAKERS[step](self._task(members, calibration, images))
        when = perf_counter()
        measured = measurement.stored(made, self.place) if made else measurement.read(self.parent)
        if zoo_kinds.serves_every_subset(self.recipe, calibration):
            self._shared[calibration] = measured
        return measured, when

    def _task(self, members: list[int], calibration: str, images: Dataset | None) -> Task:
        if self._original is None:
            self._original = packing.load(self.parent).to(self.device)
        everyone = list(range(len(self.train.classes)))
        taken = everyone if calibration == "all" else members
        train, test = self.train if images is None else images, self.test
        if STEPS[step_of(self.recipe)].trains:
            train, test = data.only(train, taken), data.only(test, taken)
        return Task(
            network=self._original,
            described=self.described,
            name=self.name,
            recipe=zoo_kinds.calibrated(self.recipe, calibration),
            members=members,
            taken=taken,
            train=train,
            test=test,
            seed=self.seed,
            memory=self.memory,
            device=self.device,
        )
