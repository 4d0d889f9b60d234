"""One look for all figures: colour-blind-safe, readable in print, a variant always the same.

Use ``with plt.rc_context(STYLE):`` around a figure, ``looks`` for colours and markers, and
``save`` to write it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl

mpl.use("Agg")

import numpy as np
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb

from laq.figures import words
from laq.figures.words import plain, wrap
from laq.utils.files import atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Width of a figure over the whole page, in inches.
WIDTH = 7.0
STYLE = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "figure.titlesize": 10,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.linewidth": 0.4,
    "grid.color": "0.88",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "pdf.fonttype": 42,
    "figure.dpi": 200,
}
# Names of the variants that the study is about; others have their names of the config.
NAMES = {
    "original": "Original",
    "quant": "Quant",
    "ft": "FT",
    "ft_quant": "FT + Quant",
    "mp53": "5 + 3 bits",
    "mp35": "3 + 5 bits",
    "agnostic": "Label-agnostic",
    "bits32": "32-bit control",
}
PALETTE = sns.color_palette("colorblind")
BASELINE = (0.2, 0.2, 0.2)  # what others are compared with is grey

LINE = 0.17  # inches that a further line of text adds to a figure's height

HANDLE, LONG_HANDLE = 2.0, 3.6  # of legends, in sizes of the text; long where lines differ

Colour = tuple[float, float, float]
Line = str | tuple[int, tuple[int, ...]]


@dataclass(frozen=True)
class Look:
    """How a variant is drawn, wherever it is."""

    colour: Colour
    marker: str
    line: Line = "-"


_KNOWN = {
    "original": Look(BASELINE, "o"),
    "quant": Look(PALETTE[0], "s"),
    "ft": Look(PALETTE[2], "D"),
    "ft_quant": Look(PALETTE[3], "^"),
    "mp53": Look(PALETTE[1], "v"),
    "mp35": Look(PALETTE[7], "P"),
    "agnostic": Look(PALETTE[5], "X"),
    # The palette's own purple is quant's blue to some eyes.
    "bits32": Look(to_rgb("#b3006b"), "*"),
}
# Three colours, of which the last stands for the palette's yellow, too pale on white, seven
# markers and four lines: points repeat after 21 further variants, curves after 12. No line is
# plainly dashed, as published curves are.
_FURTHER_COLOURS = (PALETTE[9], PALETTE[6], to_rgb("#332288"))
_FURTHER_MARKERS = "<>phdH8"
_FURTHER_LINES: tuple[Line, ...] = ("-", "-.", ":", (0, (8, 2, 1, 2, 1, 2)))


def name(variant: str) -> str:
    """What a figure calls a variant."""
    return NAMES.get(variant, variant)


def heading(text: str, size: float = 10) -> str:
    """A figure's heading with the user's words in it, plain, in lines that the page holds.

    ``size``: of the letters, in points.
    """
    lines = [
        line for paragraph in text.splitlines() for line in wrap(paragraph, 0.96 * WIDTH, size)
    ]
    return plain("\n".join(lines))


def looks(variants: Iterable[str]) -> dict[str, Look]:
    """A look for each variant: its own for those of ``NAMES``, the others in order.

    Give all variants of the study, in the config's order, so that one which a figure leaves
    out does not change the look of the rest.
    """
    cycles = (_FURTHER_COLOURS, _FURTHER_MARKERS, _FURTHER_LINES)
    further = zip(*map(cycle, cycles), strict=False)
    return {
        variant: _KNOWN[variant] if variant in _KNOWN else Look(*next(further))
        for variant in dict.fromkeys(variants)
    }


def legend_columns(labels: Sequence[str], handle: float = HANDLE) -> int:
    """The most columns of a legend below a figure that leave it within the page.

    In points of print, for text of 8: gaps take about 24, a letter 4.8. ``handle``: the
    handles' length, in sizes of the text.
    """
    widths = [24 + 8 * handle + 4.8 * len(label) for label in labels]
    for columns in range(len(labels), 1, -1):
        groups = np.array_split(widths, columns)  # as Matplotlib fills them
        if sum(max(column) for column in groups) <= 72 * WIDTH:
            return columns
    return 1


def taller(labels: Sequence[str], *headings: str, handle: float = HANDLE) -> float:
    """Inches by which a figure outgrows one with a legend and headings of one line each."""
    rows = -(-len(labels) // legend_columns(labels, handle)) if labels else 1
    return LINE * (rows - 1 + sum(text.count("\n") for text in headings))


def row_lines(text: str) -> list[str]:
    """A name of the user's for ``name_row``, in lines that the page holds, bold as they are."""
    return wrap(text, 0.86 * (WIDTH - 0.8), STYLE["axes.titlesize"])


def name_row(panels: Sequence[Axes], lines: Sequence[str]) -> None:
    """The name of a row of panels, of ``row_lines``, at the left above the panels' titles."""
    for panel in panels:
        panel.set_title("\n" * len(lines) + (panel.get_title() or " "))
    title = panels[0].title
    # Not as a title on the left: its width would push the panels apart.
    panels[0].annotate(
        plain("\n".join(lines)),
        xy=(0, 1),
        xycoords=(panels[0].transAxes, title),
        fontsize=plt.rcParams["axes.titlesize"],
        fontweight="bold",
        va="top",
        annotation_clip=False,
    ).set_in_layout(False)


def save(figure: Figure, *paths: str | os.PathLike[str]) -> None:
    """Write the figure to each path in the format of its suffix, atomically and without dates.

    Letters that the default font lacks are drawn in installed fonts that have them.
    """
    words.supply(figure, Path(paths[0]).stem)
    for path in paths:
        with atomic(path) as temporary, words.quiet():
            metadata = {"CreationDate": None} if temporary.suffix == ".pdf" else None
            figure.savefig(temporary, metadata=metadata)
    plt.close(figure)
