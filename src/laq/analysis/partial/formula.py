"""The formula of the accuracy drop: candidates fitted, cross-validated, and one of them chosen.

A candidate is a form over a share. The rule was written down before any study was judged by it
(docs/method.md). It takes the candidate with the fewest parameters whose squared error on points
left out exceeds the least by no more than the standard error of the excess. Of candidates with
equally many parameters it takes the one with the least error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from laq.analysis.partial.curve import FORMS, Array, Curve, Form, fit
from laq.utils import seeds

if TYPE_CHECKING:
    import pandas as pd

# Shares that a drop may be a function of: k over the number of layers, and of the weights.
VARIABLES = ("share", "weights_share")

# A curve through fewer different shares says nothing of its form.
FEWEST_SHARES = 3

QUANTITY = "top1_drop"

PARAMETERS = tuple(f"{name}{suffix}" for name in "abcd" for suffix in ("", "_low", "_high"))
COLUMNS = (
    *("network", "quantity", "width", "position", "form", "variable", "formula", "chosen"),
    *("runs", "points", "noise", "error", "cv_error", "cv_network_error", *PARAMETERS[:-2]),
)


@dataclass(frozen=True)
class Candidate:
    """A form over a share; the form ``zero`` depends on no share."""

    form: str
    variable: str

    @property
    def of(self) -> Form:
        return FORMS[self.form]


CANDIDATES = (
    Candidate("zero", VARIABLES[0]),
    *(Candidate(form, variable) for form in FORMS if form != "zero" for variable in VARIABLES),
)


def left_out(rows: pd.DataFrame, candidate: Candidate) -> Array:
    """Errors of one curve at each k that it was fitted without: mean drop less prediction, (K,).

    rows: of one curve, of one or more networks. A fold is a k of a network. The k of all layers is
    no fold: it determines the a of every form, and every study has it.
    """
    x, y = rows[candidate.variable].to_numpy(float), rows["drop"].to_numpy(float)
    folds = rows.groupby(["network", "k"], sort=False).ngroup().to_numpy()
    count = int(folds.max()) + 1
    full_folds = np.unique(folds[rows["share"].to_numpy(float) == 1])
    held_out = folds == np.setdiff1d(np.arange(count), full_folds)[:, None]
    form = candidate.of
    parameters = form.fit(x, y, (~held_out).astype(float))
    predicted = form.at(x, parameters)
    return ((y - predicted) * held_out).sum(-1) / held_out.sum(-1)


def cross_validate(curves: pd.DataFrame) -> dict[Candidate, Array]:
    """For each candidate the errors at every k left out, over all positions, (folds,).

    curves: rows of ``table.curves`` of one width. Positions with fewer than ``FEWEST_SHARES``
    different k are skipped.
    """
    groups = [
        rows
        for _, rows in curves.groupby("position", sort=False)
        if rows["k"].nunique() >= FEWEST_SHARES
    ]
    if not groups:
        return {}
    return {
        candidate: np.concatenate([left_out(rows, candidate) for rows in groups])
        for candidate in CANDIDATES
    }


def choose(errors: Mapping[Candidate, Array]) -> Candidate | None:
    """The candidate that the module's rule takes; None without candidates."""
    if not errors:
        return None
    squares = {candidate: residuals**2 for candidate, residuals in errors.items()}
    best = min(squares, key=lambda candidate: squares[candidate].mean())
    eligible = []
    for candidate, squared in squares.items():
        excess = squared - squares[best]
        standard_error = excess.std(ddof=1) / np.sqrt(len(excess)) if len(excess) > 1 else 0.0
        if excess.mean() <= standard_error:
            eligible.append(candidate)
    return min(eligible, key=lambda candidate: (candidate.of.parameters, squares[candidate].mean()))


def chosen(curves: pd.DataFrame) -> dict[str, Candidate]:
    """By width, the candidate chosen on ``curves``: rows of ``table.curves`` of any networks."""
    choices = {
        width: choose(cross_validate(rows)) for width, rows in curves.groupby("width", sort=False)
    }
    return {width: candidate for width, candidate in choices.items() if candidate}


def fitted(
    rows: pd.DataFrame, candidate: Candidate, confidence: float, resamples: int, seed: int
) -> Curve:
    """The curve of one position and width, with random numbers from a stream of its own."""
    key = [str(value) for value in rows[["position", "width"]].iloc[0]]
    networks = sorted(map(str, set(rows["network"])))
    draw_seed = int(seeds.stream(seed, "formula", *networks, *key, candidate.form).integers(2**31))
    return fit(rows, candidate.of, candidate.variable, confidence, resamples, draw_seed)


def table(
    curves: pd.DataFrame, confidence: float, resamples: int, seed: int
) -> list[dict[str, Any]]:
    """A row for each network, width, position and candidate, as results/README.md has them."""
    records = []
    for (network, width), group in curves.groupby(["network", "width"], sort=False):
        errors = cross_validate(group)
        choice = choose(errors)
        others = curves[(curves["network"] != network) & (curves["width"] == width)]
        for position, rows in group.groupby("position", sort=False):
            for candidate in errors:
                if rows["k"].nunique() < FEWEST_SHARES:
                    continue
                curve = fitted(rows, candidate, confidence, resamples, seed)
                records.append(
                    {
                        "network": network,
                        "quantity": QUANTITY,
                        "width": width,
                        "position": position,
                        "form": candidate.form,
                        "variable": candidate.variable,
                        "formula": candidate.of.formula,
                        "chosen": candidate == choice,
                        "runs": curve.n,
                        "points": rows["k"].nunique(),
                        "noise": noise(rows),
                        "error": curve.rmse,
                        "cv_error": root(errors[candidate]),
                        "cv_network_error": _elsewhere(others, group, candidate),
                        **_parameters(curve),
                    }
                )
    return records


def noise(rows: pd.DataFrame) -> float:
    """Standard error of an arm's mean drop over its repeats: no formula's error can be less."""
    cells = rows.groupby(["network", "position", "k"])["drop"]
    variances = (cells.var() / cells.size()).dropna()
    return float(np.sqrt(variances.mean())) if len(variances) else float("nan")


def errors_elsewhere(others: pd.DataFrame, own: pd.DataFrame, candidate: Candidate) -> Array:
    """Mean drops of the arms of ``own`` less predictions of curves through ``others``: (arms,)."""
    errors = []
    for position, rows in own.groupby("position", sort=False):
        fit_rows = others[others["position"] == position]
        if fit_rows["k"].nunique() < FEWEST_SHARES:
            continue
        form = candidate.of
        parameters = form.fit(fit_rows[candidate.variable], fit_rows["drop"])
        means = rows.groupby("k")[["drop", candidate.variable]].mean()
        errors.append(means["drop"] - form.at(means[candidate.variable], parameters))
    return np.concatenate(errors) if errors else np.empty(0)


def _elsewhere(others: pd.DataFrame, own: pd.DataFrame, candidate: Candidate) -> float:
    return root(errors_elsewhere(others, own, candidate))


def root(errors: Array) -> float:
    """The root mean square; NaN without errors."""
    return float(np.sqrt(np.mean(errors**2))) if len(errors) else float("nan")


def _parameters(curve: Curve) -> dict[str, float]:
    low, high = curve.intervals()
    return {
        f"{name}{suffix}": float(values[index])
        for index, name in enumerate("abc")
        for suffix, values in (("", curve.parameters), ("_low", low), ("_high", high))
    }
