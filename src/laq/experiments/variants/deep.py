"""A variant that is pruned, whose weights share values, and whose file is entropy-coded."""

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
from laq.experiments.deep import runner
from laq.experiments.variants.task import MadeVariant, Task
from laq.experiments.variants.trainable import begun
from laq.ptq import layer_report as report
from laq.ptq.sequential import layer_report

Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Deep(MadeVariant):
    """course: after every stage. coder: of the file. scores: of the stages, by
    ``laq.experiments.deep.runner``. parameters: of the network."""

    course: Pipeline | None = None
    coder: str = "huffman"
    scores: tuple[Row, ...] = ()
    parameters: int = 0

    def save(self, path: str | os.PathLike[str]) -> None:
        file.save(path, self.state, self.description, self.course.shared, self.coder)

    def report(self, path: str | os.PathLike[str]) -> list[Row]:
        """The layer report, of what the file at ``path`` holds."""
        held, network = packing.read(path).packed, self.course.network
        rows = {}
        for name, (weight,) in held.items():
            layer = name.removesuffix(".weight")
            rows[layer] = report.trained(layer, network.get_submodule(layer), weight)
        found = layer_report(network, self.course.met, self.course.reasons, rows)
        return [vars(layer) for layer in found]

    def stages(self, place: Path) -> list[Row]:
        """What each stage scores and takes, its files being written to the folder ``place``."""
        sized = runner.sizes(self.parameters, self.course, self.description, self.coder, place)
        return runner.table(self.scores, sized)


def make(task: Task) -> Deep:
    """The parent compressed as the recipe's ``deep`` entry says."""
    settings = task.recipe["deep"]
    network, train, test, generator = begun(task)
    spec = graph_edits.spec(task.described)
    done = pipeline.compress(
        network, train, test, settings, generator, task.device, task.state, spec
    )
    images = tuple(map(torch.from_numpy, data.of_classes(task.test, task.members)))
    original = task.network
    return Deep(
        done.network.state_dict(),
        describe(task),
        history=done.history,
        course=done,
        coder=settings["coder"],
        scores=tuple(runner.scores(original, done, images, task.members, task.device)),
        parameters=sum(parameter.numel() for parameter in original.parameters()),
    )


def describe(task: Task) -> dict[str, Any]:
    """What the file of a ``task`` says of itself."""
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
