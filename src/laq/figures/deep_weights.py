"""Deep Compression: how a layer's weights are distributed before and after each stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.ticker import MaxNLocator

from laq.figures.style import (
    BASELINE,
    LINE,
    PALETTE,
    STYLE,
    WIDTH,
    heading,
    name_row,
    row_lines,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STAGES = {
    "original": ("in float", BASELINE),
    "pruned": ("pruned (P)", PALETTE[1]),
    "shared": ("values shared (P + Q)", PALETTE[0]),
}


def weights(table: pd.DataFrame, study: str) -> Figure:
    """A row of panels for each network: its largest layer, stage by stage.

    table: rows of ``deep/{network}/weights.csv`` of all networks. Bins are counted, and shared
    values each by the weights that have it, on a logarithmic axis; hollow marks say where k-means
    had put these values before they were trained.
    """
    networks = list(dict.fromkeys(table["network"]))
    title = heading(f"{study}: weights before and after")
    shown = {network: _largest(table[table["network"] == network]) for network in networks}
    names = {network: row_lines(f"{network}, {own[0]}") for network, own in shown.items()}
    height = 0.6 + 2.3 * len(networks) + LINE * (sum(map(len, names.values())) + title.count("\n"))
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(
            len(networks),
            len(STAGES),
            figsize=(WIDTH, height),
            sharex="row",
            sharey="row",
            squeeze=False,
            layout="constrained",
        )
        for row, (network, (_, own)) in zip(panels, shown.items(), strict=True):
            for panel, (stage, (words, colour)) in zip(row, STAGES.items(), strict=True):
                rows = own[own["stage"] == stage]
                if stage == "shared":
                    _stems(panel, own[own["stage"] == "clustered"], rows, colour)
                else:
                    panel.stairs(
                        rows["count"],
                        [*rows["low"], rows["high"].iloc[-1]],
                        fill=True,
                        color=colour,
                        alpha=0.85,
                    )
                panel.set_title(f"{words}\n{_told(rows, stage)}")
            _axes(row[0], own)
            row[0].set_ylabel("Weights, in each bin\nor of each value")
            name_row(row, names[network])
        for panel in panels[-1]:
            panel.set_xlabel("Weight")
        figure.suptitle(title)
    return figure


def _largest(own: pd.DataFrame) -> tuple[str, pd.DataFrame]:
    """The layer of the most weights, the first of equals, with its rows."""
    sizes = own[own["stage"] == "original"].groupby("layer", sort=False)["count"].sum()
    layer = str(sizes.idxmax())
    return layer, own[own["layer"] == layer]


def _told(rows: pd.DataFrame, stage: str) -> str:
    count = f"{int(rows['count'].sum()):,}"
    if stage == "shared":
        return f"{len(rows)} values"
    return f"{count} weights" if stage == "original" else f"{count} are left"


def _stems(panel: Axes, before: pd.DataFrame, after: pd.DataFrame, colour: object) -> None:
    """A stem for each trained value, and a hollow mark where it was to begin with."""
    panel.vlines(after["low"], 0.7, after["count"], color=colour, linewidth=0.9)
    panel.plot(after["low"], after["count"], "o", color=colour, markersize=3, label="trained")
    panel.plot(
        before["low"],
        before["count"],
        "o",
        color=PALETTE[3],
        markerfacecolor="none",
        markersize=4.5,
        markeredgewidth=0.7,
        label="k-means",
    )
    panel.legend(loc="upper left", fontsize=6.5, frameon=False, handletextpad=0.1, borderpad=0)


def _axes(panel: Axes, own: pd.DataFrame) -> None:
    panel.set_yscale("log")
    panel.set_ylim(0.7, 4 * float(own["count"].max()))
    reach = float(np.abs(own[["low", "high"]].to_numpy(float)).max())
    panel.set_xlim(-1.05 * reach, 1.05 * reach)
    panel.xaxis.set_major_locator(MaxNLocator(5, symmetric=True))
