"""Figure 8: what label-aware quantization does, and what of it is calibration or rounding."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator
from matplotlib.transforms import ScaledTranslation

from laq.analysis.observations import arm
from laq.analysis.statistics import mean_interval
from laq.figures.axis import Limits, limits, roomy
from laq.figures.style import (
    BASELINE,
    LINE,
    STYLE,
    WIDTH,
    Look,
    heading,
    legend_columns,
    looks,
    name_row,
    row_lines,
    taller,
)
from laq.utils.errors import DataError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from laq.analysis.statistics import Estimate


# Panels of figure 8 that show gains: against calibration images, and against bits.


# By the classes of calibration images in the sweep's table: a label, and the variant's look.
CALIBRATED = {"subset": ("Label-aware", "quant"), "all": ("Label-agnostic", "agnostic")}
FULL = 32  # bits at which hardly anything is rounded
# Label-aware and label-agnostic at one x stand side by side, so many points of print apart.
DODGE = 5.0
PANEL = 118.0  # width of a panel in points of print, estimated rather low
BUSY = 6  # places on an axis, beyond which marks are smaller
# Gains of few bits are far larger than all others. Where gains exceed three times this many points,
# the axis is linear within this many points of 0 and logarithmic outside.
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
    positions = PANEL * (np.log(counts) - left) / (right - left)
    panel.set_xticks(counts, roomy(positions, [f"{count:,}" for count in counts]))
    panel.xaxis.set_minor_locator(NullLocator())


def draw_bits(panel: Axes, gained: pd.DataFrame) -> None:
    """Gain against bits, evenly spaced: 32 bits are a control, far from where the others lie."""
    bits = sorted(gained["bits"].unique())
    positions = gained["bits"].map({count: index for index, count in enumerate(bits)})
    _draw_gains(panel, gained, positions.to_numpy(float), "none")
    _gain_axis(panel, gained[["value", "low", "high"]].to_numpy())
    texts = roomy(PANEL / len(bits) * np.arange(len(bits)), list(map(str, bits)))
    panel.set_xticks(range(len(bits)), texts)
    panel.set_xlim(-0.6, len(bits) - 0.4)


def _draw_gains(panel: Axes, gained: pd.DataFrame, x: np.ndarray, line: str) -> None:
    """Means with their intervals: label-aware, label-agnostic, and label-aware unrounded."""
    control = is_control(gained).to_numpy()
    size = 5.0 if len(np.unique(x)) <= BUSY else 3.5
    for index, (classes, (_, key)) in enumerate(CALIBRATED.items()):
        offset = ScaledTranslation(DODGE * (index - 0.5) / 72, 0, panel.figure.dpi_scale_trans)
        transform = panel.transData + offset
        match = (gained["classes"] == classes).to_numpy()
        for mask, look in ((match & ~control, look_of(key)), (match & control, look_of("bits32"))):
            order = np.argsort(x[mask])
            rows, positions = gained[mask].iloc[order], x[mask][order]
            style = {"color": look.colour, "transform": transform}
            panel.vlines(positions, rows["low"], rows["high"], linewidth=1.1, **style)
            if len(rows):
                marks = {"markersize": size * (1.4 if look.marker == "*" else 1), "linewidth": 1}
                panel.plot(positions, rows["value"], look.marker, linestyle=line, **marks, **style)


def is_control(gained: pd.DataFrame) -> pd.Series:
    """Which rows are label-aware and hardly rounded."""
    return (gained["bits"] == FULL) & (gained["classes"] == "subset")


def look_of(key: str) -> Look:
    return looks([key])[key]


def _gain_axis(panel: Axes, values: np.ndarray) -> None:
    """Draw the line of the original, and a y axis that shows small gains beside large ones."""
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
    """Draw the line of the original, and set y limits that hold it and all finite ``values``.

    Returns the least and the largest of these.
    """
    panel.axhline(0, color=BASELINE, linewidth=0.9, zorder=2)
    finite = np.append(values[np.isfinite(values)], 0)
    margin = 0.08 * np.ptp(finite) or 1.0
    low, high = float(finite.min()), float(finite.max())
    panel.set_ylim(low - margin, high + margin)
    return low, high


INSIDE = {"agnostic": "agnostic", "quant": "aware", "bits32": "aware,\n32 bits"}
SWEEP = ("network", "subset", "bits", "images", "classes", "scope", "top1", "n", "in_subset")
GROUPS = ["bits", "images", "classes"]


def effect(
    accuracy: pd.DataFrame,
    sweep: pd.DataFrame,
    base: Base,
    title: str,
    confidence: float,
    resamples: int,
    seed: int,
) -> Figure:
    """Three panels for each network, means over subsets with their bootstrap intervals.

    (a) the gain in top-1 over all classes, over the original network, against the number of
    calibration images, label-aware and label-agnostic, and as a line with a band that without
    rounding; (b) the same against bits; (c) the change of the share of predictions inside the
    subset, at ``base`` and without rounding, a grey line a subset. All three are differences
    within subsets, so that what subsets differ in by themselves is not in the intervals.

    Args:
        accuracy: as ``observations.read`` gives it; the original's rows and the subsets count.
        sweep: the table of the sweep, all its points.

    Raises:
        DataError: the sweep has no rows of a network and the subsets of ``accuracy``.
    """
    networks = list(dict.fromkeys(sweep["network"]))
    sweep = sweep[(sweep["scope"] == "all") & sweep["subset"].isin(accuracy["subset"])]
    mean = partial(mean_interval, confidence=confidence, resamples=resamples, seed=seed)
    title = heading(title)
    names = [row_lines(network) for network in networks if len(networks) > 1]
    handles = _handles(sweep, base)
    labels = [str(handle.get_label()) for handle in handles]
    height = 0.6 + 2.7 * len(networks) + taller(labels, title) + LINE * sum(map(len, names))
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            len(networks), 3, figsize=(WIDTH, height), squeeze=False, layout="constrained"
        )
        for row, network in zip(axes, networks, strict=True):
            rows = sweep[sweep["network"] == network]
            if rows.empty:
                raise DataError(
                    f"the sweep of {network} has no subset of the accuracy table: "
                    "delete both tables and run again"
                )
            original = arm(accuracy, network, "original", "all")
            gained = gains(rows, original, mean)
            draw_images(row[0], gained, base)
            draw_bits(row[1], gained[gained["images"] == base.images])
            _draw_inside(row[2], inside(accuracy, rows, network, base), mean)
            row[2].set_ylabel("Change in share inside (points)")
            heads = ["(a) Calibration images", "(b) Bits", "(c) Predictions inside"]
            for panel, head in zip(row, heads, strict=True):
                panel.set_title(head)
        for row, lines in zip(axes, names, strict=False):
            name_row(row, lines)
        axes[-1][0].set_xlabel(f"Images, at {base.bits} bits")
        axes[-1][1].set_xlabel(f"Bits a weight, at {base.images} images")
        columns = legend_columns(labels)
        figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False)
        figure.suptitle(title)
    return figure


def gains(
    sweep: pd.DataFrame, original: pd.Series, mean: Callable[[pd.Series], Estimate]
) -> pd.DataFrame:
    """Mean gain over ``original`` (top-1 by subset) at each point of the sweep, in percent points.

    Columns: bits, images, classes, value, low, high, n. Repeats of a subset are averaged first.
    """
    import pandas as pd

    rows = []
    for key, group in sweep.groupby(GROUPS):
        d = (group.groupby("subset")["top1"].mean() - original).dropna()
        estimate = mean(d)
        numbers = {
            "value": 100 * estimate.value,
            "low": 100 * estimate.low,
            "high": 100 * estimate.high,
            "n": estimate.n,
        }
        rows.append({**dict(zip(GROUPS, key, strict=True)), **numbers})
    return pd.DataFrame(rows)


def inside(
    accuracy: pd.DataFrame, sweep: pd.DataFrame, network: str, base: Base
) -> dict[str, pd.Series]:
    """Percent of predictions inside the subset, by subset, for each arm of panel (c).

    Predictions are over all classes, for images of the subset's classes. Arms: original, and as
    far as the sweep has them agnostic and quant (label-aware) at ``base``, and bits32.
    """
    arms = {
        "original": accuracy[
            (accuracy["setting"] == network)
            & (accuracy["variant"] == "original")
            & (accuracy["scope"] == "all")
        ]
    }
    for key, bits, classes in (
        ("agnostic", base.bits, "all"),
        ("quant", base.bits, "subset"),
        ("bits32", FULL, "subset"),
    ):
        arms[key] = sweep[
            (sweep["bits"] == bits)
            & (sweep["classes"] == classes)
            & (sweep["images"] == base.images)
        ]
    return {
        key: (100 * rows["in_subset"] / rows["n"]).groupby(rows["subset"]).mean()
        for key, rows in arms.items()
        if len(rows)
    }


def _draw_inside(
    panel: Axes, shares: dict[str, pd.Series], mean: Callable[[pd.Series], Estimate]
) -> None:
    """A grey line a subset from arm to arm, and the mean of each arm with its interval."""
    import pandas as pd

    original = shares["original"]
    table = pd.DataFrame(
        {key: share - original for key, share in shares.items() if key != "original"}
    )
    positions = np.arange(table.shape[1])
    panel.plot(positions, table.to_numpy().T, color="0.8", linewidth=0.6, marker=".", markersize=2)
    for position, key in enumerate(table):
        look, estimate = look_of(key), mean(table[key].dropna())
        panel.vlines(
            position, estimate.low, estimate.high, color=look.colour, linewidth=1.4, zorder=3
        )
        panel.plot(position, estimate.value, look.marker, color=look.colour, markersize=6, zorder=4)
    panel.set_xticks(positions, [INSIDE[key] for key in table])
    panel.set_xlim(-0.5, len(positions) - 0.5)
    panel.set_xlabel(f"Original: {original.mean():.1f} % inside")
    around_zero(panel, table.to_numpy())


def _handles(sweep: pd.DataFrame, base: Base) -> list[Line2D]:
    """Handles of what the panels show, and of nothing else."""
    varied = sweep[(sweep["bits"] == base.bits) | (sweep["images"] == base.images)]
    control = is_control(varied)
    handles = []
    for classes, (label, key) in CALIBRATED.items():
        if ((varied["classes"] == classes) & ~control).any():
            look = look_of(key)
            handles.append(Line2D([], [], color=look.colour, marker=look.marker, label=label))
    if control.any():
        look, label = look_of("bits32"), "Label-aware, 32 bits"
        handles.append(Line2D([], [], color=look.colour, marker=look.marker, label=label))
    handles.append(Line2D([], [], color=BASELINE, linewidth=0.9, label="Original"))
    return [*handles, Line2D([], [], color="0.8", linewidth=0.6, label="One subset")]
