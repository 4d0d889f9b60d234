"""The arms of a job: each is one network made of the trained one, with k layers quantized.

An arm has a *position*, where its quantized layers lie. The arms of a position and of one number of
bits are one job. Beside them are the control, trained as long in float (k = 0), and arms that are
compared with them: the whole network quantized without training, from that control.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from laq.data import Dataset
from laq.experiments.partial import selection
from laq.experiments.partial.selection import ENDS, Choice, Layers
from laq.utils import seeds

# Images of an arm's training: as many for any set of classes, so that all take equal steps.


def drawn(dataset: Dataset, count: int | None, seed: int, *purpose: str | int) -> Dataset:
    """``count`` images of ``dataset``, evenly of its classes; all, once each, where it is None.

    Where there are fewer images, all are taken equally often, to within one. Draws are for
    ``purpose`` (see ``laq.utils.seeds``).
    """
    if count is None:
        return dataset
    passes, remainder = divmod(count, len(dataset.labels))
    order = seeds.stream(seed, "partial", *purpose).permutation(len(dataset.labels))
    labels = dataset.labels[order]
    # The first of every class, then the second of every class, and so on.
    rank = np.zeros(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        members = labels == label
        rank[members] = np.arange(members.sum())
    order = order[np.argsort(rank, kind="stable")]
    indices = np.concatenate([np.arange(len(labels))] * passes + [np.sort(order[:remainder])])
    return Dataset(dataset.images[indices], dataset.labels[indices], dataset.classes)


# Classes of an arm that is trained on the images of all classes.
ALL = "all"
# Positions that are measured on all classes alone.
_UNAWARE = ("single", "named")


@dataclass(frozen=True)
class Arm:
    """One network to be made.

    method: ``qat``; ``float``, the control; ``compress``, without training. recipe: of a variant,
    with that step. choice: its quantized layers. repeat: from 1; it determines the seed. classes:
    whose images it is trained on, ``all`` or a subset's id.
    """

    method: str
    position: str
    choice: Choice
    recipe: Mapping[str, Any]
    repeat: int
    classes: str

    @property
    def columns(self) -> dict[str, Any]:
        """Columns of a table that identify the arm, beside its numbers."""
        settings = self.recipe.get("qat", {})
        return {
            "arm": self.choice.label,
            "method": self.method,
            "position": self.position,
            "trained": settings.get("train", ALL),
        }

    def words(self, layers: Layers) -> str:
        """Which layers are quantized, in words, for reasons in tables."""
        count, label = len(layers.names), self.choice.label
        if self.position in ENDS:
            return f"the {self.position} {self.choice.k} of {count} layers"
        if self.position == "none":
            return "no layer, the control"
        if self.position == "whole":
            return f"all {count} layers"
        return f"the layer {label}" if self.position == "single" else f"the layers of {label}"


def planned(
    layers: Layers, position: str, settings: Mapping[str, Any], subsets: Sequence[str]
) -> Iterator[Arm]:
    """The arms of a job; settings: by ``laq.config.partial_jobs``."""
    if position == "control":
        return controls(settings, subsets)
    if position == "compared":
        return compared(layers, settings, subsets)
    return of_position(layers, position, settings, subsets)


def of_position(
    layers: Layers, position: str, settings: Mapping[str, Any], subsets: Sequence[str]
) -> Iterator[Arm]:
    """The arms of a position at one number of bits."""
    training = settings["training"]
    class_sets = [ALL] if position in _UNAWARE else [ALL, *subsets]
    for choice in selection.choices(layers, position, settings.get("k"), settings.get("named")):
        entry = {**training, "bits": settings["bits"], "layers": layers.with_sharing(choice.names)}
        for classes, repeat in _each(class_sets, settings["repeats"]):
            recipe = {"parent": "original", "qat": {**entry, "classes": _whose(classes)}}
            yield Arm("qat", position, choice, recipe, repeat, classes)


def controls(settings: Mapping[str, Any], subsets: Sequence[str]) -> Iterator[Arm]:
    """The control of every seed and set of classes: no layer is quantized."""
    choice = Choice("float", 0, ())
    for classes, repeat in _each([ALL, *subsets], settings["repeats"]):
        recipe = {"parent": "original", "finetune": dict(settings["training"])}
        yield Arm("float", "none", choice, recipe, repeat, classes)


def compared(layers: Layers, settings: Mapping[str, Any], subsets: Sequence[str]) -> Iterator[Arm]:
    """The whole network quantized by other means, from the control of the same seed and classes."""
    for name, recipe in settings["compared"].items():
        choice = Choice(name, len(layers.names), layers.names)
        for classes, repeat in _each([ALL, *subsets], settings["repeats"]):
            calibration = {"classes": _whose(classes), "images_from": "training"}
            entry = {"parent": "float", "compress": {**recipe["compress"], **calibration}}
            yield Arm("compress", "whole", choice, entry, repeat, classes)


def _each(classes: Sequence[str], repeats: int) -> Iterator[tuple[str, int]]:
    return ((name, repeat) for name in classes for repeat in range(1, repeats + 1))


def _whose(classes: str) -> str:
    return ALL if classes == ALL else "subset"
