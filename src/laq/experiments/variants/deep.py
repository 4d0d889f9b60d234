"""A variant by Deep Compression: pruned, with shared weights, and an entropy-coded file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from laq import data
from laq.checkpoints import graph_edits, packing
from laq.checkpoints.deep_container import file
from laq.deep_compression import pipeline
from laq.deep_compression.pipeline import Pipeline
from laq.experiments.deep import measured
from laq.experiments.variants.task import MadeVariant, Task
from laq.experiments.variants.trainable import begun
from laq.ptq import layer_report as report
from laq.ptq.sequential import layer_report

Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Deep(MadeVariant):
    """course: the network after every stage. coder: of the file. scores: of the stages, by
    ``laq.experiments.deep.runner``. parameters: their number in the network."""

    course: Pipeline | None = None
    coder: str = "huffman"
    scores: tuple[Row, ...] = ()
    parameters: int = 0

    def save(self, path: str | os.PathLike[str]) -> None:
        file.save(path, self.state, self.description, self.course.shared, self.coder)

    def report(self, path: str | os.PathLike[str]) -> list[Row]:
        """The layer report of the weights in the file at ``path``."""
        packed, network = packing.read(path).packed, self.course.network
        rows = {}
        for name, (weight,) in packed.items():
            layer = name.removesuffix(".weight")
            rows[layer] = report.trained(layer, network.get_submodule(layer), weight)
        layers = layer_report(network, self.course.met, self.course.reasons, rows)
        return [vars(layer) for layer in layers]

    def stages(self, place: Path) -> list[Row]:
        """Scores and sizes of each stage, whose files are written to the folder ``place``."""
        sizes = measured.sizes(self.parameters, self.course, self.description, self.coder, place)
        return measured.table(self.scores, sizes)


def make(task: Task) -> Deep:
    """The parent compressed as the recipe's ``deep`` entry says."""
    settings = task.recipe["deep"]
    network, train, test, generator = begun(task)
    spec = graph_edits.spec(task.described)
    result = pipeline.compress(
        network, train, test, settings, generator, task.device, task.state, spec
    )
    images = tuple(map(torch.from_numpy, data.of_classes(task.test, task.members)))
    original = task.network
    return Deep(
        result.network.state_dict(),
        describe(task),
        history=result.history,
        course=result,
        coder=settings["coder"],
        scores=tuple(measured.scores(original, result, images, task.members, task.device)),
        parameters=sum(parameter.numel() for parameter in original.parameters()),
    )


def describe(task: Task) -> dict[str, Any]:
    """The description in the file of a ``task``."""
    return packing.derived(
        task.described,
        task.name,
        task.recipe,
        **task.facts,
        calibration={
            "classes": task.recipe["deep"]["classes"],
            "images": len(task.train.labels),
        },
    )
