"""Figure 8: what label-aware quantization does, and what of it is calibration or rounding."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator
from matplotlib.transforms import ScaledTranslation

from laq.errors import DataError
from laq.observations import arm
from laq.plots.style import BASELINE, STYLE, WIDTH, looks
from laq.statistics import mean_interval

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from laq.statistics import Estimate

# Whose images calibrate, in the words of the sweep's table, and the variant that looks like it.
CALIBRATED = {"subset": ("Label-aware", "quant"), "all": ("Label-agnostic", "agnostic")}
FULL = 32  # bits at which hardly anything is rounded
INSIDE = {"agnostic": "agnostic", "quant": "aware", "bits32": "aware,\n32 bits"}
SWEEP = ("network", "subset", "bits", "images", "classes", "scope", "top1", "n", "inside")
GROUPS = ["bits", "images", "classes"]
# Label-aware and label-agnostic at one x stand side by side, so many points of print apart.
DODGE = 5.0


@dataclass(frozen=True)
class Base:
    """The point of the sweep from which one setting at a time is varied."""

    bits: int
    images: int


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
    calibration images, label-aware and label-agnostic; (b) the same against bits; (c) the change
    of the share of predictions inside the subset, at ``base`` and without rounding, a grey line
    a subset. All three are differences within subsets, so that what subsets differ in by
    themselves is not in the intervals.

    Args:
        accuracy: as ``observations.read`` gives it; the original's rows and the subsets count.
        sweep: the table of the sweep, all its points.

    Raises:
        DataError: the sweep has no rows of a network and the subsets of ``accuracy``.
    """
    networks = list(dict.fromkeys(sweep["network"]))
    sweep = sweep[(sweep["scope"] == "all") & sweep["subset"].isin(accuracy["subset"])]
    mean = partial(mean_interval, confidence=confidence, resamples=resamples, seed=seed)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            len(networks),
            3,
            figsize=(WIDTH, 0.6 + 2.7 * len(networks)),
            squeeze=False,
            layout="constrained",
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
            _draw_images(row[0], gained[gained["bits"] == base.bits])
            _draw_bits(row[1], gained[gained["images"] == base.images])
            _draw_inside(row[2], inside(accuracy, own, network, base), mean)
            for panel in row[:2]:
                panel.set_ylabel("Gain in top-1 on All (points)")
            row[2].set_ylabel("Change in share inside (points)")
            heads = ["(a) Calibration images", "(b) Bits", "(c) Predictions inside"]
            for panel, head in zip(row, heads, strict=True):
                panel.set_title(head if len(networks) == 1 else f"{network}\n{head}")
        axes[-1][0].set_xlabel(f"Images, at {base.bits} bits")
        axes[-1][1].set_xlabel(f"Bits a weight, at {base.images} images")
        _legend(figure)
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
        key: (100 * rows["inside"] / rows["n"]).groupby(rows["subset"]).mean()
        for key, rows in arms.items()
        if len(rows)
    }


def _draw_images(panel: Axes, gained: pd.DataFrame) -> None:
    """Gain against calibration images: a line between neighbours, since the axis is a number."""
    counts = sorted(gained["images"].unique())
    panel.set_xscale("log")
    _draw_gains(panel, gained, gained["images"].to_numpy(float), "-")
    panel.set_xticks(counts, [f"{count:,}" for count in counts])
    panel.xaxis.set_minor_locator(NullLocator())
    if len(counts) > 1:
        margin = (counts[-1] / counts[0]) ** 0.12
        panel.set_xlim(counts[0] / margin, counts[-1] * margin)


def _draw_bits(panel: Axes, gained: pd.DataFrame) -> None:
    """Gain against bits, evenly spaced: 32 bits are a control, far from where the others lie."""
    bits = sorted(gained["bits"].unique())
    places = gained["bits"].map({count: place for place, count in enumerate(bits)})
    _draw_gains(panel, gained, places.to_numpy(float), "none")
    panel.set_xticks(range(len(bits)), [str(count) for count in bits])
    panel.set_xlim(-0.6, len(bits) - 0.4)


def _draw_gains(panel: Axes, gained: pd.DataFrame, x: np.ndarray, line: str) -> None:
    for place, (classes, (_, key)) in enumerate(CALIBRATED.items()):
        look, chosen = looks([key])[key], (gained["classes"] == classes).to_numpy()
        rows, at = gained[chosen], x[chosen]
        order = np.argsort(at)
        rows, at = rows.iloc[order], at[order]
        aside = ScaledTranslation(DODGE * (place - 0.5) / 72, 0, panel.figure.dpi_scale_trans)
        style = {"color": look.colour, "transform": panel.transData + aside}
        panel.vlines(at, rows["low"], rows["high"], linewidth=1.1, **style)
        panel.plot(
            at, rows["value"], look.marker, linestyle=line, markersize=5, linewidth=1, **style
        )
    _around_zero(panel, gained[["value", "low", "high"]].to_numpy())


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
        look, of = looks([key])[key], mean(table[key].dropna())
        panel.vlines(place, of.low, of.high, color=look.colour, linewidth=1.4, zorder=3)
        panel.plot(place, of.value, look.marker, color=look.colour, markersize=6, zorder=4)
    panel.set_xticks(places, [INSIDE[key] for key in table])
    panel.set_xlim(-0.5, len(places) - 0.5)
    panel.set_xlabel(f"Original: {original.mean():.1f} % inside")
    _around_zero(panel, table.to_numpy())


def _around_zero(panel: Axes, values: np.ndarray) -> None:
    """The line of the original, and y limits that hold it and all ``values`` that are known."""
    panel.axhline(0, color=BASELINE, linewidth=0.9, zorder=2)
    low, high = np.nanmin([0, np.nanmin(values)]), np.nanmax([0, np.nanmax(values)])
    margin = 0.08 * (high - low) or 1.0
    panel.set_ylim(low - margin, high + margin)


def _legend(figure: Figure) -> None:
    handles = []
    for label, key in CALIBRATED.values():
        look = looks([key])[key]
        handles.append(Line2D([], [], color=look.colour, marker=look.marker, label=label))
    look = looks(["bits32"])["bits32"]
    control = {"color": look.colour, "marker": look.marker, "linestyle": "none"}
    handles.append(Line2D([], [], label="Label-aware, 32 bits", **control))
    handles.append(Line2D([], [], color=BASELINE, linewidth=0.9, label="Original"))
    handles.append(Line2D([], [], color="0.8", linewidth=0.6, label="one subset"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
