"""The verdicts of the hypotheses as a page for the report."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from laq.analysis.claims import words
from laq.analysis.partial.hypotheses import CONTRADICTED, LAYERS, SUPPORTED, UNDECIDED
from laq.reporting import pages

if TYPE_CHECKING:
    import pandas as pd

READING = """\
A line is a hypothesis. What would support it was written down before any verdict was computed: the
region in which its effect must lie. It is supported where the data rule out that the effect lies
outside (p for below {alpha:g}), contradicted where they rule out that it lies inside (p against
below {alpha:g}), undecided otherwise. Both p are one-sided and corrected by Holm over a network's
hypotheses; intervals are two-sided {confidence:g} % and of each by itself. n counts differences
between trainings; chance is that of the training's seed, on this network and these test images."""

COLOURS = {SUPPORTED: "yes", CONTRADICTED: "no", UNDECIDED: "open"}
HEAD = ("Hypothesis", "Effect", "Region", "p for", "p against", "n", "Verdict")


def render(study: str, verdicts: pd.DataFrame, confidence: float) -> str:
    """A page with a table for each network; ``verdicts``: of
    ``laq.analysis.partial.hypotheses.judge``.
    """
    intro = READING.format(confidence=100 * confidence, alpha=round(1 - confidence, 6))
    fragments = [f"<p>{escape(intro)}</p>\n"]
    for network, rows in verdicts.groupby("network", sort=False):
        fragments.append(f"<h3>{escape(str(network))}</h3>\n<table>\n")
        fragments.append(f"<tr>{''.join(pages.cell('th', name) for name in HEAD)}</tr>\n")
        for row in rows.to_dict("records"):
            fragments.append(_line(row))
        fragments.append("</table>\n")
    return pages.page(f"{study}: hypotheses of partial training", "".join(fragments))


def _line(row: dict[str, Any]) -> str:
    cells = [
        pages.cell("td", row["statement"], "long"),
        pages.cell("td", effect(row), "whole"),
        pages.cell("td", region(row), "whole"),
        *(pages.cell("td", words.p_value(row[name]), "number") for name in _P),
        pages.cell("td", str(row["n"]), "number"),
        pages.cell("td", row["verdict"], COLOURS[row["verdict"]]),
    ]
    remark = row["comparison"] + (f"; {row['remark']}" if row["remark"] else "")
    note = f'<tr class="remark"><td colspan="{len(HEAD)}">{escape(remark)}</td></tr>\n'
    return f"<tr>{''.join(cells)}</tr>\n{note}"


_P = ("p_holm", "p_against_holm")


def effect(row: dict[str, Any]) -> str:
    """An effect with its interval, in points of top-1 or in percent of the layers."""
    if np.isnan(row["effect"]):
        return "–"
    value, low, high = (100 * row[name] for name in ("effect", "low", "high"))
    unit = " % of the layers" if row["unit"] == LAYERS else " points"
    if np.isnan(low):
        return words.signed(value) + unit
    return f"{words.signed(value)} [{words.signed(low)}, {words.signed(high)}]{unit}"


def region(row: dict[str, Any]) -> str:
    """Where the effect must lie, in the same unit."""
    sign, bound = row["region"].split()
    text = f"{100 * float(bound):g}".replace("-", "−")
    return f"{sign} {text}"
