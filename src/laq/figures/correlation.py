"""A rank correlation written into the panel whose points it is of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import MaxNLocator

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

NOTE = 0.17  # share of a panel, at its top, kept free for the correlation


def limit_y(panel: Axes, values: np.ndarray) -> None:
    """Limits of the y axis that hold all values, and at the top a line of words."""
    low, high = float(values.min()), float(values.max())
    margin = 0.05 * (high - low) or 1.0
    low, high = low - margin, high + margin
    panel.set_ylim(low, high + (high - low) * NOTE / (1 - NOTE))
    panel.yaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))


def write_correlation(panel: Axes, row: pd.Series) -> None:
    """Spearman's correlation in the panel's upper left corner."""
    if not np.isfinite(row["spearman"]):
        said = f"No rank correlation (n = {row['n']})"
    else:
        ends = [row["low"], row["high"]]
        known = np.isfinite(ends).all()
        between = f" ({_signed(ends[0])} to {_signed(ends[1])})" if known else ""
        said = f"Spearman {_signed(row['spearman'])}{between}\n"
        said += (
            f"p {_p(row['p'])} (after Holm {_p(row['p_holm']).removeprefix('= ')}); n = {row['n']}"
        )
    panel.text(0.02, 0.98, said, transform=panel.transAxes, va="top", fontsize=7, linespacing=1.3)


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}" if value < 0.1 else f"= {value:.2f}"
