"""Figure 8: what label-aware quantization does, and what of it is calibration or rounding."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.lines import Line2D

from laq.analysis.observations import arm
from laq.analysis.statistics import mean_interval
from laq.figures.gains import (
    CALIBRATED,
    FULL,
    Base,
    around_zero,
    draw_bits,
    draw_images,
    is_control,
    look_of,
)
from laq.figures.style import (
    BASELINE,
    LINE,
    STYLE,
    WIDTH,
    heading,
    legend_columns,
    name_row,
    row_lines,
    taller,
)
from laq.utils.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from laq.analysis.statistics import Estimate

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
            own = sweep[sweep["network"] == network]
            if own.empty:
                raise DataError(
                    f"the sweep of {network} has no subset of the accuracy table: "
                    "delete both tables and run again"
                )
            original = arm(accuracy, network, "original", "all")
            gained = gains(own, original, mean)
            draw_images(row[0], gained, base)
            draw_bits(row[1], gained[gained["images"] == base.images])
            _draw_inside(row[2], inside(accuracy, own, network, base), mean)
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
    for key, part in sweep.groupby(GROUPS):
        d = (part.groupby("subset")["top1"].mean() - original).dropna()
        of = mean(d)
        numbers = {"value": 100 * of.value, "low": 100 * of.low, "high": 100 * of.high, "n": of.n}
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
    table = pd.DataFrame({key: of - original for key, of in shares.items() if key != "original"})
    places = np.arange(table.shape[1])
    panel.plot(places, table.to_numpy().T, color="0.8", linewidth=0.6, marker=".", markersize=2)
    for place, key in enumerate(table):
        look, of = look_of(key), mean(table[key].dropna())
        panel.vlines(place, of.low, of.high, color=look.colour, linewidth=1.4, zorder=3)
        panel.plot(place, of.value, look.marker, color=look.colour, markersize=6, zorder=4)
    panel.set_xticks(places, [INSIDE[key] for key in table])
    panel.set_xlim(-0.5, len(places) - 0.5)
    panel.set_xlabel(f"Original: {original.mean():.1f} % inside")
    around_zero(panel, table.to_numpy())


def _handles(sweep: pd.DataFrame, base: Base) -> list[Line2D]:
    """Of what the panels show alone."""
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
