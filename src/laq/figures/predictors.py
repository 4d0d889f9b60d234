"""Figure 9: what quantization costs, against Gram similarity and against median ICD."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from laq.analysis.predictors import SCOPE, difference, of_setting
from laq.analysis.statistics import difference_interval
from laq.figures.axis import ROOMY, limits, span
from laq.figures.style import (
    BASELINE,
    LINE,
    STYLE,
    WIDTH,
    heading,
    looks,
    name,
    name_row,
    row_lines,
    taller,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# A rank correlation, written into the panel that shows its points.


NOTE = 0.17  # share of a panel, at its top, kept free for the correlation


def limit_y(panel: Axes, values: np.ndarray) -> None:
    """Set limits of the y axis that hold all values, and at the top a line of text."""
    low, high = float(values.min()), float(values.max())
    margin = 0.05 * (high - low) or 1.0
    low, high = low - margin, high + margin
    panel.set_ylim(low, high + (high - low) * NOTE / (1 - NOTE))
    panel.yaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))


def write_correlation(panel: Axes, row: pd.Series) -> None:
    """Spearman's correlation in the panel's upper left corner."""
    if not np.isfinite(row["spearman"]):
        text = f"No rank correlation (n = {row['n']})"
    else:
        interval = [row["low"], row["high"]]
        finite = np.isfinite(interval).all()
        interval_text = f" ({_signed(interval[0])} to {_signed(interval[1])})" if finite else ""
        text = f"Spearman {_signed(row['spearman'])}{interval_text}\n"
        text += (
            f"p {_p(row['p'])} (after Holm {_p(row['p_holm']).removeprefix('= ')}); n = {row['n']}"
        )
    panel.text(0.02, 0.98, text, transform=panel.transAxes, va="top", fontsize=7, linespacing=1.3)


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}" if value < 0.1 else f"= {value:.2f}"


LABELS = {
    "gram_similarity": "Gram similarity, subset's to all classes' images",
    "median_icd": "Median inter-class distance (nats)",
}
FLOOR = "0.86"  # grey of the floor's band


def price(
    table: pd.DataFrame,
    similarity: pd.DataFrame,
    predictors: pd.DataFrame,
    title: str,
    scale: str,
    confidence: float,
) -> Figure:
    """Two panels a setting: the drop of Quant on the subset's classes against each predictor.

    Points are subsets, the mean over repeats, upright bars the intervals of the difference of two
    rates (rather too long, ``difference_interval``), level ones a standard error of the similarity
    either way. At the top of each panel Spearman's correlation, as the table has it. On the left a
    band spans the similarities of two disjoint draws from all classes: subsets within it cannot be
    told from no difference at all.

    Args:
        table: as ``observations.read`` gives it.
        similarity, predictors: the tables of these names.
        scale: of the axis of median ICD, ``linear`` or ``log``.
    """
    drops = predictors[predictors["outcome"] == "drop"]
    settings = list(dict.fromkeys(drops["setting"]))
    title = heading(title)
    names = [row_lines(setting) for setting in settings if len(settings) > 1]
    floors = similarity["gram_floor"].notna().any()
    variant = drops["second"].iloc[0]
    handles = _handles(variant, bool(floors))
    labels = [str(handle.get_label()) for handle in handles]
    height = 0.6 + 2.5 * len(settings) + taller(labels, title) + LINE * sum(map(len, names))
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            len(settings),
            len(LABELS),
            figsize=(WIDTH, height),
            sharey="row",
            squeeze=False,
            layout="constrained",
        )
        for row, setting in zip(axes, settings, strict=True):
            by_subset = of_setting(similarity, setting)
            drop = points(table, setting, variant, confidence)
            correlations = drops[drops["setting"] == setting].set_index("predictor")
            y = drop[["value", "low", "high"]].to_numpy().ravel()
            limit_y(row[0], np.append(y[np.isfinite(y)], 0.0))
            for panel, predictor in zip(row, LABELS, strict=True):
                _across(panel, by_subset.reindex(drop.index), drop, predictor, variant, scale)
                write_correlation(panel, correlations.loc[predictor])
            row[0].set_ylabel(f"Top-1 lost by {name(variant)} on Sub (points)")
        for row, lines in zip(axes, names, strict=False):
            name_row(row, lines)
        for panel, label in zip(axes[-1], LABELS.values(), strict=True):
            panel.set_xlabel(label)
        figure.legend(
            handles=handles, loc="outside lower center", ncols=len(handles), frameon=False
        )
        figure.suptitle(title)
    return figure


def points(table: pd.DataFrame, setting: str, variant: str, confidence: float) -> pd.DataFrame:
    """Top-1 that a variant loses to the original, by subset: value, low, high, percent points."""
    import pandas as pd

    value = 100 * difference(table, setting, "original", variant)
    rows = table[(table["setting"] == setting) & (table["scope"] == SCOPE)]
    means = rows.groupby(["variant", "subset"], sort=False)[["correct", "n"]].mean()
    first, second = (means.loc[arm].loc[value.index] for arm in ("original", variant))
    low, high = difference_interval(first["correct"], second["correct"], first["n"], confidence)
    return pd.DataFrame({"value": value, "low": 100 * low, "high": 100 * high})


def _across(
    panel: Axes,
    known: pd.DataFrame,
    drop: pd.DataFrame,
    predictor: str,
    variant: str,
    scale: str,
) -> None:
    """The drop of each subset over a predictor; a similarity has its error and a band of floors."""
    x = known[predictor].to_numpy(float)
    look, sparsity = looks([variant])[variant], min(1.0, ROOMY / max(len(x), 1))
    bars = {"color": look.colour, "alpha": 0.4, "linewidth": 0.5 + 0.3 * sparsity, "zorder": 2.5}
    if predictor == "gram_similarity":
        error, floor = known["gram_error"].fillna(0).to_numpy(float), known["gram_floor"].dropna()
        span(panel, limits(np.concatenate([x - error, x + error, floor]), "linear"), "linear")
        panel.hlines(drop["value"], x - error, x + error, **bars)
        if len(floor):
            panel.axvspan(floor.min(), floor.max(), color=FLOOR, linewidth=0, zorder=0)
    else:
        span(panel, limits(x, scale), scale)
    panel.axhline(0, color=BASELINE, linewidth=0.9, zorder=2)
    panel.vlines(x, drop["low"], drop["high"], **bars)
    edge = {"markeredgecolor": "white", "markeredgewidth": 0.3}
    size = 3.5 + sparsity
    panel.plot(x, drop["value"], look.marker, color=look.colour, markersize=size, zorder=3, **edge)


def _handles(variant: str, floors: bool) -> list[Line2D | Patch]:
    look = looks([variant])[variant]
    style = {"color": look.colour, "marker": look.marker, "linestyle": "none"}
    handles: list[Line2D | Patch] = [Line2D([], [], **style, label="One subset")]
    handles.append(Line2D([], [], color=BASELINE, linewidth=0.9, label="Original"))
    if floors:
        handles.append(Patch(color=FLOOR, linewidth=0, label="Two draws from all classes"))
    return handles
