"""What each layer costs that is quantized alone, in the order in which layers are run."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import pyplot as plt

from laq.analysis.partial import table
from laq.figures import partial_looks as looks
from laq.figures.style import BASELINE, PALETTE, STYLE, WIDTH
from laq.figures.words import plain
from laq.utils.errors import DataError
from laq.utils.files import AGAIN

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = (PALETTE[3], PALETTE[0], PALETTE[2], PALETTE[1])
LEAST = 0.5  # points that an axis spans on either side of 0


def position(runs: pd.DataFrame, study: str) -> Figure:
    """A panel for each network: the drop of each layer, a mark for each width, bars over repeats.

    Raises ``DataError`` where no layer was quantized alone.
    """
    everything = table.on_everything(runs)
    single = table.drops(everything)
    single = single[(single["position"] == "single") & (single["method"] == "qat")]
    if single.empty:
        raise DataError(f"no layer was quantized alone, so there is nothing to draw: {AGAIN}")
    networks, widths = list(dict.fromkeys(single["network"])), looks.by_bits(single)
    markers = looks.markers(widths).values()
    marks = dict(zip(widths, zip(cycle(_COLOURS), markers, strict=False), strict=True))
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
        looks.name(figure, panels, networks, study, "what a single quantized layer costs")
        looks.legend(
            figure,
            [looks.handle(looks.words(one), *look, "") for one, look in marks.items()],
        )
    return figure


def _draw(panel: Axes, own: pd.DataFrame, marks: dict) -> None:
    names = own.drop_duplicates("k").set_index("k")["layers"].sort_index()
    panel.axhline(0, color=BASELINE, linewidth=0.9, zorder=1.5)
    for place, (width, (colour, marker)) in enumerate(marks.items()):
        rows = own[own["width"] == width]
        if rows.empty:
            continue
        k, mean, low, high = looks.over_repeats(rows, "drop", 100)
        at = np.searchsorted(names.index, k) + 0.3 * ((place + 0.5) / len(marks) - 0.5)
        panel.vlines(at, low, high, color=colour, linewidth=1.1)
        panel.plot(at, mean, marker, color=colour, markersize=4.5, markeredgecolor="white",
                   markeredgewidth=0.4)  # fmt: skip
    panel.set_xticks(range(len(names)), [plain(name) for name in names], rotation=40, ha="right",
                     rotation_mode="anchor", fontsize=7)  # fmt: skip
    panel.set_xlim(-0.6, len(names) - 0.4)
    panel.grid(axis="x", visible=False)
    panel.set_ylabel("Drop in top-1 (points)")
    low, high = panel.get_ylim()
    panel.set_ylim(min(low, -LEAST), max(high, LEAST))
