"""Partial training: accuracy and bytes by number of quantized layers, and single layers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from laq.analysis.partial import table
from laq.analysis.partial.curve import FORMS
from laq.analysis.partial.evidence import kind_of
from laq.analysis.partial.table import ALONE
from laq.figures.memory import size
from laq.figures.style import BASELINE, PALETTE, STYLE, WIDTH, Line, heading, name_row, row_lines
from laq.figures.words import plain
from laq.figures.zoo import axes, bytes_axis, front
from laq.utils.errors import DataError
from laq.utils.files import AGAIN

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# How arms of partial training are drawn in every figure: positions by colour, bits by line.


POSITIONS = {
    "first": (PALETTE[0], "s"),
    "middle": (PALETTE[1], "D"),
    "last": (PALETTE[2], "o"),
    "named": (PALETTE[7], "P"),
}
_LINES: Sequence[Line] = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)))
_MARKERS = "os^vDP"
TRAINED_ALONE = "these layers trained alone"
CONTROL = "float, trained as long"


def words(width: str) -> str:
    """Bits of weights, and of inputs where these are quantized, in words."""
    weights, _, inputs = width.partition("a")
    return f"{weights} bits" + (f", inputs {inputs}" if inputs else "")


def by_bits(table: pd.DataFrame) -> list[str]:
    """The widths of a table, the fewest bits first."""
    pairs = table[["bits", "width"]].drop_duplicates().sort_values(["bits", "width"])
    return list(dict.fromkeys(pairs["width"]))


def faces(widths: Sequence[str], colour: object) -> dict[str, object]:
    """Face colours of markers by width: their colour, white, then ever paler shades."""
    shades = [colour, "white", *((colour, 0.45 / rank) for rank in range(1, len(widths)))]
    return dict(zip(widths, shades, strict=False))


def lines(widths: Sequence[str]) -> dict[str, Line]:
    """A line for each width, whole for the first."""
    return {width: _LINES[index % len(_LINES)] for index, width in enumerate(widths)}


def markers(widths: Sequence[str]) -> dict[str, str]:
    """A marker for each width."""
    return {width: _MARKERS[index % len(_MARKERS)] for index, width in enumerate(widths)}


def subplots(networks: Sequence[str], columns: int, height: float) -> tuple[Figure, np.ndarray]:
    """A row of panels for each network, ``height`` inches each."""
    return plt.subplots(
        len(networks),
        columns,
        figsize=(WIDTH, 0.9 + height * len(networks)),
        squeeze=False,
        layout="constrained",
    )


def name(figure: Figure, rows: np.ndarray, networks: Sequence[str], study: str, shows: str) -> None:
    """The figure's heading, and where there are several networks their names above their rows."""
    if len(networks) > 1:
        for row, network in zip(rows, networks, strict=True):
            if row[0].get_title():
                name_row(row, row_lines(network))
            else:
                text = plain("\n".join(row_lines(network)))
                row[0].set_title(text, loc="left", fontweight="bold")
    subject = f"{study}, {networks[0]}" if len(networks) == 1 else study
    figure.suptitle(heading(f"{subject}: {shows}"))


def alone(there: Iterable[str], line: Line = "-") -> list[Line2D]:
    """An entry for layers that were trained alone, where there are some."""
    present = any(position.endswith(ALONE) for position in there)
    return [handle(TRAINED_ALONE, "0.35", "o", line, "white")] if present else []


def look(position: str) -> tuple[object, str, bool]:
    """Colour, marker, and whether the marker is hollow, as of layers that were trained alone."""
    return *POSITIONS[position.removesuffix(ALONE)], position.endswith(ALONE)


def edge(colour: object, hollow: bool) -> dict[str, object]:
    """Matplotlib's arguments for the edge of a marker."""
    if hollow:
        return {"markerfacecolor": "white", "markeredgecolor": colour, "markeredgewidth": 0.8}
    return {"markeredgecolor": "white", "markeredgewidth": 0.4}


def handle(
    label: str, colour: object, marker: str = "", line: Line = "-", face: object = None
) -> Line2D:
    """An entry of a legend."""
    return Line2D(
        [],
        [],
        color=colour,
        marker=marker,
        markersize=4.5,
        markerfacecolor=colour if face is None else face,
        markeredgecolor="white" if face is None else colour,
        markeredgewidth=0.3 if face is None else 0.8,
        linestyle=line,
        linewidth=1.3,
        label=label,
    )


