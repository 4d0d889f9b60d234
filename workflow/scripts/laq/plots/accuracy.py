"""Figures 5 and 6: accuracy against median inter-class distance (ICD)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation

from laq.errors import DataError
from laq.plots.crossing import STRIP, mark
from laq.plots.style import BASELINE, NAMES, STYLE, WIDTH, Look, legend_columns, looks, name
from laq.statistics import wilson_interval

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from laq.curves import Curves

SCOPES = {"all": "All classes", "subset": "Subset's classes only"}
DISTANCE = "Median inter-class distance (nats)"
# Arms of one subset stand side by side within this width, in points of print, which is a
# multiple of the marker's size whatever the axis's scale. Many subsets leave less for each.
DODGE = 9.0
ROOMY = 12
NARROWEST = 0.6


@dataclass(frozen=True)
class Arm:
    """What a figure compares: a variant, of one setting or (None) of each row's own."""

    setting: str | None
    variant: str
    label: str | None = None

    @property
    def title(self) -> str:
        return self.label or name(self.variant)


def accuracy_against_icd(
    curves: Curves,
    arms: Sequence[Arm],
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
            crosses the original's, with the interval of that distance.
        published: curves of another study, drawn dashed for the same variants. Distances of
            two feature spaces are no common unit, so these have an x axis of their own on top.
        confidence: of the points' intervals; curves have that which they were fitted with.

    Raises:
        DataError: an arm that ``curves`` lacks.
    """
    rows = _rows(curves, arms, settings)
    drawn = _looks(curves, arms)
    height = 3.0 if len(scopes) > 1 else 3.4
    extra = 0.6 + 0.35 * (published is not None)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            len(rows),
            len(scopes),
            figsize=(WIDTH, extra + height * len(rows)),
            sharex=True,
            sharey="row",
            squeeze=False,
            layout="constrained",
        )
        for row, setting in zip(axes, rows, strict=True):
            for panel, scope in zip(row, scopes, strict=True):
                _draw_arms(panel, curves, arms, drawn, setting, scope, confidence)
                heads = [setting] * (len(rows) > 1) + [SCOPES[scope]] * (len(scopes) > 1)
                panel.set_title(": ".join(heads))
                panel.set_xscale(scale)
            limits = _accuracy_range(curves, arms, setting, scopes, confidence)
            if published is not None:
                limits = _draw_published(row, published, arms, drawn, scopes, scale, limits)
            crossing = curves.crossings.get((setting, crossed, "all"))
            arm = next((arm for arm in arms if arm.variant == crossed), None)
            if crossing is not None and arm and "all" in scopes and np.isfinite(crossing.x):
                mark(row[scopes.index("all")], crossing, arm.title, drawn[arm])
                limits = limits[1] - (limits[1] - limits[0]) / (1 - STRIP), limits[1]
            row[0].set_ylim(limits)
            row[0].yaxis.set_major_locator(MaxNLocator(8, integer=True, steps=[1, 2, 5, 10]))
            row[0].set_ylabel("Top-1 accuracy (%)")
        for panel in axes[-1]:
            panel.set_xlabel(DISTANCE)
        _legend(figure, arms, drawn, published is not None)
        figure.suptitle(title)
    return figure


def points(curves: Curves, setting: str, variant: str, scope: str) -> pd.DataFrame:
    """One row a subset: median_icd, top1, correct and n, each the mean over its repeats."""
    try:
        rows = curves.points[setting, variant, scope]
    except KeyError:
        known = ", ".join(dict.fromkeys(f"{s}/{v}" for s, v, _ in curves.points))
        raise DataError(
            f"no accuracy of {setting}/{variant} on {scope} to draw; there is: {known}"
        ) from None
    columns = ["median_icd", "top1", "correct", "n"]
    return rows.groupby("subset", sort=False)[columns].mean()


def intervals(table: pd.DataFrame, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Wilson intervals of ``points``' rates, (2 arrays of their length); NaN where n is unknown."""
    low, high = np.full((2, len(table)), np.nan)
    known = table["n"].notna().to_numpy() & table["correct"].notna().to_numpy()
    if known.any():
        rows = table[known]
        low[known], high[known] = wilson_interval(rows["correct"], rows["n"], confidence)
    return low, high


def _rows(curves: Curves, arms: Sequence[Arm], settings: Sequence[str]) -> list[str]:
    """The settings that have a row of panels each."""
    if arms and all(arm.setting for arm in arms):
        return [str(arms[0].setting)]
    return list(settings) or list(dict.fromkeys(setting for setting, _, _ in curves.points))


def _looks(curves: Curves, arms: Sequence[Arm]) -> dict[Arm, Look]:
    """A look for each arm: its variant's, or its setting's where that is a variant's name.

    So logs named mp53 and mp35 look as the variants of these names do.
    """
    keys: dict[Arm, str] = {}
    for arm in arms:
        key = arm.setting if arm.setting in NAMES else arm.variant
        keys[arm] = key if key not in keys.values() else f"{arm.setting}/{arm.variant}"
    all_variants = dict.fromkeys(variant for _, variant, _ in curves.points)
    drawn = looks([*all_variants, *keys.values()])
    return {arm: drawn[key] for arm, key in keys.items()}


def _draw_arms(
    panel: Axes,
    curves: Curves,
    arms: Sequence[Arm],
    drawn: Mapping[Arm, Look],
    setting: str,
    scope: str,
    confidence: float,
) -> None:
    """Points with their intervals, and the fitted curve with its band if there is one."""
    for place, arm in enumerate(arms):
        key = (arm.setting or setting, arm.variant, scope)
        table, look = points(curves, *key), drawn[arm]
        x = table["median_icd"].to_numpy(float)
        crowd = min(1.0, ROOMY / len(x))
        shift = DODGE * max(crowd, NARROWEST) * ((place + 0.5) / len(arms) - 0.5)
        beside = panel.transData + ScaledTranslation(shift / 72, 0, panel.figure.dpi_scale_trans)
        low, high = intervals(table, confidence)
        panel.vlines(
            x,
            100 * low,
            100 * high,
            color=look.colour,
            alpha=0.15 + 0.25 * crowd,
            linewidth=0.5 + 0.3 * crowd,
            transform=beside,
        )
        panel.plot(
            x,
            100 * table["top1"],
            look.marker,
            color=look.colour,
            markersize=3 + crowd,
            markeredgecolor="white",
            markeredgewidth=0.3,
            transform=beside,
            zorder=3,
        )
        if fit := curves.fits.get(key):
            grid = np.geomspace(x.min(), x.max(), 200)
            panel.plot(grid, 100 * fit.at(grid), color=look.colour, linewidth=1.3, zorder=4)
            low, high = (100 * np.clip(edge, 0, 1) for edge in fit.band(grid))
            panel.fill_between(grid, low, high, color=look.colour, alpha=0.1, linewidth=0)


def _accuracy_range(
    curves: Curves, arms: Sequence[Arm], setting: str, scopes: Sequence[str], confidence: float
) -> tuple[float, float]:
    """Limits of the y axis, in percent: the points with their intervals, not the bands."""
    ends = []
    for arm in arms:
        for scope in scopes:
            table = points(curves, arm.setting or setting, arm.variant, scope)
            ends += [table["top1"].to_numpy(float), *intervals(table, confidence)]
    values = 100 * np.concatenate(ends)
    return _margins(float(np.nanmin(values)), float(np.nanmax(values)))


def _margins(low: float, high: float) -> tuple[float, float]:
    """The range with a margin, which beyond 100 % only keeps markers whole."""
    margin = 0.03 * (high - low) or 1.0
    return low - margin, min(high + margin, max(high, 100) + margin / 2)


def _draw_published(
    row: Sequence[Axes],
    published: Curves,
    arms: Sequence[Arm],
    drawn: Mapping[Arm, Look],
    scopes: Sequence[str],
    scale: str,
    limits: tuple[float, float],
) -> tuple[float, float]:
    """Dashed curves of another study on an x axis on top; the y limits that hold them too."""
    low, high = limits
    for panel, scope in zip(row, scopes, strict=True):
        top = panel.twiny()
        top.grid(False)
        top.set_xscale(scale)
        top.spines["top"].set_visible(True)
        top.set_xlabel("Published: median distance in its own features (nats)", fontsize=8)
        for key, fit in published.fits.items():
            for arm in arms:
                if (arm.variant, scope) == key[1:]:
                    x = published.points[key]["median_icd"]
                    grid = np.geomspace(x.min(), x.max(), 200)
                    y = 100 * fit.at(grid)
                    top.plot(grid, y, "--", color=drawn[arm].colour, linewidth=1.1)
                    low, high = min(low, *_margins(y.min(), high)), max(high, y.max())
    return low, high


def _legend(
    figure: Figure, arms: Sequence[Arm], drawn: Mapping[Arm, Look], published: bool
) -> None:
    handles = [
        Line2D(
            [],
            [],
            color=drawn[arm].colour,
            marker=drawn[arm].marker,
            markersize=4.5,
            markeredgecolor="white",
            markeredgewidth=0.3,
            linewidth=1.3,
            label=arm.title,
        )
        for arm in arms
    ]
    if published:
        handles.append(Line2D([], [], color=BASELINE, linestyle="--", label="published"))
    labels = [str(handle.get_label()) for handle in handles]
    columns = legend_columns(labels)
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False)
