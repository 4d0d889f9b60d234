"""What moves answers into the subset: the effect of each condition, and what goes with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.lines import Line2D

from laq.analysis.conditions import MOVES, at
from laq.analysis.statistics.paired import stratified_mean
from laq.figures.style import (
    BASELINE,
    LINE,
    PALETTE,
    STYLE,
    WIDTH,
    heading,
    legend_columns,
    name_row,
    row_lines,
    taller,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAMES = {
    "as_published": "All, as published",
    "rounding": "Rounding",
    "clipping": "Clipping",
    "few_images": "Few images",
    "refitting": "Re-fitting",
    "silent_inputs": "Silent inputs to 0",
    "head": "Head quantized",
    "depth": "Second half quantized",
    "label_aware": "Subset's images",
}
MEASURES = {
    "in_subset": ("Answers inside", PALETTE[0], "s"),
    "top1_all": ("Top-1 on All", PALETTE[3], "^"),
    "top1_subset": ("Top-1 on Sub", PALETTE[2], "D"),
}
VERDICTS = {"supported": "full", "contradicted": "none", "undecided": "left"}
# Settings that the panels beside the effects are drawn over.
AXES = {"scale": "Radius C of the grid", "bits": "Bits a weight"}


def figure(
    found: pd.DataFrame,
    verdicts: pd.DataFrame,
    base: Mapping[str, Any],
    title: str,
    confidence: float,
) -> Figure:
    """A row of three panels for each network: effects, and changes over the radius and over bits.

    (a) The effect of each condition on the share of answers inside, with its interval; the dashed
    line is the margin of the verdict, and a mark is full where the hypothesis is supported, empty
    where it is contradicted. (b), (c) What the label-aware network changes from the original one,
    means over subsets with Student's intervals, other settings as ``base`` has them.

    found: by ``laq.analysis.conditions.changes``. verdicts: by ``laq.analysis.conditions.judged``.
    """
    networks = list(dict.fromkeys(verdicts["network"]))
    title, handles = heading(title), _handles(set(verdicts["verdict"]))
    labels = [str(handle.get_label()) for handle in handles]
    names = [row_lines(network) for network in networks if len(networks) > 1]
    height = 0.6 + 2.6 * len(networks) + taller(labels, title) + LINE * sum(map(len, names))
    with plt.rc_context(STYLE):
        fig, axes = plt.subplots(
            len(networks),
            1 + len(AXES),
            figsize=(WIDTH, height),
            squeeze=False,
            layout="constrained",
        )
        for row, network in zip(axes, networks, strict=True):
            changes = found[found["network"] == network]
            _effects(row[0], verdicts[verdicts["network"] == network])
            for panel, key in zip(row[1:], AXES, strict=True):
                _changes(panel, changes, {**base, "classes": "subset"}, key, confidence)
            row[1].set_ylabel("Change from the original (points)")
            heads = ("(a) Effect on answers inside", "(b) Clipping", "(c) Rounding")
            for panel, head in zip(row, heads, strict=True):
                panel.set_title(head)
        for row, lines in zip(axes, names, strict=False):
            name_row(row, lines)
        columns = legend_columns(labels)
        fig.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False)
        fig.suptitle(title)
    return fig


def _effects(panel: Axes, verdicts: pd.DataFrame) -> None:
    colour = MEASURES["in_subset"][1]
    for y, row in enumerate(verdicts.to_dict("records")):
        value, low, high = (100 * row[name] for name in ("effect", "low", "high"))
        panel.hlines(y, low, high, color=colour, linewidth=1.4)
        fill = VERDICTS[row["verdict"]]
        style = {"color": colour, "fillstyle": fill, "markerfacecoloralt": "white"}
        panel.plot(value, y, "s", markersize=5.5, **style)
    panel.axvline(0, color=BASELINE, linewidth=0.9)
    panel.axvline(100 * MOVES.low, color=BASELINE, linewidth=0.9, linestyle=(0, (4, 2)))
    panel.set_yticks(
        range(len(verdicts)), [NAMES[hypothesis] for hypothesis in verdicts["hypothesis"]]
    )
    panel.invert_yaxis()
    panel.set_xlabel("Points of the share inside")


def _changes(
    panel: Axes, own: pd.DataFrame, settings: dict[str, Any], key: str, confidence: float
) -> None:
    levels = sorted(own[key].unique())
    for shift, measure in zip((-0.08, 0, 0.08), MEASURES, strict=True):
        _, colour, marker = MEASURES[measure]
        samples = [100 * at(own, {**settings, key: level}, measure) for level in levels]
        means = [stratified_mean([sample]) for sample in samples]
        x = np.arange(len(levels)) + shift
        intervals = np.array([mean.interval(confidence) for mean in means])
        panel.vlines(x, intervals[:, 0], intervals[:, 1], color=colour, linewidth=1.1)
        values = [mean.value for mean in means]
        panel.plot(x, values, marker, linestyle="-", linewidth=1, markersize=5, color=colour)
    panel.axhline(0, color=BASELINE, linewidth=0.9)
    panel.set_xticks(range(len(levels)), [f"{level:g}" for level in levels])
    panel.set_xlim(-0.5, len(levels) - 0.5)
    panel.set_xlabel(AXES[key])


def _handles(verdicts: set[str]) -> list[Line2D]:
    handles = [
        Line2D([], [], color=colour, marker=marker, markersize=5, label=label)
        for label, colour, marker in MEASURES.values()
    ]
    for verdict, fill in VERDICTS.items():
        if verdict in verdicts:
            style = {"color": MEASURES["in_subset"][1], "fillstyle": fill, "linestyle": "none"}
            label = f"(a): {verdict}"
            handles.append(
                Line2D([], [], marker="s", markerfacecoloralt="white", label=label, **style)
            )
    margin = {"linewidth": 0.9, "linestyle": (0, (4, 2)), "label": "Margin of the verdict"}
    return [*handles, Line2D([], [], color=BASELINE, **margin)]
