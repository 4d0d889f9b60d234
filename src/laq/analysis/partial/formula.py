"""The formula of the accuracy drop: candidates fitted, cross-validated, and one of them chosen.

The rule, written down before any study was judged by it (docs/method.md): of the candidates, a form
over a share, that one with the fewest parameters whose squared error on points left out exceeds
the least by no more than its standard error; of equally many the one with the least error.
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
    """A form over a share; what is zero is a function of none."""

    form: str
    variable: str

    @property
    def of(self) -> Form:
        return FORMS[self.form]


CANDIDATES = (
    Candidate("zero", VARIABLES[0]),
    *(Candidate(form, one) for form in FORMS if form != "zero" for one in VARIABLES),
)


def left_out(rows: pd.DataFrame, candidate: Candidate) -> Array:
    """Errors of one curve at each k that it was fitted without: mean drop less what it says, (K,).

    rows: of one curve, of one or more networks; a fold is a k of a network. All layers of a network
    are none: they are the a of every form, and any study has them.
    """
    x, y = rows[candidate.variable].to_numpy(float), rows["drop"].to_numpy(float)
    folds = rows.groupby(["network", "k"], sort=False).ngroup().to_numpy()
    count = int(folds.max()) + 1
    whole = np.unique(folds[rows["share"].to_numpy(float) == 1])
    out = folds == np.setdiff1d(np.arange(count), whole)[:, None]
    form = candidate.of
    parameters = form.fit(x, y, (~out).astype(float))
    said = form.at(x, parameters)
    return ((y - said) * out).sum(-1) / out.sum(-1)


def cross_validate(curves: pd.DataFrame) -> dict[Candidate, Array]:
    """For each candidate the errors at every k left out, over all positions, (folds,).

    curves: rows of ``table.curves`` of one width. Positions with fewer than ``FEWEST_SHARES``
    different k are not looked at.
    """
    fit_for = [
        rows
        for _, rows in curves.groupby("position", sort=False)
        if rows["k"].nunique() >= FEWEST_SHARES
    ]
    if not fit_for:
        return {}
    return {
        candidate: np.concatenate([left_out(rows, candidate) for rows in fit_for])
        for candidate in CANDIDATES
    }


def choose(errors: Mapping[Candidate, Array]) -> Candidate | None:
    """The candidate that the rule above takes; None of none."""
    if not errors:
        return None
    squares = {candidate: found**2 for candidate, found in errors.items()}
    best = min(squares, key=lambda candidate: squares[candidate].mean())
    fit_too = []
    for candidate, own in squares.items():
        more = own - squares[best]
        error = more.std(ddof=1) / np.sqrt(len(more)) if len(more) > 1 else 0.0
        if more.mean() <= error:
            fit_too.append(candidate)
    return min(fit_too, key=lambda one: (one.of.parameters, squares[one].mean()))


def chosen(curves: pd.DataFrame) -> dict[str, Candidate]:
    """By width, the candidate chosen on ``curves``: rows of ``table.curves`` of any networks."""
    picked = {
        width: choose(cross_validate(rows)) for width, rows in curves.groupby("width", sort=False)
    }
    return {width: candidate for width, candidate in picked.items() if candidate}


def fitted(
    rows: pd.DataFrame, candidate: Candidate, confidence: float, resamples: int, seed: int
) -> Curve:
    """The curve of one position and width, drawn from a stream of its own."""
    place = [str(value) for value in rows[["position", "width"]].iloc[0]]
    networks = sorted(map(str, set(rows["network"])))
    own = int(seeds.stream(seed, "formula", *networks, *place, candidate.form).integers(2**31))
    return fit(rows, candidate.of, candidate.variable, confidence, resamples, own)


def table(
    curves: pd.DataFrame, confidence: float, resamples: int, seed: int
) -> list[dict[str, Any]]:
    """A row for each network, width, position and candidate, as results/README.md has them."""
    found = []
    for (network, width), own in curves.groupby(["network", "width"], sort=False):
        errors = cross_validate(own)
        pick = choose(errors)
        others = curves[(curves["network"] != network) & (curves["width"] == width)]
        for position, rows in own.groupby("position", sort=False):
            for candidate in errors:
                if rows["k"].nunique() < FEWEST_SHARES:
                    continue
                curve = fitted(rows, candidate, confidence, resamples, seed)
                found.append(
                    {
                        "network": network,
                        "quantity": QUANTITY,
                        "width": width,
                        "position": position,
                        "form": candidate.form,
                        "variable": candidate.variable,
                        "formula": candidate.of.formula,
                        "chosen": candidate == pick,
                        "runs": curve.n,
                        "points": rows["k"].nunique(),
                        "noise": noise(rows),
                        "error": curve.rmse,
                        "cv_error": root(errors[candidate]),
                        "cv_network_error": _elsewhere(others, own, candidate),
                        **_parameters(curve),
                    }
                )
    return found


def noise(rows: pd.DataFrame) -> float:
    """Standard error of the mean drop of an arm by its repeats: what no formula can go below."""
    cells = rows.groupby(["network", "position", "k"])["drop"]
    variances = (cells.var() / cells.size()).dropna()
    return float(np.sqrt(variances.mean())) if len(variances) else float("nan")


def errors_elsewhere(others: pd.DataFrame, own: pd.DataFrame, candidate: Candidate) -> Array:
    """Mean drops of the arms of ``own`` less what curves through ``others`` say: (arms,)."""
    found = []
    for position, rows in own.groupby("position", sort=False):
        there = others[others["position"] == position]
        if there["k"].nunique() < FEWEST_SHARES:
            continue
        form = candidate.of
        parameters = form.fit(there[candidate.variable], there["drop"])
        means = rows.groupby("k")[["drop", candidate.variable]].mean()
        found.append(means["drop"] - form.at(means[candidate.variable], parameters))
    return np.concatenate(found) if found else np.empty(0)


def _elsewhere(others: pd.DataFrame, own: pd.DataFrame, candidate: Candidate) -> float:
    return root(errors_elsewhere(others, own, candidate))


def root(errors: Array) -> float:
    """The root of the mean square, NaN of none."""
    return float(np.sqrt(np.mean(errors**2))) if len(errors) else float("nan")


def _parameters(curve: Curve) -> dict[str, float]:
    low, high = curve.intervals()
    return {
        f"{name}{suffix}": float(values[place])
        for place, name in enumerate("abc")
        for suffix, values in (("", curve.parameters), ("_low", low), ("_high", high))
    }
