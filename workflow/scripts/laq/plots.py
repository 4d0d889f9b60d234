"""The study's figures: one look, colour-blind-safe, readable in print."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import matplotlib as mpl

mpl.use("Agg")

import numpy as np
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation

from laq.files import atomic
from laq.statistics import wilson_interval

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from laq.curves import Curves
    from laq.statistics import LogCurve

# One column of a page is about 3.4 inches wide, two are 7.
WIDTH = 7.0
NAMES = {"original": "Original", "quant": "Quant", "ft": "FT", "ft_quant": "FT + Quant"}
SCOPES = {"all": "All classes", "subset": "Subset's classes only"}
MARKERS = "osD^vPX*<"  # nine, beside ten colours: pairs repeat after ninety variants
# Variants of one subset stand side by side within this width, in points of print: a multiple
# of the marker's size, whatever the axis's scale and the number of variants.
DODGE = 9.0
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


def accuracy_against_icd(
    accuracy: pd.DataFrame, curves: Curves, scale: str, study: str, variants: Sequence[str]
) -> Figure:
    """Figure 5: top-1 over All and over the Subset's classes against median ICD.

    A row of two panels for each network. Points are subsets with their Wilson intervals;
    lines are a ln(x) + c, bands their pointwise bootstrap bands at the curves' confidence.
    Variants of one subset are drawn side by side; all belong to the subset's distance.
    ``scale``: of the x axis, ``linear`` or ``log``. ``accuracy``: the long table, of which
    ``variants`` are shown.
    """
    accuracy = accuracy[accuracy["variant"].isin(variants)]
    networks = list(dict.fromkeys(accuracy["network"]))
    colours = dict(zip(variants, sns.color_palette("colorblind", len(variants)), strict=True))
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            len(networks),
            2,
            figsize=(WIDTH, 0.6 + 2.9 * len(networks)),
            sharex=True,
            sharey="row",
            squeeze=False,
            layout="constrained",
        )
        for row, network in zip(axes, networks, strict=True):
            for panel, scope in zip(row, SCOPES, strict=True):
                for place, variant in enumerate(variants):
                    _draw_curve(
                        panel,
                        curves.points[network, variant, scope],
                        curves.fits.get((network, variant, scope)),
                        label=NAMES.get(variant, variant),
                        colour=colours[variant],
                        marker=MARKERS[place % len(MARKERS)],
                        shift=DODGE * ((place + 0.5) / len(variants) - 0.5),
                    )
                title = SCOPES[scope] if len(networks) == 1 else f"{network}: {SCOPES[scope]}"
                panel.set_title(title)
                panel.set_xscale(scale)
                panel.yaxis.set_major_locator(MaxNLocator(integer=True))
            row[0].set_ylabel("Top-1 accuracy (%)")
            row[0].set_ylim(*_accuracy_range(accuracy[accuracy["network"] == network]))
        for panel in axes[-1]:
            panel.set_xlabel("Median inter-class distance (nats)")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
        figure.suptitle(f"{study}: accuracy against median inter-class distance", fontsize=10)
    return figure


def _accuracy_range(rows: pd.DataFrame) -> tuple[float, float]:
    """Limits of the y axis, in percent: the points with their intervals, not the bands."""
    low, high = wilson_interval(rows["correct"].to_numpy(), rows["n"].to_numpy())
    margin = 3 * (high.max() - low.min())
    return 100 * low.min() - margin, min(100 * high.max() + margin, 100 + margin / 2)


def _draw_curve(
    panel: Axes,
    points: pd.DataFrame,
    fit: LogCurve | None,
    label: str,
    colour: tuple[float, float, float],
    marker: str,
    shift: float,
) -> None:
    """Points with their intervals, and the fitted curve with its band if there is one.

    ``shift``: of the points along x, in points of print, so that variants do not hide each other.
    """
    x = points["median_icd"].to_numpy(float)
    low, high = wilson_interval(points["correct"].to_numpy(), points["n"].to_numpy())
    aside = ScaledTranslation(shift / 72, 0, panel.figure.dpi_scale_trans)
    beside = panel.transData + aside
    panel.vlines(
        x, 100 * low, 100 * high, color=colour, alpha=0.35, linewidth=0.8, transform=beside
    )
    panel.plot(
        x,
        100 * points["top1"],
        marker,
        color=colour,
        markersize=4,
        markeredgecolor="white",
        markeredgewidth=0.4,
        label=label,
        transform=beside,
    )
    if fit is None:
        return
    grid = np.geomspace(x.min(), x.max(), 200)
    panel.plot(grid, 100 * fit.at(grid), color=colour, linewidth=1.3)
    low, high = (100 * np.clip(edge, 0, 1) for edge in fit.band(grid))
    panel.fill_between(grid, low, high, color=colour, alpha=0.13, linewidth=0)


def save(figure: Figure, *paths: str | os.PathLike[str]) -> None:
    """Write the figure to each path in the format of its suffix, atomically and without dates."""
    for path in paths:
        with atomic(path) as temporary:
            metadata = {"CreationDate": None} if temporary.suffix == ".pdf" else None
            figure.savefig(temporary, metadata=metadata)
    plt.close(figure)