def positions(there: Iterable[str], line: Line = "-") -> list[Line2D]:
    """Entries for the positions that are there."""
    names = {position.removesuffix(ALONE) for position in there}
    return [
        handle(f"{key} layers", colour, marker, line)
        for key, (colour, marker) in POSITIONS.items()
        if key in names
    ]


def legend(figure: Figure, handles: list[Line2D], columns: int = 4) -> None:
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(columns, len(handles)),
        frameon=False,
        handlelength=3.2,
    )


def counts(panel: Axes) -> None:
    """An x axis of numbers of layers."""
    panel.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    panel.set_xlim(left=0)
    panel.set_xlabel("Quantized layers, k")


def over_repeats(rows: pd.DataFrame, column: str, scale: float = 1.0) -> tuple[np.ndarray, ...]:
    """k, and mean, least and largest of a column at each: four (n,)."""
    statistics = rows.groupby("k")[column].agg(["mean", "min", "max"]) * scale
    return statistics.index.to_numpy(float), *statistics.to_numpy(float).T


def control_line(panel: Axes, controls: pd.DataFrame, scale: float = 100.0) -> None:
    """The controls' mean, dashed, with the range of their repeats."""
    top1 = scale * controls["top1"].to_numpy(float)
    panel.axhline(top1.mean(), color=BASELINE, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1.5)
    panel.axhspan(top1.min(), top1.max(), color=BASELINE, alpha=0.1, linewidth=0)


# Accuracy against the number of quantized layers, by position and bits, with the formula.


ACCURACY_LEAST = 2.0  # least span of an axis in points, so that noise does not fill it


def accuracy(runs: pd.DataFrame, formula: pd.DataFrame, study: str) -> Figure:
    """A row of panels for each network, a panel for each width, a curve for each position.

    runs: rows of ``laq.analysis.partial.table.read``; formula: of ``partial_qat/formula.csv``. A
    line is the mean over repeats, its band their range; thin is the formula that was chosen.
    """
    all_classes = table.on_everything(runs)
    curves = table.curves(table.drops(all_classes), table.WITH_ALONE)
    networks, widths = list(dict.fromkeys(curves["network"])), by_bits(curves)
    chosen = formula[formula["chosen"].astype(bool) & (formula["quantity"] == "top1_drop")]
    with plt.rc_context(STYLE):
        figure, panels = subplots(networks, len(widths), 2.5)
        for row, network in zip(panels, networks, strict=True):
            rows = curves[curves["network"] == network]
            controls = table.controls(all_classes)
            controls = controls[controls["network"] == network]
            for panel, width in zip(row, widths, strict=True):
                selected = (chosen["network"] == network) & (chosen["width"].astype(str) == width)
                _draw_partial_accuracy(
                    panel, rows[rows["width"] == width], controls, chosen[selected]
                )
                panel.set_title(words(width))
            row[0].set_ylabel("Top-1 (%)")
        name(figure, panels, networks, study, "accuracy by number of quantized layers")
        legend(
            figure,
            [
                *positions(curves["position"]),
                *alone(curves["position"]),
                handle(CONTROL, BASELINE, line=(0, (4, 3))),
                handle("formula", "0.35", line=(0, (1, 1))),
            ],
            3,
        )
    return figure


def _draw_partial_accuracy(
    panel: Axes, own: pd.DataFrame, controls: pd.DataFrame, chosen: pd.DataFrame
) -> None:
    control_line(panel, controls)
    top1 = 100 * controls["top1"]
    float_top1, start = top1.mean(), (top1.mean(), top1.min(), top1.max())
    for position, rows in own.groupby("position", sort=False):
        colour, marker, hollow = look(str(position))
        k, *values = over_repeats(rows, "top1", 100)
        panel.plot(k, values[0], marker, color=colour, markersize=4, zorder=3,
                   **edge(colour, hollow))  # fmt: skip
        if not hollow:  # else the float control is not where its curve begins
            k, values = np.insert(k, 0, 0), list(map(_begin, values, start))
        panel.fill_between(k, *values[1:], color=colour, alpha=0.15, linewidth=0)
        line = (0, (3, 2)) if hollow else "-"
        panel.plot(k, values[0], color=colour, linewidth=0.9 if hollow else 1.2, linestyle=line)
        for fit in chosen[chosen["position"] == position].to_dict("records"):
            grid, drop = _formula(fit, rows)
            panel.plot(
                grid, float_top1 - 100 * drop, color=colour, linewidth=1, linestyle=(0, (1, 1))
            )
    counts(panel)
    low, high = panel.get_ylim()
    if high - low < ACCURACY_LEAST:
        panel.set_ylim(*((low + high) / 2 + np.array([-ACCURACY_LEAST, ACCURACY_LEAST]) / 2))


