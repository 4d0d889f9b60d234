"""Calibration images made without data, beside training images, a row each kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from laq.data.dataset import Dataset
from laq.figures.style import STYLE, WIDTH, heading
from laq.figures.words import plain, text_width, wrap

SIDE = 1.1  # inches that the rows' names take at the left
NAME, LABEL = 8, 6  # points of a row's name, of an image's class
LINE = 0.12  # inches that a class takes below its image

_KINDS = {
    "training": "training images",
    "synthetic": "optimised pixels",
    "generated": "generator",
}
_CLASSES = {"all": "all classes", "none": "no class asked"}


@dataclass(frozen=True, eq=False)
class ImageRow:
    """Images uint8 (n, channels, h, w) of one kind, with a class's name each, and the row's own.

    asked: whether images were asked to be of their classes, or seen so by the network.
    """

    name: str
    images: NDArray[np.uint8]
    classes: Sequence[str]
    asked: bool = True

    @classmethod
    def of_classes(cls, name: str, images: Dataset, members: Sequence[int], count: int) -> ImageRow:
        """The first images of each of the classes ``members`` in turn, ``count`` at most."""
        indices = [np.flatnonzero(images.labels == member) for member in members]
        depth = max(map(len, indices))
        order = [index[rank] for rank in range(depth) for index in indices if rank < len(index)]
        return cls._at(name, images, order[:count])

    @classmethod
    def first(cls, name: str, images: Dataset, count: int, asked: bool = True) -> ImageRow:
        """The first ``count`` images, whatever they are of."""
        return cls._at(name, images, range(min(count, len(images.labels))), asked)

    @classmethod
    def _at(cls, name: str, images: Dataset, places: Sequence[int], asked: bool = True) -> ImageRow:
        indices = list(places)
        names = [images.classes[label] for label in images.labels[indices]]
        return cls(name, images.images[indices], names, asked)


def title(classes: str, kind: str) -> str:
    """A row's name: how its images were made, and for which classes (a subset's id, all, none)."""
    return f"{_KINDS[kind]}: {_CLASSES.get(classes, classes)}"


def made_images(rows: Sequence[ImageRow], columns: int, heading_text: str) -> Figure:
    """A row of panels for each of ``rows``, its name at the left, classes below the images.

    A class in brackets is the one that the network sees where none was asked for.
    """
    side = (WIDTH - SIDE) / columns
    text = heading(heading_text)
    top = 0.1 + 0.17 * (text.count("\n") + 1)
    row_height = side + LINE
    height = top + row_height * len(rows) + 0.05
    with plt.rc_context({**STYLE, "axes.grid": False}):
        figure = plt.figure(figsize=(WIDTH, height))
        figure.suptitle(text, y=1 - 0.05 / height, va="top")
        for number, row in enumerate(rows):
            bottom = height - top - row_height * (number + 1) + LINE
            lines = wrap(row.name, SIDE - 0.15, NAME)
            figure.text(
                (SIDE - 0.08) / WIDTH,
                (bottom + side / 2) / height,
                plain("\n".join(lines)),
                size=NAME,
                ha="right",
                va="center",
            )
            for column, (image, name) in enumerate(zip(row.images, row.classes, strict=True)):
                box = (SIDE + column * side, bottom, 0.94 * side, 0.94 * side)
                panel = figure.add_axes(
                    (box[0] / WIDTH, box[1] / height, box[2] / WIDTH, box[3] / height)
                )
                _draw(panel, image)
                label = _fitting(name if row.asked else f"({name})", side)
                panel.text(
                    0.5,
                    -0.04,
                    plain(label),
                    size=LABEL,
                    ha="center",
                    va="top",
                    transform=panel.transAxes,
                )
    return figure


def _draw(panel: Axes, image: NDArray[np.uint8]) -> None:
    """``image`` (channels, h, w): three channels as colours, else the first as grey."""
    panel.set_axis_off()
    if len(image) == 3:
        panel.imshow(image.transpose(1, 2, 0), interpolation="none")
    else:
        panel.imshow(image[0], cmap="gray", vmin=0, vmax=255, interpolation="none")


def _fitting(name: str, width: float) -> str:
    """As much of ``name`` as a line of ``width`` inches holds."""
    if text_width(name, LABEL) <= width:
        return name
    while name and text_width(f"{name}…", LABEL) > width:
        name = name[:-1]
    return f"{name}…"
