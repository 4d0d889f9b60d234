"""The mark of a crossing of two curves, for figure 5."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from laq.plots.style import Look, name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from laq.statistics import Crossing

# Share of the panel, at the bottom, that is kept free of data where a crossing is marked.
STRIP = 0.14


def mark(panel: Axes, crossing: Crossing, title: str, look: Look) -> None:
    """A tick where the curve of ``title`` crosses the original's, with the interval of the place.

    The tick stands at the panel's foot, in the lowest ``STRIP`` of it, and the words on the side
    where there is room.
    """
    foot = panel.get_xaxis_transform()  # x in data, y as a share of the panel
    line = {"color": look.colour, "linewidth": 1.0, "transform": foot}
    panel.vlines(crossing.x, 0.015, 0.065, **line)
    if np.isfinite([crossing.low, crossing.high]).all():
        panel.hlines(0.04, crossing.low, crossing.high, **line)
    panel.get_xlim()  # what was drawn so far counts in transData only once limits are asked for
    share = panel.transAxes.inverted().transform(panel.transData.transform((crossing.x, 1.0)))[0]
    panel.text(
        crossing.x,
        0.075,
        _text(crossing, title),
        transform=foot,
        color=look.colour,
        fontsize=7,
        ha="left" if share < 0.4 else "right" if share > 0.6 else "center",
        va="bottom",
    )


def _text(crossing: Crossing, title: str) -> str:
    """What is known of the place: with six subsets or more, whether there is one at all."""
    if not np.isfinite(crossing.low):
        return f"{title} crosses {name('original')} at {_round(crossing.x)}"
    if not crossing.certain:
        return "no certain crossing"
    ends = f"{_round(crossing.low)} to {_round(crossing.high)}"
    return f"{title} crosses {name('original')} at {_round(crossing.x)} ({ends})"


def _round(x: float) -> str:
    """Two significant digits, and never a power of ten to read."""
    return f"{float(f'{x:.2g}'):,.10g}"
