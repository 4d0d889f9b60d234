"""The replication: gains of this study against those of a published one, a point a subset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.lines import Line2D

from laq.analysis.claims.rules import SCOPES
from laq.figures.axis import ROOMY, limits, span
from laq.figures.predictors import limit_y, write_correlation
from laq.figures.style import (
    BASELINE,
    LINE,
    STYLE,
    WIDTH,
    Look,
    heading,
    looks,
    name,
    name_row,
    row_lines,
    taller,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

POINTS = 100  # of a share
DIAGONAL = (0, (4, 3))


def replicated(
    table: pd.DataFrame, correlations: pd.DataFrame, title: str, variants: Sequence[str]
) -> Figure:
    """A row of two panels (All, Sub) for each setting and variant: our gain against the published.

    Points are subsets, in percent points of top-1, the mean over repeats; bars span our repeats. On
    the dashed diagonal both gained the same. At the top of each panel stands Spearman's
    correlation, as ``correlations`` has it.

    Args:
        table, correlations: as ``laq.analysis.replication`` makes them.
        variants: all of the study, in the config's order.
    """
    rows = list(dict.fromkeys(zip(table["setting"], table["variant"], strict=True)))
    title = heading(title)
    several = table["setting"].nunique() > 1
    names = [
        row_lines(f"{setting}: {name(variant)}" if several else name(variant))
        for setting, variant in rows
    ]
    variant_looks = looks(variants)
    repeated = bool(table["low"].notna().any())
    handles = _handles(repeated)
    labels = [str(handle.get_label()) for handle in handles]
    height = 0.6 + 2.5 * len(rows) + taller(labels, title) + LINE * sum(map(len, names))
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            len(rows), len(SCOPES), figsize=(WIDTH, height), squeeze=False, layout="constrained"
        )
        for row, (setting, variant), lines in zip(axes, rows, names, strict=True):
            selected = (table["setting"] == setting) & (table["variant"] == variant)
            by_scope = correlations[
                (correlations["setting"] == setting) & (correlations["variant"] == variant)
            ].set_index("scope")
            for panel, (scope, label) in zip(row, SCOPES.items(), strict=True):
                _across(panel, table[selected & (table["scope"] == scope)], variant_looks[variant])
                write_correlation(panel, by_scope.loc[scope])
                panel.set_ylabel(f"Gain here on {label} (points)")
                panel.set_xlabel(f"Published gain on {label} (points)")
            name_row(row, lines)
        figure.legend(
            handles=handles, loc="outside lower center", ncols=len(handles), frameon=False
        )
        figure.suptitle(title)
    return figure


def _across(panel: Axes, part: pd.DataFrame, look: Look) -> None:
    """Our gains against theirs, with the zeros of both and the diagonal."""
    x = POINTS * part["published"].to_numpy(float)
    y, low, high = (POINTS * part[key].to_numpy(float) for key in ("ours", "low", "high"))
    span(panel, limits(np.append(x, 0.0), "linear"), "linear")
    values = np.concatenate([y, low, high])
    limit_y(panel, np.append(values[np.isfinite(values)], 0.0))
    panel.axhline(0, color=BASELINE, linewidth=0.6, zorder=2)
    panel.axvline(0, color=BASELINE, linewidth=0.6, zorder=2)
    panel.axline((0, 0), slope=1, color=BASELINE, linewidth=0.9, linestyle=DIAGONAL, zorder=2)
    sparsity = min(1.0, ROOMY / max(len(x), 1))
    panel.vlines(x, low, high, color=look.colour, alpha=0.4, linewidth=0.5 + 0.3 * sparsity)
    edge = {"markeredgecolor": "white", "markeredgewidth": 0.3}
    size = 3.5 + sparsity
    panel.plot(x, y, look.marker, color=look.colour, markersize=size, zorder=3, **edge)


def _handles(repeated: bool) -> list[Line2D]:
    mark = {"color": BASELINE, "marker": "o", "linestyle": "none", "markersize": 4}
    handles = [Line2D([], [], **mark, label="One subset")]
    if repeated:
        bar = {"color": BASELINE, "marker": "|", "linestyle": "none", "markersize": 8}
        handles.append(Line2D([], [], **bar, label="Least to largest repeat"))
    line = {"color": BASELINE, "linewidth": 0.9, "linestyle": DIAGONAL}
    return [*handles, Line2D([], [], **line, label="The same gain")]
