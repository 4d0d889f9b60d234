"""Panels of figure 8 that show gains: against calibration images, and against bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import FixedLocator, NullLocator
from matplotlib.transforms import ScaledTranslation

from laq.figures.axis import Limits, limits, roomy
from laq.figures.style import BASELINE, Look, looks

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

# Whose images calibrate, in the words of the sweep's table, and the variant that looks like it.
CALIBRATED = {"subset": ("Label-aware", "quant"), "all": ("Label-agnostic", "agnostic")}
FULL = 32  # bits at which hardly anything is rounded
# Label-aware and label-agnostic at one x stand side by side, so many points of print apart.
DODGE = 5.0
PANEL = 118.0  # points of print that a panel is wide, rather less than more
BUSY = 6  # places on an axis, beyond which marks are smaller
# Gains of few bits are far larger than all others: beyond three times this many points, the
# axis is linear within so many about 0 and logarithmic outside.
NEAR = 2.0
GAIN = "Gain in top-1 on All (points)"


@dataclass(frozen=True)
class Base:
    """The point of the sweep from which one setting at a time is varied."""

    bits: int
    images: int


def draw_images(panel: Axes, gained: pd.DataFrame, base: Base) -> None:
    """Gain against calibration images, with that of the control: without rounding, at base."""
    control = gained[is_control(gained) & (gained["images"] == base.images)]
    gained = gained[gained["bits"] == base.bits]
    counts = sorted(gained["images"].unique())
    panel.set_xscale("log")
    panel.set_xlim(limits(counts, "log", 0.12))
    _draw_gains(panel, gained, gained["images"].to_numpy(float), "-")
    for _, row in control.iterrows():
        colour = look_of("bits32").colour
        panel.axhspan(row["low"], row["high"], color=colour, alpha=0.15, linewidth=0)
        panel.axhline(row["value"], color=colour, linewidth=0.9)
    columns = ["value", "low", "high"]
    _gain_axis(panel, np.concatenate([gained[columns], control[columns]]))
    left, right = np.log(panel.get_xlim())
    places = PANEL * (np.log(counts) - left) / (right - left)
    panel.set_xticks(counts, roomy(places, [f"{count:,}" for count in counts]))
    panel.xaxis.set_minor_locator(NullLocator())


def draw_bits(panel: Axes, gained: pd.DataFrame) -> None:
    """Gain against bits, evenly spaced: 32 bits are a control, far from where the others lie."""
    bits = sorted(gained["bits"].unique())
    places = gained["bits"].map({count: place for place, count in enumerate(bits)})
    _draw_gains(panel, gained, places.to_numpy(float), "none")
    _gain_axis(panel, gained[["value", "low", "high"]].to_numpy())
    texts = roomy(PANEL / len(bits) * np.arange(len(bits)), list(map(str, bits)))
    panel.set_xticks(range(len(bits)), texts)
    panel.set_xlim(-0.6, len(bits) - 0.4)


def _draw_gains(panel: Axes, gained: pd.DataFrame, x: np.ndarray, line: str) -> None:
    """Means with their intervals: label-aware, label-agnostic, and label-aware unrounded."""
    control = is_control(gained).to_numpy()
    size = 5.0 if len(np.unique(x)) <= BUSY else 3.5
    for place, (classes, (_, key)) in enumerate(CALIBRATED.items()):
        aside = ScaledTranslation(DODGE * (place - 0.5) / 72, 0, panel.figure.dpi_scale_trans)
        beside = panel.transData + aside
        of = (gained["classes"] == classes).to_numpy()
        for chosen, look in ((of & ~control, look_of(key)), (of & control, look_of("bits32"))):
            order = np.argsort(x[chosen])
            rows, at = gained[chosen].iloc[order], x[chosen][order]
            style = {"color": look.colour, "transform": beside}
            panel.vlines(at, rows["low"], rows["high"], linewidth=1.1, **style)
            if len(rows):
                more = {"markersize": size * (1.4 if look.marker == "*" else 1), "linewidth": 1}
                panel.plot(at, rows["value"], look.marker, linestyle=line, **more, **style)


def is_control(gained: pd.DataFrame) -> pd.Series:
    """Which rows are label-aware and hardly rounded."""
    return (gained["bits"] == FULL) & (gained["classes"] == "subset")


def look_of(key: str) -> Look:
    return looks([key])[key]


def _gain_axis(panel: Axes, values: np.ndarray) -> None:
    """The line of the original and a y axis on which small gains are seen beside large ones."""
    low, high = around_zero(panel, values)
    panel.set_ylabel(GAIN)
    if max(-low, high) <= 3 * NEAR:
        return
    panel.set_yscale("symlog", linthresh=NEAR)
    panel.set_ylim(min(low - 0.2 * NEAR, 1.3 * low), max(high + 0.2 * NEAR, 1.3 * high))
    steps = [step * 10.0**power for power in range(3) for step in (1, 2, 5)]
    panel.yaxis.set_major_locator(FixedLocator([-step for step in steps] + [0.0, *steps]))
    panel.yaxis.set_minor_locator(NullLocator())
    panel.yaxis.set_major_formatter("{x:g}")
    panel.set_ylabel(f"{GAIN},\nlogarithmic beyond ±{NEAR:g}")


def around_zero(panel: Axes, values: np.ndarray) -> Limits:
    """The line of the original, and y limits that hold it and all ``values`` that are known.

    Gives the least and the largest of these.
    """
    panel.axhline(0, color=BASELINE, linewidth=0.9, zorder=2)
    known = np.append(values[np.isfinite(values)], 0)
    margin = 0.08 * np.ptp(known) or 1.0
    low, high = float(known.min()), float(known.max())
    panel.set_ylim(low - margin, high + margin)
    return low, high
