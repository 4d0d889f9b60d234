"""Figures 5 and 6: accuracy against median inter-class distance (ICD)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation

from laq.analysis.statistics import wilson_interval
from laq.figures import legend
from laq.figures.axis import ROOMY, Limits, asides, limits, print_width, span
from laq.figures.style import (
    LINE,
    NAMES,
    STYLE,
    WIDTH,
    Colour,
    Look,
    heading,
    looks,
    name,
    name_row,
    row_lines,
)
from laq.figures.words import plain, text_width, wrap
from laq.utils.errors import DataError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from laq.analysis.curves import Curves
if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from laq.analysis.statistics import Crossing
if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from laq.analysis.curves import Curves


# Another study's curves, dashed, on an x axis of their own over a panel of figure 5.


# x, y in percent, and the colour of a curve.
Laid = tuple[np.ndarray, np.ndarray, Colour]


def laid(published: Curves | None, drawn: Mapping[str, Look], scope: str) -> list[Laid]:
    """The curves of a scope that ``published`` has of the variants ``drawn``."""
    curves = []
    for key, fit in (published.fits if published else {}).items():
        if key[1] in drawn and key[2] == scope:
            x = published.points[key]["median_icd"]
            grid = np.geomspace(x.min(), x.max(), 200)
            curves.append((grid, 100 * fit.at(grid), drawn[key[1]].colour))
    return curves


def lay(panel: Axes, curves: list[Laid], scale: str) -> None:
    """Draw the curves on an x axis of their own: two feature spaces share no unit of distance."""
    twin = panel.twiny()
    twin.grid(False)
    span(twin, limits(np.concatenate([x for x, _, _ in curves]), scale), scale)
    twin.spines["top"].set_visible(True)
    twin.set_xlabel("Published: median distance in its own features (nats)", fontsize=8)
    for x, y, colour in curves:
        twin.plot(x, y, "--", color=colour, linewidth=1.1)


# The mark of a crossing of two curves, for figure 5.


SIZE = 7.0  # of the text, in points
TICK = 0.065  # height of the tick at the foot of the panel, as a share of it
ROW = 0.06  # height of a line of text, as a share of the panel


def mark(panel: Axes, crossing: Crossing, title: str, look: Look, width: float) -> float:
    """A tick where the curve of ``title`` crosses the original's, with the interval of the place.

    Where the crossing is not certain, only text is drawn. Returns the share of the panel, at its
    foot, that is to be kept free of data.

    Args:
        panel: with the limits of its x axis set.
        width: of the panel, in points of print.
    """
    transform = panel.get_xaxis_transform()  # x in data, y as a share of the panel
    rows = wrap(_text(crossing, title), 0.95 * width / 72, SIZE)
    text_style = {"color": look.colour, "fontsize": SIZE, "ha": "center", "va": "bottom"}
    text, reserved = plain("\n".join(rows)), ROW * len(rows)
    if _uncertain(crossing):
        panel.text(0.5, 0.015, text, transform=panel.transAxes, **text_style)
        return reserved + 0.02
    line_style = {"color": look.colour, "linewidth": 1.0, "transform": transform}
    panel.vlines(crossing.x, 0.015, TICK, **line_style)
    if np.isfinite([crossing.low, crossing.high]).all():
        panel.hlines(0.04, crossing.low, crossing.high, **line_style)
    half_width = 36 * max(text_width(row, SIZE) for row in rows) / width
    share = _share(crossing.x, panel.get_xlim(), panel.get_xscale())
    share = float(np.clip(share, half_width, 1 - half_width))
    panel.text(share, TICK + 0.01, text, transform=panel.transAxes, **text_style)
    return reserved + TICK + 0.015


def _uncertain(crossing: Crossing) -> bool:
    """Whether the interval leaves open if the curves cross; few subsets have no interval."""
    return bool(np.isfinite(crossing.low)) and not crossing.certain


def _share(x: float, between: Limits, scale: str) -> float:
    """The place of ``x`` on the axis, from 0 at its left to 1 at its right."""
    values = np.array([between[0], x, between[1]])
    low, position, high = np.log(values) if scale == "log" else values
    return float((position - low) / (high - low))


def _text(crossing: Crossing, title: str) -> str:
    """The text of the mark: with six subsets or more, it says whether there is a crossing."""
    if _uncertain(crossing):
        return f"No certain crossing of {title} and {name('original')}"
    if not np.isfinite(crossing.low):
        return f"{title} crosses {name('original')} at {_round(crossing.x)}, no interval"
    interval = f"{_round(crossing.low)} to {_round(crossing.high)}"
    return f"{title} crosses {name('original')} at {_round(crossing.x)} ({interval})"


def _round(x: float) -> str:
    """Two significant digits, and never a power of ten to read."""
    return f"{float(f'{x:.2g}'):,.10g}"


SCOPES = {"all": "All classes", "subset": "Subset's classes only"}
DISTANCE = "Median inter-class distance (nats)"


@dataclass(frozen=True)
class CurveArm:
    """A compared variant, of one setting or, for None, of the setting of each row."""

    setting: str | None
    variant: str
    label: str | None = None

    @property
    def title(self) -> str:
        return self.label or name(self.variant)


def accuracy_against_icd(
    curves: Curves,
    arms: Sequence[CurveArm],
    scale: str,
    title: str,
    settings: Sequence[str] = (),
    scopes: Sequence[str] = tuple(SCOPES),
    crossed: str | None = None,
    published: Curves | None = None,
    confidence: float = 0.95,
) -> Figure:
    """Top-1 against median ICD: a row of panels for each setting, a panel for each scope.

    Points are subsets, the mean over repeats, with their Wilson intervals; lines are the
    curves a ln(x) + c, bands their pointwise bootstrap bands. Arms of one subset are drawn side
    by side; all belong to the subset's distance. Test images of a subset are the same in all
    repeats, so an interval is that of one repeat's n at the mean rate; where n is not known
    there is none.

    Args:
        curves: of at least the arms' settings, variants and scopes.
        scale: of the x axis, ``linear`` or ``log``.
        settings: the rows; all of ``curves`` where empty. One row where every arm says its own.
        crossed: a variant; on All, at the foot of the panel, a tick marks where its curve
            crosses the original's, with that distance's interval; words where that is uncertain.
        published: curves of another study, drawn dashed for the same variants. Distances of
            two feature spaces are no common unit, so these have an x axis of their own on top.
        confidence: of the points' intervals; curves have that which they were fitted with.

    Raises:
        DataError: an arm that ``curves`` lacks.
    """
    rows = _rows(curves, arms, settings)
    arm_looks = _looks(curves, arms)
    by_variant = {arm.variant: arm_looks[arm] for arm in arms}
    overlays = {scope: laid(published, by_variant, scope) for scope in scopes}
    title = heading(title)
    row_names = [row_lines(setting) for setting in rows if len(rows) > 1]
    entries, dashed = [(arm.title, arm_looks[arm]) for arm in arms], any(overlays.values())
    height = len(rows) * (3.0 + 0.4 * (len(scopes) == 1) + 0.35 * dashed)
    height += 0.6 + LINE * sum(map(len, row_names)) + legend.growth(entries, dashed, title)
    x_limits = limits(np.concatenate([_distances(curves, arms, row) for row in rows]), scale)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            len(rows),
            len(scopes),
            figsize=(WIDTH, height),
            sharex=True,
            sharey="row",
            squeeze=False,
            layout="constrained",
        )
        span(axes[0][0], x_limits, scale)
        for row, setting in zip(axes, rows, strict=True):
            x = _distances(curves, arms, setting)
            shifts = asides(x, x_limits, scale, len(arms), len(scopes))
            for panel, scope in zip(row, scopes, strict=True):
                _draw_arms(panel, curves, arms, arm_looks, setting, scope, confidence, shifts)
                panel.set_title(SCOPES[scope] if len(scopes) > 1 else "")
                if overlays[scope]:
                    lay(panel, overlays[scope], scale)
            y_limits = _accuracy_range(curves, arms, setting, overlays, confidence)
            crossing = curves.crossings.get((setting, crossed, "all"))
            arm = next((arm for arm in arms if arm.variant == crossed), None)
            if crossing is not None and arm and "all" in scopes and np.isfinite(crossing.x):
                panel = row[scopes.index("all")]
                reserved = mark(
                    panel, crossing, arm.title, arm_looks[arm], print_width(len(scopes))
                )
                y_limits = y_limits[1] - (y_limits[1] - y_limits[0]) / (1 - reserved), y_limits[1]
            row[0].set_ylim(y_limits)
            row[0].yaxis.set_major_locator(MaxNLocator(8, integer=True, steps=[1, 2, 5, 10]))
            row[0].set_ylabel("Top-1 accuracy (%)")
        for row, lines in zip(axes, row_names, strict=False):
            name_row(row, lines)
        for panel in axes[-1]:
            panel.set_xlabel(DISTANCE)
        legend.below(figure, entries, dashed)
        figure.suptitle(title)
    return figure


def points(curves: Curves, setting: str, variant: str, scope: str) -> pd.DataFrame:
    """One row a subset: median_icd, top1, correct and n, each the mean over its repeats."""
    try:
        rows = curves.points[setting, variant, scope]
    except KeyError:
        available = ", ".join(dict.fromkeys(f"{s}/{v}" for s, v, _ in curves.points))
        raise DataError(
            f"no accuracy of {setting}/{variant} on {scope} to draw; there is: {available}"
        ) from None
    columns = ["median_icd", "top1", "correct", "n"]
    return rows.groupby("subset", sort=False)[columns].mean()


def intervals(table: pd.DataFrame, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Wilson intervals of ``points``' rates, (2 arrays of their length); NaN where n is unknown."""
    low, high = np.full((2, len(table)), np.nan)
    counted = table["n"].notna().to_numpy() & table["correct"].notna().to_numpy()
    if counted.any():
        rows = table[counted]
        low[counted], high[counted] = wilson_interval(rows["correct"], rows["n"], confidence)
    return low, high


