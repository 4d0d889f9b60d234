"""The legend below figures 5 and 6: how each arm is drawn, in as many rows as it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from laq.figures.style import BASELINE, HANDLE, LONG_HANDLE, Look, legend_columns, taller
from laq.figures.words import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
if TYPE_CHECKING:
    from matplotlib.figure import Figure


# A line through points with a bar at each: what figures of Deep Compression compare.


@dataclass(frozen=True)
class Pen:
    """Widths in points of print, of line, marker, its white edge and bar; how opaque a bar is."""

    line: float
    marker: float
    edge: float
    bar: float
    opaque: float = 1.0


def line_with_bars(
    panel: Axes,
    x: ArrayLike,
    y: ArrayLike,
    ends: tuple[ArrayLike, ArrayLike],
    look: Look,
    pen: Pen,
    zorder: tuple[float, float] = (2, 3),
    **style: Any,
) -> None:
    """Draw points ``y`` (n,) at ``x`` with bars from the lower to the upper ``ends``, each (n,).

    zorder: of bars and of the line. style: of both, such as a transform.
    """
    style["color"] = look.colour
    bars = {"linewidth": pen.bar, "alpha": pen.opaque, "zorder": zorder[0]}
    panel.vlines(x, *ends, **bars, **style)
    panel.plot(
        *(x, y, look.marker),
        linestyle="-",
        linewidth=pen.line,
        markersize=pen.marker,
        markeredgecolor="white",
        markeredgewidth=pen.edge,
        zorder=zorder[1],
        **style,
    )


Entry = tuple[str, Look]


def growth(entries: Sequence[Entry], published: bool, *headings: str) -> float:
    """Inches by which the figure outgrows one with a legend and headings of one line each."""
    labels = [*(label for label, _ in entries), *["published"] * published]
    return taller(labels, *headings, handle=_handle(entries, published))


def below(figure: Figure, entries: Sequence[Entry], published: bool) -> None:
    """Draw the legend: a handle for each label, with its marker on its line, and a dashed one."""
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
