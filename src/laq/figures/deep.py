"""Deep Compression: the distribution of weights, accuracy against ratio, and first centroids."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation

from laq.analysis.statistics.rates import wilson_interval
from laq.figures.axis import by_error, limits, span
from laq.figures.legend import Pen, line_with_bars
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


# Deep Compression: accuracy against compression ratio, by what is done to a network.


METHODS = {
    "both": ("pruning + quantization", Look(PALETTE[0], "s")),
    "pruning": ("pruning only", Look(PALETTE[1], "^")),
    "quantization": ("quantization only", Look(PALETTE[2], "D")),
    "lowrank": ("low rank (SVD)", Look(PALETTE[3], "o")),
}
# The two panels of a network, by the column ``training``.
TRAINED = {"retrained": "retrained", "none": "without any training"}
CURVES_PEN = Pen(line=1.2, marker=5, edge=0.4, bar=0.8, opaque=0.5)
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
            rows = table[table["network"] == network]
            top1 = 100 * float(original(stages, network)["top1"])
            span(row[0], limits(rows["ratio"], "log"), "log")
            for panel, (training, label) in zip(row, TRAINED.items(), strict=True):
                group = rows[rows["training"] == training]
                low, high = wilson_interval(group["correct"], group["n"], confidence)
                by_error(panel, [*100 * low, *100 * high, top1])
                _draw_deep_curves(panel, group, confidence)
                panel.axhline(top1, color=BASELINE, linewidth=0.9, linestyle=(0, (4, 3)))
                panel.set_title(label)
            row[0].set_ylabel(TOP1)
        for row, lines in zip(panels, names, strict=False):
            name_row(row, lines)
        for panel in panels[-1]:
            panel.set_xlabel("Compression ratio, before entropy coding")
        handles = [_handle(label, look) for label, look in METHODS.values()]
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
    mask = (stages["network"] == network) & (stages["stage"] == "original")
    return stages[mask].iloc[0]


def _study(study: str, networks: list[str]) -> str:
    return f"{study}, {networks[0]}" if len(networks) == 1 else study


def _draw_deep_curves(panel: Axes, own: pd.DataFrame, confidence: float) -> None:
    for method, (_, look) in METHODS.items():
        rows = own[own["method"] == method].sort_values("ratio", kind="stable")
        if rows.empty:
            continue
        x, y = rows["ratio"].to_numpy(float), 100 * rows["top1"].to_numpy(float)
        low, high = wilson_interval(rows["correct"], rows["n"], confidence)
        line_with_bars(panel, x, y, (100 * low, 100 * high), look, CURVES_PEN)


def _handle(words: str, look: Look) -> Line2D:
    return Line2D([], [], color=look.colour, marker=look.marker, linewidth=1.2, label=words)


# Deep Compression: first centroids compared, by error and by accuracy.


WAYS = {
    "linear": ("linear", Look(PALETTE[0], "s")),
    "density": ("density-based", Look(PALETTE[1], "^")),
    "random": ("random (Forgy)", Look(PALETTE[2], "D")),
    "optimal": ("optimal", Look(PALETTE[3], "o")),
}
# The three panels of a network: the column, its stage, and the title.
PANELS = (
    ("error", "clustered", "how far weights are moved"),
    ("top1", "clustered", "as k-means leaves them"),
    ("top1", "shared", "trained"),
)
PEN = Pen(line=0.9, marker=4.5, edge=0.3, bar=0.8, opaque=0.6)
DODGE = 10.0  # points of print over which the ways stand side by side


def initial(table: pd.DataFrame, stages: pd.DataFrame, study: str, confidence: float) -> Figure:
    """A row of panels for each network: error of the weights, accuracy before and after training.

    table: rows of ``deep/{network}/initial.csv`` of all networks; stages: of ``stages.csv``, which
    say what the pruned networks score. For random centroids points are means over draws, and bars
    go from the least draw to the highest. The bars of other accuracies are Wilson's intervals over
    test images.
    """
    networks = list(dict.fromkeys(table["network"]))
    subject = f"{study}, {networks[0]}" if len(networks) == 1 else study
    title = heading(f"{subject}: first centroids compared")
    names = [row_lines(network) for network in networks if len(networks) > 1]
    height = 0.9 + 2.4 * len(networks) + LINE * (sum(map(len, names)) + title.count("\n"))
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(
            *(len(networks), len(PANELS)),
            figsize=(WIDTH, height),
            squeeze=False,
            layout="constrained",
        )
        for row, network in zip(panels, networks, strict=True):
            rows = table[table["network"] == network]
            pruned = stages[(stages["network"] == network) & (stages["stage"] == "pruned")]
            top1 = 100 * float(
                (original(stages, network) if pruned.empty else pruned.iloc[0])["top1"]
            )
            low, high = wilson_interval(rows["correct"], rows["n"], confidence)
            rates = [*100 * low, *100 * high, top1]
            for panel, (column, stage, label) in zip(row, PANELS, strict=True):
                _draw(panel, rows[rows["stage"] == stage], column, confidence)
                panel.set_title(label)
                bits = sorted(rows["bits"].unique())
                panel.set_xticks(bits)
                panel.set_xlim(bits[0] - 0.5, bits[-1] + 0.5)
                if column == "top1":
                    by_error(panel, rates)
                    panel.axhline(top1, color=BASELINE, linewidth=0.9, linestyle=(0, (4, 3)))
            row[0].set_ylabel("‖w − c‖ / ‖w‖ (%)")
            row[0].set_ylim(0, 108 * rows["error"].max())  # points with an offset do not scale it
            row[1].set_ylabel(TOP1)
        for row, lines in zip(panels, names, strict=False):
            name_row(row, lines)
        for panel in panels[-1]:
            panel.set_xlabel("Bits of a code")
        style = {"linewidth": 1.0}
        handles = [
            Line2D([], [], color=look.colour, marker=look.marker, label=label, **style)
            for label, look in WAYS.values()
        ]
        dashed = {"linewidth": 0.9, "linestyle": (0, (4, 3))}
        handles.append(Line2D([], [], color=BASELINE, label="pruned, not shared", **dashed))
        columns = legend_columns([str(handle.get_label()) for handle in handles])
        figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False)
        figure.suptitle(title)
    return figure


def _draw(panel: Axes, own: pd.DataFrame, column: str, confidence: float) -> None:
    for index, (scheme, (_, look)) in enumerate(WAYS.items()):
        rows = own[own["initial"] == scheme]
        if rows.empty:
            continue
        by_bits = rows.groupby("bits")
        value = 100 * by_bits[column].mean()
        low, high = 100 * by_bits[column].min(), 100 * by_bits[column].max()
        if column == "top1" and scheme != "random":
            counts = by_bits[["correct", "n"]].sum()
            low, high = (
                100 * limit for limit in wilson_interval(counts["correct"], counts["n"], confidence)
            )
        shift = DODGE * (index / (len(WAYS) - 1) - 0.5) / 72
        transform = panel.transData + ScaledTranslation(shift, 0, panel.figure.dpi_scale_trans)
        line_with_bars(
            *(panel, value.index, value, (low, high), look, PEN), zorder=(2, 2), transform=transform
        )


STAGES = {
    "original": ("in float", BASELINE),
    "pruned": ("pruned (P)", PALETTE[1]),
    "shared": ("values shared (P + Q)", PALETTE[0]),
}


def weights(table: pd.DataFrame, study: str) -> Figure:
    """A row of panels for each network: its largest layer, stage by stage.

    table: rows of ``deep/{network}/weights.csv`` of all networks. A logarithmic axis
    counts the weights of each bin, or of each shared value. Hollow marks are the shared values of
    k-means, before they were trained.
    """
    networks = list(dict.fromkeys(table["network"]))
    title = heading(f"{study}: weights before and after")
    layers = {network: _largest(table[table["network"] == network]) for network in networks}
    names = {network: row_lines(f"{network}, {entry[0]}") for network, entry in layers.items()}
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
        for row, (network, (_, layer_rows)) in zip(panels, layers.items(), strict=True):
            for panel, (stage, (label, colour)) in zip(row, STAGES.items(), strict=True):
                rows = layer_rows[layer_rows["stage"] == stage]
                if stage == "shared":
                    _stems(panel, layer_rows[layer_rows["stage"] == "clustered"], rows, colour)
                else:
                    panel.stairs(
                        rows["count"],
                        [*rows["low"], rows["high"].iloc[-1]],
                        fill=True,
                        color=colour,
                        alpha=0.85,
                    )
                panel.set_title(f"{label}\n{_told(rows, stage)}")
            _axes(row[0], layer_rows)
            row[0].set_ylabel("Weights, in each bin\nor of each value")
            name_row(row, names[network])
        for panel in panels[-1]:
            panel.set_xlabel("Weight")
        figure.suptitle(title)
    return figure


def _largest(own: pd.DataFrame) -> tuple[str, pd.DataFrame]:
    """The layer with the most weights, the first of ties, with its rows."""
    sizes = own[own["stage"] == "original"].groupby("layer", sort=False)["count"].sum()
    layer = str(sizes.idxmax())
    return layer, own[own["layer"] == layer]


def _told(rows: pd.DataFrame, stage: str) -> str:
    count = f"{int(rows['count'].sum()):,}"
    if stage == "shared":
        return f"{len(rows)} values"
    return f"{count} weights" if stage == "original" else f"{count} are left"


def _stems(panel: Axes, before: pd.DataFrame, after: pd.DataFrame, colour: object) -> None:
    """A stem for each trained value, and a hollow mark for its value before training."""
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
    limit = float(np.abs(own[["low", "high"]].to_numpy(float)).max())
    panel.set_xlim(-1.05 * limit, 1.05 * limit)
    panel.xaxis.set_major_locator(MaxNLocator(5, symmetric=True))
