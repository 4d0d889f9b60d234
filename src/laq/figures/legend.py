"""The legend below figures 5 and 6: how each arm is drawn, in as many rows as it takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.lines import Line2D

from laq.figures.style import BASELINE, HANDLE, LONG_HANDLE, Look, legend_columns, taller
from laq.figures.words import plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Entry = tuple[str, Look]


def growth(entries: Sequence[Entry], published: bool, *headings: str) -> float:
    """Inches by which the figure outgrows one with a legend and headings of one line each."""
    labels = [*(label for label, _ in entries), *["published"] * published]
    return taller(labels, *headings, handle=_handle(entries, published))


def below(figure: Figure, entries: Sequence[Entry], published: bool) -> None:
    """Draw it: a handle for each label, with its marker on its line, and the dashed line."""
    handles = [
        Line2D(
            [],
            [],
            color=look.colour,
            marker=look.marker,
            markersize=4.5,
            markeredgecolor="white",
            markeredgewidth=0.3,
            linewidth=1.3,
            linestyle=look.line,
            label=plain(label),
        )
        for label, look in entries
    ]
    if published:
        handles.append(Line2D([], [], color=BASELINE, linestyle="--", label="published"))
    length = _handle(entries, published)
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=legend_columns([str(handle.get_label()) for handle in handles], length),
        frameon=False,
        handlelength=length,
    )


def _handle(entries: Sequence[Entry], published: bool) -> float:
    """Length of the handles: long enough for the lines where these differ."""
    lines = {look.line for _, look in entries}
    return HANDLE if lines == {"-"} and not published else LONG_HANDLE
