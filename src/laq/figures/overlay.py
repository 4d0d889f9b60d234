"""Another study's curves, dashed, on an x axis of their own over a panel of figure 5."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from laq.figures.axis import limits, span
from laq.figures.style import Colour, Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from laq.analysis.curves import Curves

# x, y in percent, and the colour of a curve.
Laid = tuple[np.ndarray, np.ndarray, Colour]


def laid(published: Curves | None, drawn: Mapping[str, Look], scope: str) -> list[Laid]:
    """The curves of a scope that ``published`` has of the variants ``drawn``."""
    found = []
    for key, fit in (published.fits if published else {}).items():
        if key[1] in drawn and key[2] == scope:
            x = published.points[key]["median_icd"]
            grid = np.geomspace(x.min(), x.max(), 200)
            found.append((grid, 100 * fit.at(grid), drawn[key[1]].colour))
    return found


def lay(panel: Axes, curves: list[Laid], scale: str) -> None:
    """Draw the curves; distances of two feature spaces are no common unit to share an axis in."""
    top = panel.twiny()
    top.grid(False)
    span(top, limits(np.concatenate([x for x, _, _ in curves]), scale), scale)
    top.spines["top"].set_visible(True)
    top.set_xlabel("Published: median distance in its own features (nats)", fontsize=8)
    for x, y, colour in curves:
        top.plot(x, y, "--", color=colour, linewidth=1.1)
