"""An axis of accuracies by the root of the error: good networks are told apart beside bad ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import FixedLocator, NullLocator
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TICKS = [0, 20, 40, 60, 80, 90, 95, 98, 99, 100]
FINE = [99.5, 99.8]  # ticks beside these, where all is better than the last but two


def by_error(panel: Axes, top1: ArrayLike, above: float = 0.06) -> None:
    """The y axis of a panel that holds ``top1``, percent, and a share ``above`` of their span."""
    values = np.asarray(top1, float)
    panel.set_yscale("function", functions=(spread, gathered))
    low, high = spread(np.array([values.min(), values.max()]))
    span = max(high - low, 1.0)
    panel.set_ylim(*gathered(np.array([low - 0.06 * span, high + above * span])))
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