def _begin(values: np.ndarray, first: float) -> np.ndarray:
    return np.insert(values, 0, first)


def _formula(fit: dict, rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """k and the drop that a row of the formula's table says, between the k that were run."""
    means = rows.groupby("k")[["share", "weights_share"]].mean()
    ks = np.insert(means.index.to_numpy(float), 0, 0)
    x = np.insert(means[fit["variable"]].to_numpy(float), 0, 0)
    k = np.linspace(0, ks[-1], 121) if fit["variable"] == "share" else ks
    parameters = np.array([fit["a"], fit["b"], fit["c"]], dtype=float)
    return k, FORMS[fit["form"]].at(np.interp(k, ks, x), parameters)


# Bytes against the number of quantized layers: of the file, of an update, of a training step.


IN_FLOAT = "in float"
SENT = {
    "update_bytes": "a client downloads",
    "step_bytes": "a process sends in a step",
}


def sizes(runs: pd.DataFrame, study: str) -> Figure:
    """The packed file: a row of panels for each network, a panel for each width."""
    all_classes = table.on_everything(runs)
    curves = table.curves(table.drops(all_classes))
    networks, widths = list(dict.fromkeys(curves["network"])), by_bits(curves)
    with plt.rc_context(STYLE):
        figure, panels = subplots(networks, len(widths), 2.4)
        for row, network in zip(panels, networks, strict=True):
            rows = curves[curves["network"] == network]
            controls = table.controls(all_classes)
            float_bytes = float(controls.loc[controls["network"] == network, "bytes"].mean())
            for panel, width in zip(row, widths, strict=True):
                panel.axhline(float_bytes, color=BASELINE, linewidth=0.9, linestyle=(0, (4, 3)))
                _draw_partial_bytes(panel, rows[rows["width"] == width], "bytes", "-", float_bytes)
                panel.set_title(words(width))
                _axes(panel)
            row[0].set_ylabel("Bytes of the file")
        name(figure, panels, networks, study, "size by number of quantized layers")
        legend(
            figure,
            [
                *positions(curves["position"]),
                handle(IN_FLOAT, BASELINE, line=(0, (4, 3))),
            ],
        )
    return figure


def bandwidth(runs: pd.DataFrame, study: str) -> Figure:
    """Bytes sent: a row of panels for each network, one for an update and one for a step.

    Lines of a position differ by bits; thin ones are the same layers in float. What a client
    downloads is on a logarithmic axis.
    """
    all_classes = table.on_everything(runs)
    curves = table.curves(table.drops(all_classes), table.WITH_ALONE)
    networks, widths = list(dict.fromkeys(curves["network"])), by_bits(curves)
    styles = lines(widths)
    with plt.rc_context(STYLE):
        figure, panels = subplots(networks, len(SENT), 2.7)
        for row, network in zip(panels, networks, strict=True):
            rows = curves[curves["network"] == network]
            for panel, (quantity, title) in zip(row, SENT.items(), strict=True):
                for width, line in styles.items():
                    _draw_partial_bytes(panel, rows[rows["width"] == width], quantity, line)
                _in_float(panel, rows[rows["width"] == widths[0]], f"{quantity}_float")
                panel.set_title(title)
                _axes(panel, logarithmic=quantity == "update_bytes")
                if rows[quantity].isna().all():
                    panel.text(0.5, 0.5, "not measured", transform=panel.transAxes, ha="center")
            row[0].set_ylabel("Bytes")
        name(figure, panels, networks, study, "bandwidth by number of quantized layers")
        legend(
            figure,
            [
                *positions(curves["position"]),
                *alone(curves["position"]),
                *(handle(words(width), "0.35", line=line) for width, line in styles.items()),
                handle(IN_FLOAT, "0.35", "."),
            ],
        )
    return figure


def _draw_partial_bytes(
    panel: Axes, own: pd.DataFrame, quantity: str, line: object, before: float | None = None
) -> None:
    for position, rows in own[own[quantity].notna()].groupby("position", sort=False):
        colour, marker, hollow = look(str(position))
        k, mean, _, _ = over_repeats(rows, quantity)
        if before is not None:
            panel.plot([0, k[0]], [before, mean[0]], color=colour, linewidth=1.2)
        panel.plot(k, mean, marker=marker, color=colour, linestyle=line, linewidth=1.2,
                   markersize=4, **edge(colour, hollow))  # fmt: skip


def _in_float(panel: Axes, own: pd.DataFrame, quantity: str) -> None:
    for position, rows in own[own[quantity].notna()].groupby("position", sort=False):
        colour, _, _ = look(str(position))
        k, mean, _, _ = over_repeats(rows, quantity)
        panel.plot(k, mean, ".-", color=colour, linewidth=0.6, markersize=3, alpha=0.8)


def _axes(panel: Axes, logarithmic: bool = False) -> None:
    counts(panel)
    if logarithmic:
        panel.set_yscale("log")
        panel.yaxis.set_major_locator(LogLocator())
        panel.yaxis.set_minor_formatter(NullFormatter())
    else:
        panel.set_ylim(bottom=0)
        panel.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    panel.yaxis.set_major_formatter(FuncFormatter(_shown))


def _shown(value: float, _: int) -> str:
    return "0" if np.isclose(value, 0) else size(value).replace(".0 ", " ")


# Accuracy against bytes: partial training beside methods for the whole network.


TRAINED = "whole network, trained"
_WHOLE = [(to_rgb("#332288"), "*"), (PALETTE[3], "^"), (to_rgb("#b3006b"), "v"), (PALETTE[5], "<")]
_ALONE_LOOK = (PALETTE[9], "X")
FLOAT = "float"
WIDE = 15.0  # points, beyond which an axis goes by the root of the error, as the zoo's does


def pareto(runs: pd.DataFrame, study: str) -> Figure:
    """A panel for each network: every arm by its file and its top-1, means over repeats.

    Bars span the repeats. The line is the Pareto front: no other arm is better in both. Layers that
    were quantized alone are not shown, since nearly all else stays in float.
    """
    all_classes = table.on_everything(runs)
    arms = _means(all_classes[all_classes["position"] != "single"])
    partial = ~all_classes["position"].isin(["none", "whole"])
    widths = by_bits(all_classes[partial])
    networks = list(dict.fromkeys(arms["network"]))
    kinds = list(dict.fromkeys(arms.loc[arms["position"] == "whole", "kind"]))
    marks = {kind: _WHOLE[index % len(_WHOLE)] for index, kind in enumerate(kinds)}
    with plt.rc_context(STYLE):
        figure, panels = subplots(networks, 1, 3.3)
        for panel, network in zip(panels[:, 0], networks, strict=True):
            _draw_partial_pareto(panel, arms[arms["network"] == network], marks, widths)
            panel.tick_params(axis="x", labelrotation=0)
        name(figure, panels, networks, study, "accuracy against bytes")
        handles = [
            *positions(arms.loc[~_alone(arms), "position"], ""),
            *([handle(TRAINED_ALONE, *_ALONE_LOOK, "")] if _alone(arms).any() else []),
            *(handle(kind, colour, marker, "") for kind, (colour, marker) in marks.items()),
            handle(CONTROL, BASELINE, "h", ""),
            *(
                handle(f"layers at {words(width)}", "0.35", "o", "", face)
                for width, face in faces(widths, "0.35").items()
            ),
            handle("front", "0.45"),
        ]
        legend(figure, handles)
    return figure


def _alone(shown: pd.DataFrame) -> pd.Series:
    return shown["position"].str.endswith(ALONE)


def _means(runs: pd.DataFrame) -> pd.DataFrame:
    """A row for each arm: mean bytes, and mean, least and largest top-1 over its repeats."""
    keys = ["network", "position", "method", "arm", "width"]
    means = runs.groupby(keys, sort=False).agg(
        bytes=("bytes", "mean"), top1=("top1", "mean"), low=("top1", "min"), high=("top1", "max")
    )
    means = means.reset_index()
    trained = (means["position"] == "whole") & (means["method"] == "qat")
    kinds = means["arm"].map(kind_of).where(~trained, TRAINED)
    return means.assign(kind=kinds)


def _draw_partial_pareto(panel: Axes, own: pd.DataFrame, marks: dict, widths: list[str]) -> None:
    sizes, top1 = own["bytes"].to_numpy(float), 100 * own["top1"].to_numpy(float)
    panel.set_xscale("log")
    chosen = front(sizes, top1)
    panel.step(sizes[chosen], top1[chosen], where="post", color="0.45", linewidth=1, zorder=1.8)
    series = [(key, own["position"] == key, look) for key, look in POSITIONS.items()]
    series.append((TRAINED_ALONE, _alone(own), _ALONE_LOOK))
    series += [
        (kind, (own["position"] == "whole") & (own["kind"] == kind), look)
        for kind, look in marks.items()
    ]
    series.append((FLOAT, own["position"] == "none", (BASELINE, "h")))
    for _, mask, (colour, marker) in series:
        if not mask.any():
            continue
        rows = own[mask]
        panel.vlines(rows["bytes"], 100 * rows["low"], 100 * rows["high"], color=colour,
                     linewidth=0.7, alpha=0.5)  # fmt: skip
        large = marker in "*^v<h"
        for width, face in faces(widths, colour).items():
            if large:
                continue
            group = rows[rows["width"] == width]
            panel.plot(group["bytes"], 100 * group["top1"], marker, color=colour, markersize=4.2,
                       markerfacecolor=face, markeredgewidth=0.8, zorder=2.5)  # fmt: skip
        if large:
            panel.plot(rows["bytes"], 100 * rows["top1"], marker, color=colour,
                       markersize=9 if marker == "*" else 7,
                       markeredgecolor="white", markeredgewidth=0.4, zorder=3)  # fmt: skip
    if top1.max() - top1.min() > WIDE:
        axes(panel, sizes, top1)
        panel.set_ylabel("Top-1 (%),\nby the root of the error")
        return
    margin = 0.08 * max(top1.max() - top1.min(), 1.0)
    panel.set_ylim(top1.min() - margin, top1.max() + margin)
    bytes_axis(panel, sizes)
    panel.set_ylabel("Top-1 (%)")


_COLOURS = (PALETTE[3], PALETTE[0], PALETTE[2], PALETTE[1])
LEAST = 0.5  # least span of an axis on either side of 0, in points


def position(runs: pd.DataFrame, study: str) -> Figure:
    """A panel for each network: the drop of each layer, a mark for each width, bars over repeats.

    Raises ``DataError`` where no layer was quantized alone.
    """
    all_classes = table.on_everything(runs)
    single = table.drops(all_classes)
    single = single[(single["position"] == "single") & (single["method"] == "qat")]
    if single.empty:
        raise DataError(f"no layer was quantized alone, so there is nothing to draw: {AGAIN}")
    networks, widths = list(dict.fromkeys(single["network"])), by_bits(single)
    shapes = markers(widths).values()
    marks = dict(zip(widths, zip(cycle(_COLOURS), shapes, strict=False), strict=True))
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(
            len(networks),
            1,
            figsize=(WIDTH, 0.7 + 2.7 * len(networks)),
            squeeze=False,
            layout="constrained",
        )
        for panel, network in zip(panels[:, 0], networks, strict=True):
            _draw(panel, single[single["network"] == network], marks)
        name(figure, panels, networks, study, "what a single quantized layer costs")
        legend(
            figure,
            [handle(words(width), *look, "") for width, look in marks.items()],
        )
    return figure


def _draw(panel: Axes, own: pd.DataFrame, marks: dict) -> None:
    names = own.drop_duplicates("k").set_index("k")["layers"].sort_index()
    panel.axhline(0, color=BASELINE, linewidth=0.9, zorder=1.5)
    for index, (width, (colour, marker)) in enumerate(marks.items()):
        rows = own[own["width"] == width]
        if rows.empty:
            continue
        k, mean, low, high = over_repeats(rows, "drop", 100)
        x = np.searchsorted(names.index, k) + 0.3 * ((index + 0.5) / len(marks) - 0.5)
        panel.vlines(x, low, high, color=colour, linewidth=1.1)
        panel.plot(x, mean, marker, color=colour, markersize=4.5, markeredgecolor="white",
                   markeredgewidth=0.4)  # fmt: skip
    panel.set_xticks(range(len(names)), [plain(name) for name in names], rotation=40, ha="right",
                     rotation_mode="anchor", fontsize=7)  # fmt: skip
    panel.set_xlim(-0.6, len(names) - 0.4)
    panel.grid(axis="x", visible=False)
    panel.set_ylabel("Drop in top-1 (points)")
    low, high = panel.get_ylim()
    panel.set_ylim(min(low, -LEAST), max(high, LEAST))
