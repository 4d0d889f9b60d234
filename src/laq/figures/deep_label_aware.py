"""Label-aware Deep Compression: accuracy against ratio, and the ratio gained by median ICD."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.lines import Line2D
from matplotlib.ticker import (
    LogLocator,
    MaxNLocator,
    NullFormatter,
    NullLocator,
    ScalarFormatter,
)

from laq.analysis.deep.ratio_claims import FLOAT, GAINS, NAMES, SCOPE
from laq.analysis.statistics.logcurve import fit_log_curve
from laq.analysis.statistics.paired import mean_interval
from laq.figures.axis import by_error, limits, span
from laq.figures.deep import TOP1
from laq.figures.legend import Pen, line_with_bars
from laq.figures.style import (
    BASELINE,
    LINE,
    STYLE,
    WIDTH,
    heading,
    legend_columns,
    looks,
    name_row,
    row_lines,
)
from laq.utils.errors import DataError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from laq.analysis.claims.effects import Rigour

# Looks by the classes of the images, as in the sweep's figure.
LOOKS = {
    classes: looks([variant])[variant]
    for classes, variant in (("subset", "quant"), ("all", "agnostic"))
}
WORDS = {"subset": "on the subset's classes", "all": "on all classes"}
PEN = Pen(line=1.4, marker=6, edge=0.4, bar=1.3)
ARROW = 1.12  # factor by which an open end is drawn beyond the largest ratio


def label_aware(
    table: pd.DataFrame,
    gains: pd.DataFrame,
    claims: pd.DataFrame,
    study: str,
    scale: str,
    tolerance: float,
    rigour: Rigour,
) -> Figure:
    """Two panels a network: both curves, and the ratio gained against median ICD.

    table: of ``laq.analysis.deep.ratio_claims.observations``; gains, claims: the tables of these
    names. On the left there is a faint line per subset, and at each density the mean over subsets
    with its interval. The dashed line is the mean of the network in float, the dotted one
    ``tolerance`` below it. On the right there is a point per subset. Where a curve does not cross
    that level, a bar spans the ratios that it leaves possible. The curve through the points has its
    band, and the mean has its interval as a band of its own.
    """
    table, gains = (rows[rows["scope"] == SCOPE] for rows in (table, gains))
    networks = list(dict.fromkeys(table["network"]))
    subject = f"{study}, {networks[0]}" if len(networks) == 1 else study
    title = heading(f"{subject}: Deep Compression for a subset's classes")
    names = [row_lines(network) for network in networks if len(networks) > 1]
    handles = _handles(bool((gains["censored"].fillna("") != "").any()))
    labels = [str(handle.get_label()) for handle in handles]
    columns = legend_columns(labels)
    bottom = LINE * (-(-len(labels) // columns))
    height = 0.7 + 2.8 * len(networks) + bottom + LINE * (sum(map(len, names)) + title.count("\n"))
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(
            len(networks), 2, figsize=(WIDTH, height), squeeze=False, layout="constrained"
        )
        for row, network in zip(panels, networks, strict=True):
            _curves(row[0], table[table["network"] == network], tolerance, rigour)
            claim_rows = claims[(claims["setting"] == network) & (claims["claim"] == GAINS.id)]
            _gains(row[1], gains[gains["network"] == network], claim_rows.iloc[0], scale, rigour)
            row[0].set_ylabel(TOP1.replace("Top-1", "Top-1 on Sub"))
            row[1].set_ylabel("Ratio gained at equal accuracy")
        for row, lines in zip(panels, names, strict=False):
            name_row(row, lines)
        panels[-1][0].set_xlabel("Compression ratio of the file")
        panels[-1][1].set_xlabel("Median inter-class distance (nats)")
        figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False)
        figure.suptitle(title)
    return figure


def _curves(panel: Axes, own: pd.DataFrame, tolerance: float, rigour: Rigour) -> None:
    points = own.assign(ratio=np.log(own["ratio"]), top1=100 * own["top1"])
    points = points.groupby(["classes", "subset", "density"])[["ratio", "top1"]].mean()
    float_top1 = float(points.loc[FLOAT, "top1"].mean())
    measured = points[points.index.get_level_values("classes") != FLOAT]
    by_error(panel, [*measured["top1"], float_top1])
    span(panel, limits(np.exp(measured["ratio"]), "log"), "log")
    for classes in NAMES:
        look, rows = LOOKS[classes], points.loc[classes]
        for _, curve in rows.groupby("subset", sort=False):
            curve = curve.sort_values("ratio")
            panel.plot(
                np.exp(curve["ratio"]), curve["top1"], color=look.colour, alpha=0.25, linewidth=0.7
            )
        means = rows.groupby("density").mean().sort_values("ratio")
        groups = rows.groupby("density")["top1"]
        intervals = [_interval(groups.get_group(density), rigour) for density in means.index]
        x = np.exp(means["ratio"].to_numpy(float))
        low, high = np.array(intervals).T
        line_with_bars(panel, x, means["top1"], (low, high), look, PEN, zorder=(3, 4))
    panel.axhline(float_top1, color=BASELINE, linewidth=0.9, linestyle=(0, (4, 3)))
    panel.axhline(float_top1 - 100 * tolerance, color=BASELINE, linewidth=1.1, linestyle=":")


def _interval(values: pd.Series, rigour: Rigour) -> tuple[float, float]:
    estimate = mean_interval(values, rigour.confidence, rigour.resamples, rigour.seed)
    return estimate.low, estimate.high


def _gains(panel: Axes, own: pd.DataFrame, claim: pd.Series, scale: str, rigour: Rigour) -> None:
    look, icd = LOOKS["subset"], own["median_icd"].to_numpy(float)
    y = own["gained"].to_numpy(float)
    low, high = (own[name].to_numpy(float) for name in ("gained_low", "gained_high"))
    values = np.concatenate([y, low, high, [1.0], claim[["low", "high"]].to_numpy(float)])
    values = values[np.isfinite(values) & (values > 0)]
    lowest, highest = values.min() / ARROW, values.max() * ARROW
    span(panel, limits(icd, scale), scale)
    panel.axhline(1, color=BASELINE, linewidth=0.9, zorder=2)
    _mean(panel, claim, lowest, highest)
    _fit(panel, icd, y, scale, rigour, sure=bool((low == high).all()))
    clipped = np.clip(low, lowest, highest), np.clip(high, lowest, highest)
    panel.vlines(icd, *clipped, color=look.colour, linewidth=1.1, zorder=3)
    for bounds, is_open, marker in (
        (clipped[0], low < lowest, "v"),
        (clipped[1], high > highest, "^"),
    ):
        panel.plot(icd[is_open], bounds[is_open], marker, color=look.colour, markersize=5, zorder=3)
    crossed = low == high
    panel.plot(icd[crossed], y[crossed], look.marker, color=look.colour, markersize=5, zorder=4)
    hollow = {"markerfacecolor": "white", "markersize": 5, "zorder": 4}
    panel.plot(icd[~crossed], y[~crossed], look.marker, color=look.colour, **hollow)
    panel.set_yscale("log")
    panel.set_ylim(lowest / ARROW, highest * ARROW)
    _ticks(panel, highest / lowest)


def _mean(panel: Axes, claim: pd.Series, least: float, most: float) -> None:
    """The mean and its interval, over the whole width and in the title."""
    effect, low, high = (float(claim[name]) for name in ("effect", "low", "high"))
    text = f"mean {effect:.2f}"
    if np.isfinite([low, high]).any():
        interval = np.clip([low, high], least / ARROW**2, most * ARROW**2)
        panel.axhspan(*interval, color="0.5", alpha=0.18, linewidth=0, zorder=1)
        text += f" ({low:.2f} to {'∞' if np.isinf(high) else f'{high:.2f}'})"
    panel.axhline(effect, color="0.45", linewidth=1, zorder=1.5)
    panel.set_title(f"{text}, n = {int(claim['n'])}")


def _fit(
    panel: Axes, icd: np.ndarray, y: np.ndarray, scale: str, rigour: Rigour, sure: bool
) -> None:
    """The curve through ratios as measured; its band where all of them are ``sure``."""
    try:
        curve = fit_log_curve(icd, np.log(y), rigour.confidence, rigour.draws, rigour.seed)
    except DataError:  # fewer than three subsets, or of one ICD: then there is no curve
        return
    spaced = np.geomspace if scale == "log" else np.linspace
    x = spaced(icd.min(), icd.max(), 80)
    style = {"color": LOOKS["subset"].colour}
    panel.plot(x, np.exp(curve.at(x)), linewidth=1, linestyle="-.", zorder=2.5, **style)
    low, high = curve.band(x)
    if sure and np.isfinite(low).all():
        panel.fill_between(x, np.exp(low), np.exp(high), alpha=0.15, linewidth=0, **style)


def _ticks(panel: Axes, factor: float) -> None:
    """Labels on a logarithmic axis that often spans less than a factor of two."""
    subs = (1, 2, 5) if factor > 5 else (1, 1.2, 1.5, 2, 3, 5, 7) if factor > 1.5 else None
    axis = panel.yaxis
    if subs:
        axis.set_major_locator(LogLocator(subs=subs))
    else:
        axis.set_major_locator(MaxNLocator(5))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(ScalarFormatter(useOffset=False))
    axis.set_minor_formatter(NullFormatter())


def _handles(censored: bool) -> list[Line2D]:
    handles = [
        Line2D([], [], color=LOOKS[key].colour, marker=LOOKS[key].marker, label=text)
        for key, text in WORDS.items()
    ]
    dashed = {"color": BASELINE, "linewidth": 0.9}
    handles.append(Line2D([], [], linestyle=(0, (4, 3)), label="in float", **dashed))
    handles.append(Line2D([], [], linestyle=":", label="compared there", **dashed))
    if censored:
        style = {"color": LOOKS["subset"].colour, "marker": LOOKS["subset"].marker}
        label = "level not crossed: bounds"
        handles.append(
            Line2D([], [], linestyle="none", markerfacecolor="white", label=label, **style)
        )
    return handles
