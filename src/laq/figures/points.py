"""A line through points with a bar at each: what figures of Deep Compression compare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from laq.figures.style import Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Pen:
    """Widths in points of print, of line, marker, its white edge and bar; how opaque a bar is."""

    line: float
    marker: float
    edge: float
    bar: float
    opaque: float = 1.0


def line_with_bars(
    panel: Axes,
    x: ArrayLike,
    y: ArrayLike,
    ends: tuple[ArrayLike, ArrayLike],
    look: Look,
    pen: Pen,
    zorder: tuple[float, float] = (2, 3),
    **style: Any,
) -> None:
    """Draw points ``y`` (n,) at ``x`` with bars from the lower to the upper ``ends``, each (n,).

    zorder: of bars and of the line. style: of both, such as a transform.
    """
    style["color"] = look.colour
    bars = {"linewidth": pen.bar, "alpha": pen.opaque, "zorder": zorder[0]}
    panel.vlines(x, *ends, **bars, **style)
    panel.plot(
        *(x, y, look.marker),
        linestyle="-",
        linewidth=pen.line,
        markersize=pen.marker,
        markeredgecolor="white",
        markeredgewidth=pen.edge,
        zorder=zorder[1],
        **style,
    )
