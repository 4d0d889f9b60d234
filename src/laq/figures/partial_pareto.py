"""Accuracy against bytes: partial training beside methods for the whole network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb

from laq.analysis.partial import table
from laq.analysis.partial.evidence import kind_of
from laq.analysis.partial.table import ALONE
from laq.figures import partial_looks as looks
from laq.figures.pareto import axes, bytes_axis, front
from laq.figures.style import BASELINE, PALETTE, STYLE

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TRAINED = "whole network, trained"
_WHOLE = [(to_rgb("#332288"), "*"), (PALETTE[3], "^"), (to_rgb("#b3006b"), "v"), (PALETTE[5], "<")]
_ALONE_LOOK = (PALETTE[9], "X")
FLOAT = "float"
WIDE = 15.0  # points, beyond which an axis goes by the root of the error, as the zoo's does


def pareto(runs: pd.DataFrame, study: str) -> Figure:
    """A panel for each network: every arm by its file and its top-1, means over repeats.

    Bars span the repeats; the line is the front of what no other arm outdoes in both. Layers that
    were quantized alone are not shown: nearly all else stays in float.
    """
    everything = table.on_everything(runs)
    shown = _means(everything[everything["position"] != "single"])
    partial = ~everything["position"].isin(["none", "whole"])
    widths = looks.by_bits(everything[partial])
    networks = list(dict.fromkeys(shown["network"]))
    whole = list(dict.fromkeys(shown.loc[shown["position"] == "whole", "kind"]))
    marks = {kind: _WHOLE[place % len(_WHOLE)] for place, kind in enumerate(whole)}
    with plt.rc_context(STYLE):
        figure, panels = looks.panels(networks, 1, 3.3)
        for panel, network in zip(panels[:, 0], networks, strict=True):
            _draw(panel, shown[shown["network"] == network], marks, widths)
            panel.tick_params(axis="x", labelrotation=0)
        looks.name(figure, panels, networks, study, "accuracy against bytes")
        handles = [
            *looks.positions(shown.loc[~_alone(shown), "position"], ""),
            *([looks.handle(looks.TRAINED_ALONE, *_ALONE_LOOK, "")] if _alone(shown).any() else []),
            *(looks.handle(kind, colour, marker, "") for kind, (colour, marker) in marks.items()),
            looks.handle(looks.CONTROL, BASELINE, "h", ""),
            *(
                looks.handle(f"layers at {looks.words(width)}", "0.35", "o", "", face)
                for width, face in looks.faces(widths, "0.35").items()
            ),
            looks.handle("front", "0.45"),
        ]
        looks.legend(figure, handles)
    return figure


def _alone(shown: pd.DataFrame) -> pd.Series:
    return shown["position"].str.endswith(ALONE)


def _means(runs: pd.DataFrame) -> pd.DataFrame:
    """A row for each arm: mean bytes, and mean, least and largest top-1 over its repeats."""
    arm = ["network", "position", "method", "arm", "width"]
    found = runs.groupby(arm, sort=False).agg(
        bytes=("bytes", "mean"), top1=("top1", "mean"), low=("top1", "min"), high=("top1", "max")
    )
    found = found.reset_index()
    trained = (found["position"] == "whole") & (found["method"] == "qat")
    kinds = found["arm"].map(kind_of).where(~trained, TRAINED)
    return found.assign(kind=kinds)


def _draw(panel: Axes, own: pd.DataFrame, marks: dict, widths: list[str]) -> None:
    sizes, top1 = own["bytes"].to_numpy(float), 100 * own["top1"].to_numpy(float)
    panel.set_xscale("log")
    chosen = front(sizes, top1)
    panel.step(sizes[chosen], top1[chosen], where="post", color="0.45", linewidth=1, zorder=1.8)
    looked = [(key, own["position"] == key, look) for key, look in looks.POSITIONS.items()]
    looked.append((looks.TRAINED_ALONE, _alone(own), _ALONE_LOOK))
    looked += [
        (kind, (own["position"] == "whole") & (own["kind"] == kind), look)
        for kind, look in marks.items()
    ]
    looked.append((FLOAT, own["position"] == "none", (BASELINE, "h")))
    for _, of, (colour, marker) in looked:
        if not of.any():
            continue
        rows = own[of]
        panel.vlines(rows["bytes"], 100 * rows["low"], 100 * rows["high"], color=colour,
                     linewidth=0.7, alpha=0.5)  # fmt: skip
        large = marker in "*^v<h"
        for width, face in looks.faces(widths, colour).items():
            if large:
                continue
            part = rows[rows["width"] == width]
            panel.plot(part["bytes"], 100 * part["top1"], marker, color=colour, markersize=4.2,
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
