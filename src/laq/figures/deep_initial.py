"""Deep Compression: first centroids compared, by error and by accuracy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib import pyplot as plt
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation

from laq.analysis.statistics.rates import wilson_interval
from laq.figures.deep_curves import TOP1, original
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

WAYS = {
    "linear": ("linear", Look(PALETTE[0], "s")),
    "density": ("density-based", Look(PALETTE[1], "^")),
    "random": ("random (Forgy)", Look(PALETTE[2], "D")),
    "optimal": ("optimal", Look(PALETTE[3], "o")),
}
# The three panels of a network: a column, of which stage, and what it is called.
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
    say what the pruned networks score. Of random centroids the mean over draws, bars from the least
    draw to the highest; of the other accuracies they are Wilson's intervals over test images.
    """
    networks = list(dict.fromkeys(table["network"]))
    one = f"{study}, {networks[0]}" if len(networks) == 1 else study
    title = heading(f"{one}: first centroids compared")
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
            own = table[table["network"] == network]
            pruned = stages[(stages["network"] == network) & (stages["stage"] == "pruned")]
            top1 = 100 * float(
                (original(stages, network) if pruned.empty else pruned.iloc[0])["top1"]
            )
            low, high = wilson_interval(own["correct"], own["n"], confidence)
            rates = [*100 * low, *100 * high, top1]
            for panel, (column, stage, words) in zip(row, PANELS, strict=True):
                _draw(panel, own[own["stage"] == stage], column, confidence)
                panel.set_title(words)
                bits = sorted(own["bits"].unique())
                panel.set_xticks(bits)
                panel.set_xlim(bits[0] - 0.5, bits[-1] + 0.5)
                if column == "top1":
                    by_error(panel, rates)
                    panel.axhline(top1, color=BASELINE, linewidth=0.9, linestyle=(0, (4, 3)))
            row[0].set_ylabel("‖w − c‖ / ‖w‖ (%)")
            row[0].set_ylim(0, 108 * own["error"].max())  # what is drawn aside does not scale it
            row[1].set_ylabel(TOP1)
        for row, lines in zip(panels, names, strict=False):
            name_row(row, lines)
        for panel in panels[-1]:
            panel.set_xlabel("Bits of a code")
        style = {"linewidth": 1.0}
        handles = [
            Line2D([], [], color=look.colour, marker=look.marker, label=words, **style)
            for words, look in WAYS.values()
        ]
        dashed = {"linewidth": 0.9, "linestyle": (0, (4, 3))}
        handles.append(Line2D([], [], color=BASELINE, label="pruned, not shared", **dashed))
        columns = legend_columns([str(handle.get_label()) for handle in handles])
        figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False)
        figure.suptitle(title)
    return figure


def _draw(panel: Axes, own: pd.DataFrame, column: str, confidence: float) -> None:
    for place, (way, (_, look)) in enumerate(WAYS.items()):
        rows = own[own["initial"] == way]
        if rows.empty:
            continue
        by_bits = rows.groupby("bits")
        value = 100 * by_bits[column].mean()
        low, high = 100 * by_bits[column].min(), 100 * by_bits[column].max()
        if column == "top1" and way != "random":
            counts = by_bits[["correct", "n"]].sum()
            low, high = (
                100 * end for end in wilson_interval(counts["correct"], counts["n"], confidence)
            )
        shift = DODGE * (place / (len(WAYS) - 1) - 0.5) / 72
        beside = panel.transData + ScaledTranslation(shift, 0, panel.figure.dpi_scale_trans)
        line_with_bars(
            *(panel, value.index, value, (low, high), look, PEN), zorder=(2, 2), transform=beside
        )
