"""Deep Compression: accuracy against compression ratio, by what is done to a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib import pyplot as plt
from matplotlib.lines import Line2D

from laq.analysis.statistics.rates import wilson_interval
from laq.figures.axis import limits, span
from laq.figures.error_axis import by_error
from laq.figures.points import Pen, line_with_bars
from laq.figures.style import (
    BASELINE,
    LINE,
    PALETTE,
    STYLE,
    WIDTH,
    Look,
    heading,
    legend_columns,
    name_row,
    row_lines,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

METHODS = {
    "both": ("pruning + quantization", Look(PALETTE[0], "s")),
    "pruning": ("pruning only", Look(PALETTE[1], "^")),
    "quantization": ("quantization only", Look(PALETTE[2], "D")),
    "lowrank": ("low rank (SVD)", Look(PALETTE[3], "o")),
}
# The two panels of a network, by the column ``training``.
TRAINED = {"retrained": "retrained", "none": "without any training"}
PEN = Pen(line=1.2, marker=5, edge=0.4, bar=0.8, opaque=0.5)
TOP1 = "Top-1 (%),\nby the root of the error"


def curves(table: pd.DataFrame, stages: pd.DataFrame, study: str, confidence: float) -> Figure:
    """A row of panels for each network: compressed with retraining, and without.

    table: rows of ``deep/{network}/curves.csv`` of all networks; stages: of ``stages.csv``, which
    say what the networks score in float. Bars are Wilson's intervals over test images.
    """
    networks = list(dict.fromkeys(table["network"]))
    title = heading(f"{_study(study, networks)}: accuracy against compression ratio")
    names = [row_lines(network) for network in networks if len(networks) > 1]
    height = 0.9 + 2.7 * len(networks) + LINE * (sum(map(len, names)) + title.count("\n"))
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(
            len(networks),
            len(TRAINED),
            figsize=(WIDTH, height),
            sharex="row",
            squeeze=False,
            layout="constrained",
        )
        for row, network in zip(panels, networks, strict=True):
            own = table[table["network"] == network]
            top1 = 100 * float(original(stages, network)["top1"])
            span(row[0], limits(own["ratio"], "log"), "log")
            for panel, (training, words) in zip(row, TRAINED.items(), strict=True):
                there = own[own["training"] == training]
                low, high = wilson_interval(there["correct"], there["n"], confidence)
                by_error(panel, [*100 * low, *100 * high, top1])
                _draw(panel, there, confidence)
                panel.axhline(top1, color=BASELINE, linewidth=0.9, linestyle=(0, (4, 3)))
                panel.set_title(words)
            row[0].set_ylabel(TOP1)
        for row, lines in zip(panels, names, strict=False):
            name_row(row, lines)
        for panel in panels[-1]:
            panel.set_xlabel("Compression ratio, before entropy coding")
        handles = [_handle(words, look) for words, look in METHODS.values()]
        handles.append(
            Line2D([], [], color=BASELINE, linewidth=0.9, linestyle=(0, (4, 3)), label="in float")
        )
        labels = [str(handle.get_label()) for handle in handles]
        columns = legend_columns(labels)
        figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False)
        figure.suptitle(title)
    return figure


def original(stages: pd.DataFrame, network: str) -> pd.Series:
    """The row of ``stages.csv`` of a network in float."""
    own = (stages["network"] == network) & (stages["stage"] == "original")
    return stages[own].iloc[0]


def _study(study: str, networks: list[str]) -> str:
    return f"{study}, {networks[0]}" if len(networks) == 1 else study


def _draw(panel: Axes, own: pd.DataFrame, confidence: float) -> None:
    for method, (_, look) in METHODS.items():
        rows = own[own["method"] == method].sort_values("ratio", kind="stable")
        if rows.empty:
            continue
        x, y = rows["ratio"].to_numpy(float), 100 * rows["top1"].to_numpy(float)
        low, high = wilson_interval(rows["correct"], rows["n"], confidence)
        line_with_bars(panel, x, y, (100 * low, 100 * high), look, PEN)


def _handle(words: str, look: Look) -> Line2D:
    return Line2D([], [], color=look.colour, marker=look.marker, linewidth=1.2, label=words)