def _rows(curves: Curves, arms: Sequence[CurveArm], settings: Sequence[str]) -> list[str]:
    """The settings that have a row of panels each."""
    if arms and all(arm.setting for arm in arms):
        return [str(arms[0].setting)]
    return list(settings) or list(dict.fromkeys(setting for setting, _, _ in curves.points))


def _distances(curves: Curves, arms: Sequence[CurveArm], setting: str) -> np.ndarray:
    """The x of a row's subsets, as often as they are drawn."""
    keys = {(arm.setting or setting, arm.variant, scope) for arm in arms for scope in SCOPES}
    rows = [table["median_icd"] for key, table in curves.points.items() if key in keys]
    return np.concatenate([np.empty(0), *rows])


def _looks(curves: Curves, arms: Sequence[CurveArm]) -> dict[CurveArm, Look]:
    """A look for each arm: its variant's, or its setting's where that is a variant's name.

    So logs named mp53 and mp35 look as the variants of these names do.
    """
    keys: dict[CurveArm, str] = {}
    for arm in arms:
        key = arm.setting if arm.setting in NAMES else arm.variant
        keys[arm] = key if key not in keys.values() else f"{arm.setting}/{arm.variant}"
    all_variants = dict.fromkeys(variant for _, variant, _ in curves.points)
    by_key = looks([*all_variants, *keys.values()])
    return {arm: by_key[key] for arm, key in keys.items()}


