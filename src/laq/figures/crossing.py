"""The mark of a crossing of two curves, for figure 5."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from laq.figures.axis import Limits
from laq.figures.style import Look, name
from laq.figures.words import plain, text_width, wrap

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from laq.analysis.statistics import Crossing

SIZE = 7.0  # of the words, in points
TICK = 0.065  # share of the panel, at its foot, that the tick takes
ROW = 0.06  # and a row of words


def mark(panel: Axes, crossing: Crossing, title: str, look: Look, width: float) -> float:
    """A tick where the curve of ``title`` crosses the original's, with the interval of the place.

    Where the crossing is not certain there are words alone. Gives the share of the panel, at its
    foot, that is to be kept free of data.

    Args:
        panel: with the limits of its x axis set.
        width: of the panel, in points of print.
    """
    foot = panel.get_xaxis_transform()  # x in data, y as a share of the panel
    rows = wrap(_text(crossing, title), 0.95 * width / 72, SIZE)
    words = {"color": look.colour, "fontsize": SIZE, "ha": "center", "va": "bottom"}
    text, free = plain("\n".join(rows)), ROW * len(rows)
    if _uncertain(crossing):
        panel.text(0.5, 0.015, text, transform=panel.transAxes, **words)
        return free + 0.02
    line = {"color": look.colour, "linewidth": 1.0, "transform": foot}
    panel.vlines(crossing.x, 0.015, TICK, **line)
    if np.isfinite([crossing.low, crossing.high]).all():
        panel.hlines(0.04, crossing.low, crossing.high, **line)
    half = 36 * max(text_width(row, SIZE) for row in rows) / width
    share = _share(crossing.x, panel.get_xlim(), panel.get_xscale())
    share = float(np.clip(share, half, 1 - half))
    panel.text(share, TICK + 0.01, text, transform=panel.transAxes, **words)
    return free + TICK + 0.015


def _uncertain(crossing: Crossing) -> bool:
    """Whether there is an interval that leaves open if the curves cross; few subsets have none."""
    return bool(np.isfinite(crossing.low)) and not crossing.certain


def _share(x: float, between: Limits, scale: str) -> float:
    """The place of ``x`` on the axis, from 0 at its left to 1 at its right."""
    places = np.array([between[0], x, between[1]])
    low, at, high = np.log(places) if scale == "log" else places
    return float((at - low) / (high - low))


def _text(crossing: Crossing, title: str) -> str:
    """What is known of the place: with six subsets or more, whether there is one at all."""
    if _uncertain(crossing):
        return f"No certain crossing of {title} and {name('original')}"
    if not np.isfinite(crossing.low):
        return f"{title} crosses {name('original')} at {_round(crossing.x)}, no interval"
    ends = f"{_round(crossing.low)} to {_round(crossing.high)}"
    return f"{title} crosses {name('original')} at {_round(crossing.x)} ({ends})"


def _round(x: float) -> str:
    """Two significant digits, and never a power of ten to read."""
    return f"{float(f'{x:.2g}'):,.10g}"
