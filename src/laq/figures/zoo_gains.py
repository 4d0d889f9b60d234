"""What calibrating on the subset's classes gains over all classes, by method of the zoo."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from laq.figures.gains import NEAR
from laq.figures.pareto import SCOPES
from laq.figures.style import BASELINE, PALETTE, STYLE, WIDTH, heading, row_lines
from laq.figures.words import plain

if TYPE_CHECKING:
    import pandas as pd

# How each calibration is drawn, and where beside the middle of its method's row.
LOOKS = {
    "subset": ("label-aware", PALETTE[0], "s", -0.17),
    "synthetic": ("label-aware without data", PALETTE[1], "D", 0.17),
}
ROW = 0.2  # inches a method
LABEL = "Gain over calibration on all classes (points)"


def gains(methods: pd.DataFrame, study: str, confidence: float) -> Figure:
    """A row for each method and a panel for each scope, networks one below the other.

    methods: rows of ``zoo/methods.csv``. A point is the mean gain in top-1 over the same method
    calibrated on all classes, in points, its bar the interval over subsets. What looks at no image
    has no row: it gains 0 by nature.
    """
    shown = methods[methods["calibration"].isin(LOOKS) & methods["gain"].notna()]
    networks = list(dict.fromkeys(methods["network"]))
    orders = [list(dict.fromkeys(shown[shown["network"] == one]["method"])) for one in networks]
    lines = max(sum(map(len, orders)), 1)
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(
            len(networks),
            len(SCOPES),
            figsize=(WIDTH, 1.1 + 0.5 * len(networks) + ROW * lines),
            height_ratios=[max(len(order), 1) for order in orders],
            sharey="row",
            squeeze=False,
            layout="constrained",
        )
        for row, network, order in zip(panels, networks, orders, strict=True):
            for panel, (scope, words) in zip(row, SCOPES.items(), strict=True):
                own = shown[(shown["network"] == network) & (shown["scope"] == scope)]
                _draw(panel, own, order)
                panel.set_title(f"on {words}")
            row[0].set_yticks(range(len(order)), [plain(name) for name in order])
            row[0].set_ylim(len(order) - 0.4, -0.6)
            if len(networks) > 1:
                row[0].set_title("\n".join([*map(plain, row_lines(network)), "on All"]))
        one = f"{study}, {networks[0]}" if len(networks) == 1 else study
        bars = f"means with {100 * confidence:g} % intervals"
        figure.suptitle(heading(f"{one}: what label-awareness gains, {bars}"))
        there = [key for key in LOOKS if key in set(shown["calibration"])]
        figure.legend(
            handles=[_handle(key) for key in there],
            loc="outside lower center",
            ncols=max(len(there), 1),
            frameon=False,
        )
    return figure


def _draw(panel: Axes, own: pd.DataFrame, order: list[str]) -> None:
    panel.set_xlabel(LABEL)
    panel.axvline(0, color=BASELINE, linewidth=0.9, zorder=1.5)
    places = {method: place for place, method in enumerate(order)}
    for key, (_, colour, marker, aside) in LOOKS.items():
        rows = own[own["calibration"] == key]
        at = np.array([places[method] + aside for method in rows["method"]])
        low, value, high = 100 * rows[["gain_low", "gain", "gain_high"]].to_numpy(float).T
        panel.hlines(at, low, high, color=colour, linewidth=1.1)
        panel.plot(value, at, marker, color=colour, markersize=4)
    _spread(panel, 100 * own[["gain_low", "gain", "gain_high"]].to_numpy(float))
    panel.grid(axis="y", visible=False)
    panel.tick_params(axis="y", length=0, labelsize=7)


def _handle(key: str) -> Line2D:
    words, colour, marker, _ = LOOKS[key]
    return Line2D([], [], color=colour, marker=marker, ls="none", label=words)


def _spread(panel: Axes, values: np.ndarray) -> None:
    """Where gains are large, an axis that is logarithmic beyond ``NEAR``, as in figure 8."""
    known = values[np.isfinite(values)]
    if np.abs(known).max(initial=0) > 3 * NEAR:
        panel.set_xscale("symlog", linthresh=NEAR)
        steps = [1.0, 2.0, 5.0, 20.0, 50.0]
        panel.xaxis.set_major_locator(FixedLocator([-step for step in steps] + [0.0, *steps]))
        panel.xaxis.set_minor_locator(NullLocator())
        panel.xaxis.set_major_formatter("{x:g}")
        panel.set_xlabel(f"{LABEL},\nlogarithmic beyond ±{NEAR:g}")
