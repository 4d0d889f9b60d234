"""How arms of partial training are drawn in every figure: positions by colour, bits by line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from laq.analysis.partial.table import ALONE
from laq.figures.style import BASELINE, PALETTE, WIDTH, Line, heading, name_row, row_lines
from laq.figures.words import plain

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

POSITIONS = {
    "first": (PALETTE[0], "s"),
    "middle": (PALETTE[1], "D"),
    "last": (PALETTE[2], "o"),
    "named": (PALETTE[7], "P"),
}
_LINES: Sequence[Line] = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)))
_MARKERS = "os^vDP"
TRAINED_ALONE = "these layers trained alone"
CONTROL = "float, trained as long"


def words(width: str) -> str:
    """Bits of weights, and of inputs where these are quantized, in words."""
    weights, _, inputs = width.partition("a")
    return f"{weights} bits" + (f", inputs {inputs}" if inputs else "")


def by_bits(table: pd.DataFrame) -> list[str]:
    """The widths of a table, the fewest bits first."""
    known = table[["bits", "width"]].drop_duplicates().sort_values(["bits", "width"])
    return list(dict.fromkeys(known["width"]))


def faces(widths: Sequence[str], colour: object) -> dict[str, object]:
    """What markers are filled with for each width: their colour, white, and paler and paler."""
    shades = [colour, "white", *((colour, 0.45 / place) for place in range(1, len(widths)))]
    return dict(zip(widths, shades, strict=False))


def lines(widths: Sequence[str]) -> dict[str, Line]:
    """A line for each width, whole for the first."""
    return {width: _LINES[place % len(_LINES)] for place, width in enumerate(widths)}


def markers(widths: Sequence[str]) -> dict[str, str]:
    """A marker for each width."""
    return {width: _MARKERS[place % len(_MARKERS)] for place, width in enumerate(widths)}


def panels(networks: Sequence[str], columns: int, height: float) -> tuple[Figure, np.ndarray]:
    """A row of panels for each network, ``height`` inches each."""
    return plt.subplots(
        len(networks),
        columns,
        figsize=(WIDTH, 0.9 + height * len(networks)),
        squeeze=False,
        layout="constrained",
    )


def name(figure: Figure, rows: np.ndarray, networks: Sequence[str], study: str, shows: str) -> None:
    """The figure's heading, and where there are several networks their names above their rows."""
    if len(networks) > 1:
        for row, network in zip(rows, networks, strict=True):
            if row[0].get_title():
                name_row(row, row_lines(network))
            else:
                text = plain("\n".join(row_lines(network)))
                row[0].set_title(text, loc="left", fontweight="bold")
    one = f"{study}, {networks[0]}" if len(networks) == 1 else study
    figure.suptitle(heading(f"{one}: {shows}"))


def alone(there: Iterable[str], line: Line = "-") -> list[Line2D]:
    """An entry for layers that were trained alone, where there are some."""
    some = any(position.endswith(ALONE) for position in there)
    return [handle(TRAINED_ALONE, "0.35", "o", line, "white")] if some else []


def look(position: str) -> tuple[object, str, bool]:
    """Colour, marker, and whether the marker is hollow, as of layers that were trained alone."""
    return *POSITIONS[position.removesuffix(ALONE)], position.endswith(ALONE)


def edge(colour: object, hollow: bool) -> dict[str, object]:
    """Of a marker, as Matplotlib takes it."""
    if hollow:
        return {"markerfacecolor": "white", "markeredgecolor": colour, "markeredgewidth": 0.8}
    return {"markeredgecolor": "white", "markeredgewidth": 0.4}


def handle(
    label: str, colour: object, marker: str = "", line: Line = "-", face: object = None
) -> Line2D:
    """An entry of a legend."""
    return Line2D(
        [],
        [],
        color=colour,
        marker=marker,
        markersize=4.5,
        markerfacecolor=colour if face is None else face,
        markeredgecolor="white" if face is None else colour,
        markeredgewidth=0.3 if face is None else 0.8,
        linestyle=line,
        linewidth=1.3,
        label=label,
    )


def positions(there: Iterable[str], line: Line = "-") -> list[Line2D]:
    """Entries for the positions that are there."""
    known = {position.removesuffix(ALONE) for position in there}
    return [
        handle(f"{key} layers", colour, marker, line)
        for key, (colour, marker) in POSITIONS.items()
        if key in known
    ]


def legend(figure: Figure, handles: list[Line2D], columns: int = 4) -> None:
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(columns, len(handles)),
        frameon=False,
        handlelength=3.2,
    )


def counts(panel: Axes) -> None:
    """An x axis of numbers of layers."""
    panel.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    panel.set_xlim(left=0)
    panel.set_xlabel("Quantized layers, k")


def over_repeats(rows: pd.DataFrame, column: str, scale: float = 1.0) -> tuple[np.ndarray, ...]:
    """k, and mean, least and largest of a column at each: four (n,)."""
    found = rows.groupby("k")[column].agg(["mean", "min", "max"]) * scale
    return found.index.to_numpy(float), *found.to_numpy(float).T


def control_line(panel: Axes, controls: pd.DataFrame, scale: float = 100.0) -> None:
    """The controls' mean, dashed, with the range of their repeats."""
    top1 = scale * controls["top1"].to_numpy(float)
    panel.axhline(top1.mean(), color=BASELINE, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1.5)
    panel.axhspan(top1.min(), top1.max(), color=BASELINE, alpha=0.1, linewidth=0)
