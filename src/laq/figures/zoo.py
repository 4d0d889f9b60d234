"""The zoo: accuracy against bytes with the front, and what label-aware calibration gains."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator
from numpy.typing import NDArray

from laq.config.zoo_kinds import FAMILIES, ORIGINAL
from laq.figures.axis import by_error
from laq.figures.effect import NEAR
from laq.figures.memory import size
from laq.figures.style import BASELINE, PALETTE, STYLE, WIDTH, heading, name_row, row_lines
from laq.figures.words import plain

if TYPE_CHECKING:
    import pandas as pd


# The zoo's methods by accuracy and bytes, with the Pareto front.


# A family is told by colour and by marker.
_COLOURS = [
    *(BASELINE, PALETTE[7], PALETTE[1], PALETTE[3], PALETTE[9]),
    *(PALETTE[0], PALETTE[2], PALETTE[4], PALETTE[5], PALETTE[8]),
    *(to_rgb("#332288"), to_rgb("#b3006b"), to_rgb("#117733")),
]
PARETO_LOOKS = dict(zip(FAMILIES, zip(_COLOURS, "osDvPX^p<>*hd", strict=True), strict=True))
SCOPES = {"all": "All", "subset": "Sub"}
ALIKE = 1.02  # sizes that differ by less count as equal, as in the table of what to deploy
PLAIN = ("subset", "none")  # calibrations shown: label-aware, or of no image at all


def accuracy_against_bytes(methods: pd.DataFrame, study: str) -> Figure:
    """A row of panels for each network, a panel for each scope.

    methods: rows of ``zoo/methods.csv``. Shown is each method calibrated on the subset's classes,
    or on all where it has no other; a dashed line is the trained network's accuracy.
    """
    selected = _shown(methods)
    networks = list(dict.fromkeys(selected["network"]))
    families = [family for family in FAMILIES if family in set(selected["family"])]
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(
            len(networks),
            len(SCOPES),
            figsize=(WIDTH, 0.9 + 3.1 * len(networks)),
            squeeze=False,
            layout="constrained",
        )
        for row, network in zip(panels, networks, strict=True):
            for panel, (scope, label) in zip(row, SCOPES.items(), strict=True):
                points = selected[(selected["network"] == network) & (selected["scope"] == scope)]
                _draw_pareto(panel, points)
                panel.set_title(f"on {label}")
            row[0].set_ylabel("Top-1, mean over subsets (%),\nby the root of the error")
            if len(networks) > 1:
                name_row(row, row_lines(network))
        subject = f"{study}, {networks[0]}" if len(networks) == 1 else study
        figure.suptitle(heading(f"{subject}: accuracy against bytes"))
        figure.legend(
            handles=[_handle_pareto(family) for family in families]
            + [Line2D([], [], color="0.45", linewidth=1, label="front")],
            loc="outside lower center",
            ncols=5,
            frameon=False,
        )
    return figure


def front(sizes: NDArray[np.float64], top1: NDArray[np.float64]) -> list[int]:
    """Indices of the Pareto front, by size: no other point is as small, as good, and better in one.

    Both arrays are (n,).
    """
    best, indices = -np.inf, []
    for index in np.lexsort((-top1, sizes)):
        if top1[index] > best:
            best = top1[index]
            indices.append(int(index))
    return indices


def _shown(methods: pd.DataFrame) -> pd.DataFrame:
    """One row a network, method and scope: the first calibration of ``PLAIN`` that there is."""
    order = {name: rank for rank, name in enumerate((*PLAIN, "all", "synthetic"))}
    ranked = methods.assign(rank=methods["calibration"].map(order))
    ranked = ranked.sort_values("rank", kind="stable")
    return ranked.drop_duplicates(["network", "method", "scope"]).sort_index()


def _draw_pareto(panel: Axes, own: pd.DataFrame) -> None:
    sizes, top1 = own["bytes"].to_numpy(float), 100 * own["top1"].to_numpy(float)
    panel.set_xscale("log")
    reference = top1[(own["method"] == ORIGINAL).to_numpy()]
    for value in reference:
        panel.axhline(value, color=BASELINE, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1.5)
    chosen = front(sizes, top1)
    panel.step(sizes[chosen], top1[chosen], where="post", color="0.45", linewidth=1, zorder=2)
    errors = np.abs(100 * own[["low", "high"]].to_numpy(float).T - top1)
    for family, (colour, marker) in PARETO_LOOKS.items():
        mask = (own["family"] == family).to_numpy()
        if not mask.any():
            continue
        bars = errors[:, mask]
        if np.isfinite(bars).all():
            panel.errorbar(
                sizes[mask], top1[mask], bars, fmt="none", ecolor=colour, elinewidth=0.5, alpha=0.45
            )
        panel.plot(
            sizes[mask],
            top1[mask],
            marker,
            color=colour,
            markersize=6.5 if marker == "*" else 5,
            markeredgecolor="white",
            markeredgewidth=0.4,
            zorder=3,
        )
    axes(panel, sizes, top1)
    _name(panel, own.iloc[chosen], sizes[chosen], top1[chosen])


def axes(panel: Axes, sizes: NDArray[np.float64], top1: NDArray[np.float64]) -> None:
    """Set axes for points at ``sizes`` (n,) in bytes and ``top1`` (n,) in percent.

    The axis of top-1 goes by the root of the error.
    """
    by_error(panel, top1, above=0.2)
    bytes_axis(panel, sizes)


def bytes_axis(panel: Axes, sizes: NDArray[np.float64]) -> None:
    """An x axis, which is logarithmic, for files of ``sizes`` (n,)."""
    panel.set_xlim(sizes.min() / 1.25, sizes.max() * 1.25)
    panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: size(value).replace(".0 ", " ")))
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.tick_params(axis="x", labelrotation=30)
    panel.set_xlabel("Bytes of the file")


def _name(
    panel: Axes, own: pd.DataFrame, sizes: NDArray[np.float64], top1: NDArray[np.float64]
) -> None:
    """Names of the front's points, by size; of nearly the same size the best one's alone."""
    last = np.append(sizes[1:] > ALIKE * sizes[:-1], True)
    for method, x, y in zip(own["method"][last], sizes[last], top1[last], strict=True):
        panel.annotate(
            plain(method),
            (x, y),
            (-1, 5),
            textcoords="offset points",
            rotation=50,
            rotation_mode="anchor",
            fontsize=6,
            va="bottom",
        )


def _handle_pareto(family: str) -> Line2D:
    colour, marker = PARETO_LOOKS[family]
    return Line2D([], [], color=colour, marker=marker, linestyle="none", label=family)


# Label, colour and marker of each calibration, and its offset from the middle of a method's row.
LOOKS = {
    "subset": ("label-aware", PALETTE[0], "s", -0.17),
    "synthetic": ("label-aware without data", PALETTE[1], "D", 0.17),
}
ROW = 0.2  # inches a method
LABEL = "Gain over calibration on all classes (points)"


def gains(methods: pd.DataFrame, study: str, confidence: float) -> Figure:
    """A row for each method and a panel for each scope, networks one below the other.

    methods: rows of ``zoo/methods.csv``. A point is the mean gain in top-1 over the same method
    calibrated on all classes, in points, its bar the interval over subsets. A method that uses no
    image has no row: its gain is 0.
    """
    selected = methods[methods["calibration"].isin(LOOKS) & methods["gain"].notna()]
    networks = list(dict.fromkeys(methods["network"]))
    orders = [
        list(dict.fromkeys(selected[selected["network"] == network]["method"]))
        for network in networks
    ]
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
            for panel, (scope, label) in zip(row, SCOPES.items(), strict=True):
                points = selected[(selected["network"] == network) & (selected["scope"] == scope)]
                _draw(panel, points, order)
                panel.set_title(f"on {label}")
            row[0].set_yticks(range(len(order)), [plain(name) for name in order])
            row[0].set_ylim(len(order) - 0.4, -0.6)
            if len(networks) > 1:
                row[0].set_title("\n".join([*map(plain, row_lines(network)), "on All"]))
        subject = f"{study}, {networks[0]}" if len(networks) == 1 else study
        bars = f"means with {100 * confidence:g} % intervals"
        figure.suptitle(heading(f"{subject}: what label-awareness gains, {bars}"))
        present = [key for key in LOOKS if key in set(selected["calibration"])]
        figure.legend(
            handles=[_handle(key) for key in present],
            loc="outside lower center",
            ncols=max(len(present), 1),
            frameon=False,
        )
    return figure


def _draw(panel: Axes, own: pd.DataFrame, order: list[str]) -> None:
    panel.set_xlabel(LABEL)
    panel.axvline(0, color=BASELINE, linewidth=0.9, zorder=1.5)
    row_of = {method: row for row, method in enumerate(order)}
    for key, (_, colour, marker, offset) in LOOKS.items():
        rows = own[own["calibration"] == key]
        y = np.array([row_of[method] + offset for method in rows["method"]])
        low, value, high = 100 * rows[["gain_low", "gain", "gain_high"]].to_numpy(float).T
        panel.hlines(y, low, high, color=colour, linewidth=1.1)
        panel.plot(value, y, marker, color=colour, markersize=4)
    _spread(panel, 100 * own[["gain_low", "gain", "gain_high"]].to_numpy(float))
    panel.grid(axis="y", visible=False)
    panel.tick_params(axis="y", length=0, labelsize=7)


def _handle(key: str) -> Line2D:
    label, colour, marker, _ = LOOKS[key]
    return Line2D([], [], color=colour, marker=marker, ls="none", label=label)


def _spread(panel: Axes, values: np.ndarray) -> None:
    """Where gains are large, an axis that is logarithmic beyond ``NEAR``, as in figure 8."""
    finite = values[np.isfinite(values)]
    if np.abs(finite).max(initial=0) > 3 * NEAR:
        panel.set_xscale("symlog", linthresh=NEAR)
        steps = [1.0, 2.0, 5.0, 20.0, 50.0]
        panel.xaxis.set_major_locator(FixedLocator([-step for step in steps] + [0.0, *steps]))
        panel.xaxis.set_minor_locator(NullLocator())
        panel.xaxis.set_major_formatter("{x:g}")
        panel.set_xlabel(f"{LABEL},\nlogarithmic beyond ±{NEAR:g}")
