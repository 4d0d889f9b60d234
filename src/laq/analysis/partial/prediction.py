"""The formula put to the test: a network that it was not fitted on, for each network in turn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from laq.analysis.partial import formula
from laq.analysis.partial.curve import Array, Curve
from laq.analysis.partial.formula import QUANTITY, Candidate
from laq.utils import seeds

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    *("network", "fitted_on", "quantity", "width", "position", "form", "variable"),
    *("arms", "error", "low", "high", "mean", "worst", "zero_error", "noise", "held"),
)
EVERY = "every"


@dataclass(frozen=True, eq=False)
class Foretold:
    """A held-out network's arms at one position, and the curve through those of others."""

    position: str
    curve: Curve
    x: Array
    drops: Array  # (arms, repeats), NaN where a repeat lacks

    def errors(self, at: Array | None = None, repeats: Array | None = None) -> Array:
        """Mean drop of each arm less what the curve says (or said), over ``repeats`` of them."""
        seen = self.drops if repeats is None else self.drops[:, repeats]
        return np.nanmean(seen, axis=1) - (self.curve.at(self.x) if at is None else at)


def table(
    curves: pd.DataFrame, confidence: float, resamples: int, seed: int
) -> list[dict[str, Any]]:
    """A row for each network, width and position, and one for all positions together.

    curves: rows of ``laq.analysis.partial.table.curves``. The candidate is chosen, and fitted, on
    the other networks alone.
    """
    found = []
    for network in dict.fromkeys(curves["network"]):
        others = curves[curves["network"] != network]
        picked = formula.chosen(others)
        for width, own in curves[curves["network"] == network].groupby("width", sort=False):
            if width not in picked:
                continue
            there = others[others["width"] == width]
            parts = list(_foretold(there, own, picked[width], confidence, resamples, seed))
            groups = {part.position: [part] for part in parts}
            if len(parts) > 1:
                groups[EVERY] = parts
            row = {
                "network": network,
                "fitted_on": " ".join(dict.fromkeys(there["network"])),
                "quantity": QUANTITY,
                "width": width,
            }
            for position, group in groups.items():
                rows = own[own["position"].isin([part.position for part in group])]
                place = {"position": position, **vars(picked[width])}
                tested = _tested(group, rows, confidence, resamples, seed)
                found.append({**row, **place, **tested})
    return found


def _foretold(
    others: pd.DataFrame,
    own: pd.DataFrame,
    candidate: Candidate,
    confidence: float,
    resamples: int,
    seed: int,
) -> Iterator[Foretold]:
    for position, rows in own.groupby("position", sort=False):
        there = others[others["position"] == position]
        if there["k"].nunique() < formula.FEWEST_SHARES:
            continue
        curve = formula.fitted(there, candidate, confidence, resamples, seed)
        drops = rows.pivot_table(index="k", columns="repeat", values="drop")
        x = rows.groupby("k")[candidate.variable].mean().loc[drops.index]
        yield Foretold(str(position), curve, x.to_numpy(float), drops.to_numpy(float))


def _tested(
    parts: Sequence[Foretold], rows: pd.DataFrame, confidence: float, resamples: int, seed: int
) -> dict[str, Any]:
    """Errors of a prediction, their root mean square with its interval.

    Drawn anew are the runs that the curves were fitted to, the held-out network's arms of each
    position, and its repeats.
    """
    errors = np.concatenate([part.errors() for part in parts])
    observed = np.concatenate([np.nanmean(part.drops, axis=1) for part in parts])
    low = high = float("nan")
    if all(len(part.curve.draws) for part in parts) and len(errors) > 1:
        rng = seeds.stream(seed, "prediction", parts[0].position, len(parts))
        drawn = [_root_of_resample(parts, place, rng) for place in range(resamples)]
        tail = (1 - confidence) / 2
        low, high = map(float, np.quantile(drawn, [tail, 1 - tail]))
    return {
        "arms": len(errors),
        "error": formula.root(errors),
        "low": low,
        "high": high,
        "mean": float(errors.mean()),
        "worst": float(np.abs(errors).max()),
        "zero_error": formula.root(observed),
        "noise": formula.noise(rows),
        "held": _held(parts, seed),
    }


def _root_of_resample(parts: Sequence[Foretold], place: int, rng: np.random.Generator) -> float:
    found = []
    repeats = parts[0].drops.shape[1]
    drawn = rng.integers(repeats, size=repeats)
    for part in parts:
        same = drawn if part.drops.shape[1] == repeats else None
        said = part.curve.form.at(part.x, part.curve.draws[place])
        errors = part.errors(said, same)
        found.append(errors[rng.integers(len(errors), size=len(errors))])
    together = np.concatenate(found)
    return formula.root(together[np.isfinite(together)])


def _held(parts: Sequence[Foretold], seed: int) -> float:
    """Share of the held-out network's runs that lie within what the curve foretells of a run."""
    inside = []
    for part in parts:
        low, high = part.curve.foretold(part.x, seed)
        if np.isnan(low).any():
            return float("nan")
        runs = part.drops
        within = (runs >= low[:, None]) & (runs <= high[:, None])
        inside.append(within[np.isfinite(runs)])
    return float(np.concatenate(inside).mean())
