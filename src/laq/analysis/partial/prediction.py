"""Test of the formula on each network in turn, which it was not fitted on."""

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
    drops: Array  # (arms, repeats), NaN where an arm lacks a repeat

    def errors(self, at: Array | None = None, repeats: Array | None = None) -> Array:
        """Mean drop of each arm, over ``repeats`` of them, less ``at`` or the curve's drop."""
        drops = self.drops if repeats is None else self.drops[:, repeats]
        return np.nanmean(drops, axis=1) - (self.curve.at(self.x) if at is None else at)


def table(
    curves: pd.DataFrame, confidence: float, resamples: int, seed: int
) -> list[dict[str, Any]]:
    """A row for each network, width and position, and one for all positions together.

    curves: rows of ``laq.analysis.partial.table.curves``. The candidate is chosen, and fitted, on
    the other networks alone.
    """
    records = []
    for network in dict.fromkeys(curves["network"]):
        others = curves[curves["network"] != network]
        chosen = formula.chosen(others)
        for width, held_out in curves[curves["network"] == network].groupby("width", sort=False):
            if width not in chosen:
                continue
            fit_rows = others[others["width"] == width]
            predictions = list(
                _foretold(fit_rows, held_out, chosen[width], confidence, resamples, seed)
            )
            groups = {prediction.position: [prediction] for prediction in predictions}
            if len(predictions) > 1:
                groups[EVERY] = predictions
            row = {
                "network": network,
                "fitted_on": " ".join(dict.fromkeys(fit_rows["network"])),
                "quantity": QUANTITY,
                "width": width,
            }
            for position, group in groups.items():
                rows = held_out[
                    held_out["position"].isin([prediction.position for prediction in group])
                ]
                labels = {"position": position, **vars(chosen[width])}
                scores = _tested(group, rows, confidence, resamples, seed)
                records.append({**row, **labels, **scores})
    return records


def _foretold(
    others: pd.DataFrame,
    own: pd.DataFrame,
    candidate: Candidate,
    confidence: float,
    resamples: int,
    seed: int,
) -> Iterator[Foretold]:
    for position, rows in own.groupby("position", sort=False):
        fit_rows = others[others["position"] == position]
        if fit_rows["k"].nunique() < formula.FEWEST_SHARES:
            continue
        curve = formula.fitted(fit_rows, candidate, confidence, resamples, seed)
        drops = rows.pivot_table(index="k", columns="repeat", values="drop")
        x = rows.groupby("k")[candidate.variable].mean().loc[drops.index]
        yield Foretold(str(position), curve, x.to_numpy(float), drops.to_numpy(float))


def _tested(
    parts: Sequence[Foretold], rows: pd.DataFrame, confidence: float, resamples: int, seed: int
) -> dict[str, Any]:
    """Errors of a prediction, their root mean square with its interval.

    The bootstrap resamples the runs that the curves were fitted to, the held-out network's arms of
    each position, and its repeats.
    """
    errors = np.concatenate([prediction.errors() for prediction in parts])
    observed = np.concatenate([np.nanmean(prediction.drops, axis=1) for prediction in parts])
    low = high = float("nan")
    if all(len(prediction.curve.draws) for prediction in parts) and len(errors) > 1:
        rng = seeds.stream(seed, "prediction", parts[0].position, len(parts))
        samples = [_root_of_resample(parts, draw, rng) for draw in range(resamples)]
        tail = (1 - confidence) / 2
        low, high = map(float, np.quantile(samples, [tail, 1 - tail]))
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
    sampled = []
    repeats = parts[0].drops.shape[1]
    indices = rng.integers(repeats, size=repeats)
    for prediction in parts:
        selected = indices if prediction.drops.shape[1] == repeats else None
        predicted = prediction.curve.form.at(prediction.x, prediction.curve.draws[place])
        errors = prediction.errors(predicted, selected)
        sampled.append(errors[rng.integers(len(errors), size=len(errors))])
    pooled = np.concatenate(sampled)
    return formula.root(pooled[np.isfinite(pooled)])


def _held(parts: Sequence[Foretold], seed: int) -> float:
    """Share of the held-out network's runs that lie within the curve's interval of one run."""
    hits = []
    for prediction in parts:
        low, high = prediction.curve.foretold(prediction.x, seed)
        if np.isnan(low).any():
            return float("nan")
        runs = prediction.drops
        within = (runs >= low[:, None]) & (runs <= high[:, None])
        hits.append(within[np.isfinite(runs)])
    return float(np.concatenate(hits).mean())
