"""The study's figures: one look, colour-blind-safe, readable in print."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import matplotlib as mpl

mpl.use("Agg")

import numpy as np
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.ticker import MaxNLocator

from laq.files import atomic
from laq.statistics import wilson_interval

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from laq.curves import Curves

# One column of a page is about 3.4 inches wide, two are 7.
WIDTH = 7.0
NAMES = {"original": "Original", "quant": "Quant", "ft": "FT", "ft_quant": "FT + Quant"}
SCOPES = {"all": "All classes", "subset": "Subset's classes only"}
MARKERS = "osD^vPX*<>"
STYLE = {
    "font.size": 9,
    "axes.titlesize": 9,
    "legend.fontsize": 9,
    "axes.grid": True,
    "grid.linewidth": 0.4,
    "grid.color": "0.88",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "pdf.fonttype": 42,
    "figure.dpi": 200,
}


def accuracy_against_icd(accuracy: pd.DataFrame, curves: Curves, scale: str, study: str) -> Figure:
    """Figure 5: top-1 over All and over the Subset's classes against median ICD.

    A row of two panels for each network. Points are subsets with their Wilson intervals;
    lines are a ln(x) + c, bands their pointwise bootstrap bands at the curves' confidence.
    ``scale``: of the x axis, ``linear`` or ``log``. ``accuracy``: the long table.
    """
    networks = list(dict.fromkeys(accuracy["network"]))
    variants = list(dict.fromkeys(accuracy["variant"]))
    colours = dict(zip(variants, sns.color_palette("colorblind", len(variants)), strict=True))
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            len(networks),
            2,
            figsize=(WIDTH, 0.6 + 2.9 * len(networks)),
            sharex=True,
            squeeze=False,
            layout="constrained",
        )
        for row, network in zip(axes, networks, strict=True):
            for panel, scope in zip(row, SCOPES, strict=True):
                for marker, variant in zip(MARKERS * len(variants), variants, strict=False):
                    key = (network, variant, scope)
                    _draw_curve(panel, key, curves, colours[variant], marker)
                title = SCOPES[scope] if len(networks) == 1 else f"{network}: {SCOPES[scope]}"
                panel.set_title(title)
                panel.set_xscale(scale)
                panel.yaxis.set_major_locator(MaxNLocator(integer=True))
            row[0].set_ylabel("Top-1 accuracy (%)")
        for panel in axes[-1]:
            panel.set_xlabel("Median inter-class distance (nats)")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
        figure.suptitle(f"{study}: accuracy against median inter-class distance", fontsize=10)
    return figure


def _draw_curve(
    panel: Axes, key: tuple[str, str, str], curves: Curves, colour: tuple, marker: str
) -> None:
    points, fit = curves.points[key], curves.fits[key]
    x = points["median_icd"].to_numpy(float)
    top1 = points["top1"].to_numpy(float)
    low, high = wilson_interval(points["correct"].to_numpy(), points["n"].to_numpy())
    panel.vlines(x, 100 * low, 100 * high, color=colour, alpha=0.25, linewidth=0.8)
    panel.plot(
        x,
        100 * top1,
        marker,
        color=colour,
        markersize=4,
        markeredgecolor="white",
        markeredgewidth=0.4,
        label=NAMES.get(key[1], key[1]),
    )
    grid = np.geomspace(x.min(), x.max(), 200)
    panel.plot(grid, 100 * fit.at(grid), color=colour, linewidth=1.4)
    low, high = fit.band(grid)
    panel.fill_between(grid, 100 * low, 100 * high, color=colour, alpha=0.15, linewidth=0)


def save(figure: Figure, *paths: str | os.PathLike[str]) -> None:
    """Write the figure to each path in the format of its suffix, atomically and without dates."""
    for path in paths:
        with atomic(path) as temporary:
            metadata = {"CreationDate": None} if temporary.suffix == ".pdf" else None
            figure.savefig(temporary, metadata=metadata)
    plt.close(figure)