def _draw_arms(
    panel: Axes,
    curves: Curves,
    arms: Sequence[CurveArm],
    drawn: Mapping[CurveArm, Look],
    setting: str,
    scope: str,
    confidence: float,
    shifts: np.ndarray,
) -> None:
    """Points with their intervals, and the fitted curve with its band if there is one."""
    opacity = min(1.0, 4 / len(arms))
    for arm, shift in zip(arms, shifts, strict=True):
        key = (arm.setting or setting, arm.variant, scope)
        table, look = points(curves, *key), drawn[arm]
        x = table["median_icd"].to_numpy(float)
        sparsity = min(1.0, ROOMY / len(x))
        transform = panel.transData + ScaledTranslation(shift / 72, 0, panel.figure.dpi_scale_trans)
        low, high = intervals(table, confidence)
        panel.vlines(
            x,
            100 * low,
            100 * high,
            color=look.colour,
            alpha=(0.15 + 0.25 * sparsity) * max(opacity, 0.5),
            linewidth=0.5 + 0.3 * sparsity,
            transform=transform,
        )
        panel.plot(
            x,
            100 * table["top1"],
            look.marker,
            color=look.colour,
            markersize=3 + sparsity,
            markeredgecolor="white",
            markeredgewidth=0.3,
            transform=transform,
            zorder=3,
        )
        if fit := curves.fits.get(key):
            grid = np.geomspace(x.min(), x.max(), 200)
            y = 100 * fit.at(grid)
            panel.plot(grid, y, color=look.colour, linestyle=look.line, linewidth=1.3, zorder=4)
            low, high = (100 * np.clip(edge, 0, 1) for edge in fit.band(grid))
            panel.fill_between(grid, low, high, color=look.colour, alpha=0.1 * opacity, linewidth=0)


def _accuracy_range(
    curves: Curves,
    arms: Sequence[CurveArm],
    setting: str,
    over: Mapping[str, Sequence[Laid]],
    confidence: float,
) -> Limits:
    """Limits of the y axis, in percent: points with their intervals and curves laid over.

    Bands may reach beyond.
    """
    arrays = []
    for scope, overlaid in over.items():
        arrays += [y for _, y, _ in overlaid]
        for arm in arms:
            table = points(curves, arm.setting or setting, arm.variant, scope)
            arrays += [100 * table["top1"].to_numpy(float)]
            arrays += [100 * limit for limit in intervals(table, confidence)]
    values = np.concatenate(arrays)
    return _margins(float(np.nanmin(values)), float(np.nanmax(values)))


def _margins(low: float, high: float) -> Limits:
    """The range with a margin; beyond 100 % the margin only keeps markers whole."""
    margin = 0.03 * (high - low) or 1.0
    return low - margin, min(high + margin, max(high, 100) + margin / 2)
