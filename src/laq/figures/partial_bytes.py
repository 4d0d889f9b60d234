"""Bytes against the number of quantized layers: of the file, of an update, of a training step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from laq.analysis.partial import table
from laq.figures import partial_looks as looks
from laq.figures.memory import size
from laq.figures.style import BASELINE, STYLE

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

IN_FLOAT = "in float"
SENT = {
    "update_bytes": "a client downloads",
    "step_bytes": "a process sends in a step",
}


def sizes(runs: pd.DataFrame, study: str) -> Figure:
    """The packed file: a row of panels for each network, a panel for each width."""
    everything = table.on_everything(runs)
    curves = table.curves(table.drops(everything))
    networks, widths = list(dict.fromkeys(curves["network"])), looks.by_bits(curves)
    with plt.rc_context(STYLE):
        figure, panels = looks.panels(networks, len(widths), 2.4)
        for row, network in zip(panels, networks, strict=True):
            own = curves[curves["network"] == network]
            controls = table.controls(everything)
            before = float(controls.loc[controls["network"] == network, "bytes"].mean())
            for panel, width in zip(row, widths, strict=True):
                panel.axhline(before, color=BASELINE, linewidth=0.9, linestyle=(0, (4, 3)))
                _draw(panel, own[own["width"] == width], "bytes", "-", before)
                panel.set_title(looks.words(width))
                _axes(panel)
            row[0].set_ylabel("Bytes of the file")
        looks.name(figure, panels, networks, study, "size by number of quantized layers")
        looks.legend(
            figure,
            [
                *looks.positions(curves["position"]),
                looks.handle(IN_FLOAT, BASELINE, line=(0, (4, 3))),
            ],
        )
    return figure


def bandwidth(runs: pd.DataFrame, study: str) -> Figure:
    """Bytes sent: a row of panels for each network, one for an update and one for a step.

    Lines of a position differ by bits; thin ones are the same layers in float. What a client
    downloads is on a logarithmic axis.
    """
    everything = table.on_everything(runs)
    curves = table.curves(table.drops(everything), table.WITH_ALONE)
    networks, widths = list(dict.fromkeys(curves["network"])), looks.by_bits(curves)
    lines = looks.lines(widths)
    with plt.rc_context(STYLE):
        figure, panels = looks.panels(networks, len(SENT), 2.7)
        for row, network in zip(panels, networks, strict=True):
            own = curves[curves["network"] == network]
            for panel, (quantity, words) in zip(row, SENT.items(), strict=True):
                for width, line in lines.items():
                    _draw(panel, own[own["width"] == width], quantity, line)
                _in_float(panel, own[own["width"] == widths[0]], f"{quantity}_float")
                panel.set_title(words)
                _axes(panel, logarithmic=quantity == "update_bytes")
                if own[quantity].isna().all():
                    panel.text(0.5, 0.5, "not measured", transform=panel.transAxes, ha="center")
            row[0].set_ylabel("Bytes")
        looks.name(figure, panels, networks, study, "bandwidth by number of quantized layers")
        looks.legend(
            figure,
            [
                *looks.positions(curves["position"]),
                *looks.alone(curves["position"]),
                *(looks.handle(looks.words(one), "0.35", line=line) for one, line in lines.items()),
                looks.handle(IN_FLOAT, "0.35", "."),
            ],
        )
    return figure


def _draw(
    panel: Axes, own: pd.DataFrame, quantity: str, line: object, before: float | None = None
) -> None:
    for position, rows in own[own[quantity].notna()].groupby("position", sort=False):
        colour, marker, hollow = looks.look(str(position))
        k, mean, _, _ = looks.over_repeats(rows, quantity)
        if before is not None:
            panel.plot([0, k[0]], [before, mean[0]], color=colour, linewidth=1.2)
        panel.plot(k, mean, marker=marker, color=colour, linestyle=line, linewidth=1.2,
                   markersize=4, **looks.edge(colour, hollow))  # fmt: skip


def _in_float(panel: Axes, own: pd.DataFrame, quantity: str) -> None:
    for position, rows in own[own[quantity].notna()].groupby("position", sort=False):
        colour, _, _ = looks.look(str(position))
        k, mean, _, _ = looks.over_repeats(rows, quantity)
        panel.plot(k, mean, ".-", color=colour, linewidth=0.6, markersize=3, alpha=0.8)


def _axes(panel: Axes, logarithmic: bool = False) -> None:
    looks.counts(panel)
    if logarithmic:
        panel.set_yscale("log")
        panel.yaxis.set_major_locator(LogLocator())
        panel.yaxis.set_minor_formatter(NullFormatter())
    else:
        panel.set_ylim(bottom=0)
        panel.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    panel.yaxis.set_major_formatter(FuncFormatter(_shown))


def _shown(value: float, _: int) -> str:
    return "0" if np.isclose(value, 0) else size(value).replace(".0 ", " ")
