"""Figure 7: what each variant takes on the disk, from the sizes of the files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from laq.figures.style import BASELINE, PALETTE, STYLE, WIDTH, heading, name

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    *("network", "variant", "weights", "float_bytes", "packed_bytes"),
    *("entropy_bytes", "bits_per_weight"),
)
CODES, REST = PALETTE[0], (0.75, 0.75, 0.75)
# A bound means nothing where nearly every weight has a code of its own, since no table of the
# codes is counted with it.
MEANINGFUL_BITS = 16
UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1, "B"))


def memory_by_variant(memory: pd.DataFrame, variants: Sequence[str], study: str) -> Figure:
    """Bars of bytes on the disk, a panel for each network and a bar for each variant.

    A bar is the mean over subsets and repeats, a whisker from the smallest to the largest file
    where they differ visibly; a tick is the bound of entropy-coded codes. ``memory``: rows of
    ``tables/memory.csv`` with ``COLUMNS``. ``variants``: in the order to draw them, those that
    the table lacks left out.
    """
    networks = list(dict.fromkeys(memory["network"]))
    tables = [_of_network(memory[memory["network"] == network], variants) for network in networks]
    counts = [len(table) for table in tables]
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(
            len(networks),
            1,
            figsize=(WIDTH, 0.75 + 0.55 * len(networks) + 0.24 * sum(counts)),
            height_ratios=[count + 0.5 for count in counts],
            squeeze=False,
            layout="constrained",
        )
        for panel, network, table in zip(panels[:, 0], networks, tables, strict=True):
            _draw_network(panel, table)
            if len(networks) > 1:
                panel.set_title(network, loc="left")
        title = study if len(networks) > 1 else f"{study}, {networks[0]}"
        figure.suptitle(heading(f"{title}: files on the disk"))
        legends = [panel.get_legend_handles_labels() for panel in panels[:, 0]]
        marks = {
            text: mark for marks, texts in legends for mark, text in zip(marks, texts, strict=True)
        }
        figure.legend(marks.values(), marks, loc="outside lower center", ncols=2, frameon=False)
    return figure


def size(count: float) -> str:
    """Bytes in decimal units, to three digits: 462044 is ``462 kB``."""
    exponent = int(f"{count:.2e}".partition("e")[2])  # of what is left after rounding
    if exponent < 3:
        return f"{count:.0f} B"
    unit, label = next((unit, label) for unit, label in UNITS if 10**exponent >= unit)
    return f"{count / unit:.{2 - exponent % 3}f} {label}"


def _of_network(memory: pd.DataFrame, variants: Sequence[str]) -> pd.DataFrame:
    """A row a variant: means over subsets, and the smallest and the largest file."""
    memory = memory.assign(codes=memory["bits_per_weight"] * memory["weights"] / 8)
    by_variant = memory.groupby("variant", sort=False)
    table = by_variant[
        ["codes", "packed_bytes", "float_bytes", "entropy_bytes", "bits_per_weight"]
    ].mean()
    table["low"], table["high"] = by_variant["packed_bytes"].min(), by_variant["packed_bytes"].max()
    return table.reindex([variant for variant in variants if variant in table.index])


def _draw_network(panel: Axes, table: pd.DataFrame) -> None:
    positions = np.arange(len(table))
    total, codes = table["packed_bytes"].to_numpy(), table["codes"].to_numpy()
    float_label = "Parameters in float, header"
    panel.barh(positions, codes, 0.68, color=CODES, label="Packed codes and steps")
    panel.barh(positions, total - codes, 0.68, left=codes, color=REST, label=float_label)
    longest = max(table["high"].max(), table["float_bytes"].max())
    varies = (table["high"] - table["low"] > 0.01 * longest).to_numpy()
    if varies.any():
        errors = np.abs(table[["low", "high"]].to_numpy().T - total)[:, varies]
        panel.errorbar(
            total[varies],
            positions[varies],
            xerr=errors,
            fmt="none",
            ecolor=BASELINE,
            elinewidth=0.9,
            capsize=2.5,
            label="Smallest to largest file",
        )
    bounded = ((codes > 0) & (table["bits_per_weight"] <= MEANINGFUL_BITS)).to_numpy()
    if bounded.any():
        panel.plot(
            table["entropy_bytes"].to_numpy()[bounded],
            positions[bounded],
            "|",
            color=BASELINE,
            markersize=10,
            markeredgewidth=1.4,
            label="Whole file, were codes entropy-coded (bound)",
        )
    for position, (row, high) in enumerate(zip(table.itertuples(), table["high"], strict=True)):
        panel.annotate(
            _label(row.packed_bytes, row.float_bytes),
            (high, position),
            (5, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    panel.set_yticks(positions, [name(variant) for variant in table.index])
    panel.set_ylim(len(table) - 0.5, -0.5)
    panel.set_xlim(0, 1.32 * longest)  # room for the longest bar's label
    panel.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    unit, label = next((unit, label) for unit, label in UNITS if longest >= unit)
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / unit:g}"))
    panel.set_xlabel(f"File size ({label})")
    panel.grid(axis="y", visible=False)
    panel.tick_params(axis="y", length=0)


def _label(packed: float, original: float) -> str:
    saving = 1 - packed / original
    if abs(saving) < 5e-4:
        return size(packed)
    return f"{size(packed)}, {'saves' if saving > 0 else 'adds'} {abs(saving):.1%}"
