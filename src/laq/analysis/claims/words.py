"""How regions, effects, distances and p values of claims are written, on every page alike."""

from __future__ import annotations

import math

from laq.analysis.claims.rules import CLAIMS, Saving

POINTS = 100  # of a share


def number(claim: str) -> int:
    """Place of a claim in the table of rules, from 1."""
    return 1 + [rule.id for rule in CLAIMS].index(claim)


def saves(claim: str) -> bool:
    """Whether its effect is a share of a file, and no difference of top-1."""
    return isinstance(CLAIMS[number(claim) - 1].effects[0], Saving)


def region(claim: str) -> str:
    """Where its effect must lie, in percent points or, of files, in percent."""
    interval = CLAIMS[number(claim) - 1].region
    unit = "%" if saves(claim) else "point" if interval.high == 0.01 else "points"
    return f"{interval.text(POINTS)} {unit}"


def effect(claim: str, value: float, low: float, high: float) -> str:
    """An effect and its interval, given as shares, in the unit of ``region``; NaN is not known."""
    value, low, high = POINTS * value, POINTS * low, POINTS * high
    if math.isnan(value):
        return "–"
    if saves(claim):
        return f"{value:.1f} % [{low:.1f}, {high:.1f}]"
    if math.isnan(low):
        return signed(value)
    return f"{signed(value)} [{signed(low)}, {signed(high)}]"


def signed(points: float) -> str:
    """A difference with one decimal and its sign; 0 has none."""
    # + 0.0 turns -0.0 into 0.0.
    text = f"{round(points, 1) + 0.0:+.1f}"
    return "0.0" if text == "+0.0" else text.replace("-", "−")


def p_value(p: float) -> str:
    """A p value as people write it; NaN is no test."""
    if math.isnan(p):
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.4f}" if p < 0.1 else f"{p:.2f}"


def distance(icd: float) -> str:
    """An ICD in three significant digits and without a power of ten, with its unit."""
    return f"{float(f'{icd:.3g}'):,.10g} nats"
