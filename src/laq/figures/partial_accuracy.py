"""Accuracy against the number of quantized layers, by position and bits, with the formula."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

from laq.analysis.partial import table
from laq.analysis.partial.forms import FORMS
from laq.figures import partial_looks as looks
from laq.figures.style import BASELINE, STYLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEAST = 2.0  # points that an axis spans, so that noise does not fill it


def accuracy(runs: pd.DataFrame, formula: pd.DataFrame, study: str) -> Figure:
    """A row of panels for each network, a panel for each width, a curve for each position.

    runs: rows of ``laq.analysis.partial.table.read``; formula: of ``partial_qat/formula.csv``. A
    line is the mean over repeats, its band their range; thin is the formula that was chosen.
    """
    everything = table.on_everything(runs)
    curves = table.curves(table.drops(everything), table.WITH_ALONE)
    networks, widths = list(dict.fromkeys(curves["network"])), looks.by_bits(curves)
    chosen = formula[formula["chosen"].astype(bool) & (formula["quantity"] == "top1_drop")]
    with plt.rc_context(STYLE):
        figure, panels = looks.panels(networks, len(widths), 2.5)
        for row, network in zip(panels, networks, strict=True):
            own = curves[curves["network"] == network]
            controls = table.controls(everything)
            controls = controls[controls["network"] == network]
            for panel, width in zip(row, widths, strict=True):
                here = (chosen["network"] == network) & (chosen["width"].astype(str) == width)
                _draw(panel, own[own["width"] == width], controls, chosen[here])
                panel.set_title(looks.words(width))
            row[0].set_ylabel("Top-1 (%)")
        looks.name(figure, panels, networks, study, "accuracy by number of quantized layers")
        looks.legend(
            figure,
            [
                *looks.positions(curves["position"]),
                *looks.alone(curves["position"]),
                looks.handle(looks.CONTROL, BASELINE, line=(0, (4, 3))),
                looks.handle("formula", "0.35", line=(0, (1, 1))),
            ],
            3,
        )
    return figure


def _draw(panel: Axes, own: pd.DataFrame, controls: pd.DataFrame, chosen: pd.DataFrame) -> None:
    looks.control_line(panel, controls)
    top1 = 100 * controls["top1"]
    before, start = top1.mean(), (top1.mean(), top1.min(), top1.max())
    for position, rows in own.groupby("position", sort=False):
        colour, marker, hollow = looks.look(str(position))
        k, *values = looks.over_repeats(rows, "top1", 100)
        panel.plot(k, values[0], marker, color=colour, markersize=4, zorder=3,
                   **looks.edge(colour, hollow))  # fmt: skip
        if not hollow:  # else the float control is not where its curve begins
            k, values = np.insert(k, 0, 0), list(map(_begin, values, start))
        panel.fill_between(k, *values[1:], color=colour, alpha=0.15, linewidth=0)
        line = (0, (3, 2)) if hollow else "-"
        panel.plot(k, values[0], color=colour, linewidth=0.9 if hollow else 1.2, linestyle=line)
        for fit in chosen[chosen["position"] == position].to_dict("records"):
            at, drop = _formula(fit, rows)
            panel.plot(at, before - 100 * drop, color=colour, linewidth=1, linestyle=(0, (1, 1)))
    looks.counts(panel)
    low, high = panel.get_ylim()
    if high - low < LEAST:
        panel.set_ylim(*((low + high) / 2 + np.array([-LEAST, LEAST]) / 2))


def _begin(values: np.ndarray, first: float) -> np.ndarray:
    return np.insert(values, 0, first)


def _formula(fit: dict, rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """k and the drop that a row of the formula's table says, between the k that were run."""
    known = rows.groupby("k")[["share", "weights_share"]].mean()
    ks = np.insert(known.index.to_numpy(float), 0, 0)
    x = np.insert(known[fit["variable"]].to_numpy(float), 0, 0)
    k = np.linspace(0, ks[-1], 121) if fit["variable"] == "share" else ks
    parameters = np.array([fit["a"], fit["b"], fit["c"]], dtype=float)
    return k, FORMS[fit["form"]].at(np.interp(k, ks, x), parameters)
