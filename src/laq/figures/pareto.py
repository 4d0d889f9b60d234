"""The zoo's methods by accuracy and bytes, with the front of those that no other outdoes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from numpy.typing import NDArray

from laq.config.zoo_kinds import FAMILIES, ORIGINAL
from laq.figures.error_axis import by_error
from laq.figures.memory import size
from laq.figures.style import BASELINE, PALETTE, STYLE, WIDTH, heading, name_row, row_lines
from laq.figures.words import plain

if TYPE_CHECKING:
    import pandas as pd

# A family is told by colour and by marker.
_COLOURS = [
    *(BASELINE, PALETTE[7], PALETTE[1], PALETTE[3], PALETTE[9]),
    *(PALETTE[0], PALETTE[2], to_rgb("#332288"), to_rgb("#b3006b"), to_rgb("#117733")),
]
LOOKS = dict(zip(FAMILIES, zip(_COLOURS, "osDvPX^<*h", strict=True), strict=True))
SCOPES = {"all": "All", "subset": "Sub"}
ALIKE = 1.02  # sizes that differ by less count as equal, as in the table of what to deploy
PLAIN = ("subset", "none")  # calibrations shown: label-aware, or of no image at all


def accuracy_against_bytes(methods: pd.DataFrame, study: str) -> Figure:
    """A row of panels for each network, a panel for each scope.

    methods: rows of ``zoo/methods.csv``. Shown is each method calibrated on the subset's classes,
    or on all where it has no other; a dashed line is the trained network's accuracy.
    """
    shown = _shown(methods)
    networks = list(dict.fromkeys(shown["network"]))
    families = [family for family in FAMILIES if family in set(shown["family"])]
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(
            len(networks),
            len(SCOPES),
            figsize=(WIDTH, 0.9 + 3.1 * len(networks)),
            squeeze=False,
            layout="constrained",
        )
        for row, network in zip(panels, networks, strict=True):
            for panel, (scope, words) in zip(row, SCOPES.items(), strict=True):
                own = shown[(shown["network"] == network) & (shown["scope"] == scope)]
                _draw(panel, own)
                panel.set_title(f"on {words}")
            row[0].set_ylabel("Top-1, mean over subsets (%),\nby the root of the error")
            if len(networks) > 1:
                name_row(row, row_lines(network))
        one = f"{study}, {networks[0]}" if len(networks) == 1 else study
        figure.suptitle(heading(f"{one}: accuracy against bytes"))
        figure.legend(
            handles=[_handle(family) for family in families]
            + [Line2D([], [], color="0.45", linewidth=1, label="front")],
            loc="outside lower center",
            ncols=5,
            frameon=False,
        )
    return figure


def front(sizes: NDArray[np.float64], top1: NDArray[np.float64]) -> list[int]:
    """Positions, by size, of the points that no other outdoes: none is as small and as good, and
    better in one. Both arrays are (n,)."""
    best, found = -np.inf, []
    for place in np.lexsort((-top1, sizes)):
        if top1[place] > best:
            best = top1[place]
            found.append(int(place))
    return found


def _shown(methods: pd.DataFrame) -> pd.DataFrame:
    """One row a network, method and scope: the first calibration of ``PLAIN`` that there is."""
    order = {name: rank for rank, name in enumerate((*PLAIN, "all", "synthetic"))}
    ranked = methods.assign(rank=methods["calibration"].map(order))
    ranked = ranked.sort_values("rank", kind="stable")
    return ranked.drop_duplicates(["network", "method", "scope"]).sort_index()


def _draw(panel: Axes, own: pd.DataFrame) -> None:
    sizes, top1 = own["bytes"].to_numpy(float), 100 * own["top1"].to_numpy(float)
    panel.set_xscale("log")
    reference = top1[(own["method"] == ORIGINAL).to_numpy()]
    for value in reference:
        panel.axhline(value, color=BASELINE, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1.5)
    chosen = front(sizes, top1)
    panel.step(sizes[chosen], top1[chosen], where="post", color="0.45", linewidth=1, zorder=2)
    reach = np.abs(100 * own[["low", "high"]].to_numpy(float).T - top1)
    for family, (colour, marker) in LOOKS.items():
        of = (own["family"] == family).to_numpy()
        if not of.any():
            continue
        bars = reach[:, of]
        if np.isfinite(bars).all():
            panel.errorbar(
                sizes[of], top1[of], bars, fmt="none", ecolor=colour, elinewidth=0.5, alpha=0.45
            )
        panel.plot(
            sizes[of],
            top1[of],
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
    """Axes for points at ``sizes`` (n,) in bytes and ``top1`` (n,) in percent, the latter by the
    root of the error."""
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


def _handle(family: str) -> Line2D:
    colour, marker = LOOKS[family]
    return Line2D([], [], color=colour, marker=marker, linestyle="none", label=family)
