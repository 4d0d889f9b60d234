"""The x axis of figures of accuracy: limits and ticks, and how far apart points at one x stand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import (
    FixedLocator,
    LogFormatterSciNotation,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    NullLocator,
    ScalarFormatter,
    StrMethodFormatter,
)
from numpy.typing import ArrayLike, NDArray

from laq.figures.style import WIDTH
from laq.figures.words import text_width

if TYPE_CHECKING:
    from matplotlib.axes import Axes
if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, NDArray


# An axis of accuracies by the root of the error: good networks are told apart beside bad ones.


TICKS = [0, 20, 40, 60, 80, 90, 95, 98, 99, 100]
FINE = [99.5, 99.8]  # further ticks where all values are above 90


def by_error(panel: Axes, top1: ArrayLike, above: float = 0.06) -> None:
    """The y axis of a panel that holds ``top1``, percent, and a share ``above`` of their span."""
    values = np.asarray(top1, float)
    panel.set_yscale("function", functions=(spread, gathered))
    low, high = spread(np.array([values.min(), values.max()]))
    extent = max(high - low, 1.0)
    panel.set_ylim(*gathered(np.array([low - 0.06 * extent, high + above * extent])))
    panel.yaxis.set_major_locator(FixedLocator([*TICKS, *(FINE if values.min() > 90 else [])]))
    panel.yaxis.set_major_formatter("{x:g}")
    panel.yaxis.set_minor_locator(NullLocator())


def spread(top1: NDArray[np.float64]) -> NDArray[np.float64]:
    """By the square root of the error, so that good methods are told apart beside bad ones."""
    error = 100 - np.asarray(top1, float)
    return -np.sign(error) * np.sqrt(np.abs(error))


def gathered(root: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inverse of ``spread``."""
    root = np.asarray(root, float)
    return 100 + np.sign(root) * root**2


Limits = tuple[float, float]

STEPS = [1, 2, 2.5, 5, 10]
MARGIN = 0.06  # of the data's span, on either side
ALONE = 1.5  # the factor on either side of a single x
# Arms of one subset stand side by side within this width, in points of print, which is a
# multiple of the marker's size whatever the axis's scale. Many subsets leave less for each.
DODGE = 9.0
ROOMY = 12  # subsets, beyond which marks are closer, smaller and their bars fainter
NARROWEST = 0.6


def limits(x: ArrayLike, scale: str, share: float = MARGIN) -> Limits:
    """Limits of an axis, ``linear`` or ``log``, that hold all ``x`` (n,) and a share of their span.

    They are set explicitly, since Matplotlib ignores points that are drawn with an offset.
    """
    values = np.asarray(x, dtype=np.float64)
    values = values[np.isfinite(values) & ((values > 0) | (scale == "linear"))]
    if not values.size:
        return 0.5, 1.5
    low, high = float(values.min()), float(values.max())
    if scale == "log":
        margin = (high / low) ** share if high > low else ALONE
        return low / margin, high * margin
    margin = share * (high - low) or (1 - 1 / ALONE) * abs(low) or 1.0
    return low - margin, high + margin


def span(panel: Axes, between: Limits, scale: str) -> None:
    """Give the x axis, and all that share it, their scale, limits and ticks.

    Labels of ticks have room in half a page: on a log axis, powers of ten where it spans two
    decades or more, 1, 2 and 5 times these or 1 and 3 times these where it spans less, and
    below a factor of three even steps.
    """
    low, high = between
    axis = panel.xaxis
    panel.set_xscale(scale)
    panel.set_xlim(between)
    if scale == "linear":
        axis.set_major_locator(MaxNLocator(5, steps=STEPS))
        return
    axis.set_minor_formatter(NullFormatter())
    if high / low >= 100:
        axis.set_major_locator(LogLocator())
        axis.set_major_formatter(LogFormatterSciNotation())
        return
    # Not by Matplotlib's locator, which falls back to more and even steps where these are few.
    decades = 10.0 ** np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    ticks = np.outer(decades, (1, 3) if high / low >= 30 else (1, 2, 5)).ravel()
    if high / low >= 3 and np.sum((ticks >= low) & (ticks <= high)) > 1:
        axis.set_major_locator(FixedLocator(ticks))
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        return
    axis.set_minor_locator(NullLocator())
    axis.set_major_locator(MaxNLocator(4, steps=STEPS))
    axis.set_major_formatter(ScalarFormatter(useOffset=False))


def asides(x: ArrayLike, between: Limits, scale: str, count: int, panels: int) -> NDArray:
    """Shifts (count,), in points of print, at which the arms of a subset stand side by side.

    Together they are no wider than the median gap between subsets; on a linear axis, which has
    a zero, no shift goes beyond it.

    Args:
        x: of all subsets of the panel.
        between: the axis's limits.
        panels: number of panels side by side, which gives the width of one in print.
    """
    values = np.unique(np.asarray(x, dtype=np.float64))
    width = DODGE * max(min(1.0, ROOMY / max(len(values), 1)), NARROWEST)
    transform = np.log if scale == "log" else np.asarray
    low, high = transform(between)
    unit = print_width(panels) / (high - low)
    if len(values) > 1:
        width = min(width, unit * float(np.median(np.diff(transform(values)))))
    if scale == "linear" and len(values):
        width = min(width, 2 * unit * max(float(values[0]), 0.0))
    return width * ((np.arange(count) + 0.5) / count - 0.5)


def print_width(panels: int) -> float:
    """Width in points of print of one of ``panels`` side by side, estimated rather low."""
    return 72 * (WIDTH - 0.9) / panels


def roomy(places: Sequence[float], texts: Sequence[str], size: float = 8) -> list[str]:
    """``texts`` at ``places`` (points of print, ascending), emptied where neighbours would overlap.

    The last is always kept. The first has precedence over those between. ``size``: of the letters,
    in points.
    """
    half_widths = [36 * text_width(text, size) + 1.5 for text in texts]
    kept: list[int] = []
    for index in dict.fromkeys([len(texts) - 1, *range(len(texts))]):
        if all(
            abs(places[index] - places[other]) >= half_widths[index] + half_widths[other]
            for other in kept
        ):
            kept.append(index)
    return [text if index in kept else "" for index, text in enumerate(texts)]
