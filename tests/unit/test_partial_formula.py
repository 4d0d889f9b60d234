"""The formula of partial training against scipy, against hand-counted bytes, and against truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import curve_fit

from laq.analysis.partial import curve, formula, prediction, table
from laq.analysis.partial.curve import FORMS
from tests.unit import partial_tables as made

SHARES = np.repeat([0.1, 0.2, 0.4, 0.6, 0.8, 1.0], 3)
TRUE = {
    "zero": (),
    "linear": (0.05,),
    "power": (0.05, 2.3),
    "exponential": (0.05, -3.0),
    "logistic": (0.05, 9.0, 0.6),
}


def read(folder: Path, runs: pd.DataFrame) -> pd.DataFrame:
    return table.read(made.write(folder, runs))


def curves_of(runs: pd.DataFrame) -> pd.DataFrame:
    return table.curves(table.drops(table.on_everything(runs)))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return read(tmp_path_factory.mktemp("partial"), made.runs())


@pytest.mark.parametrize("name", FORMS)
def test_forms_are_fitted_as_scipy_fits_them(name: str) -> None:
    form, true = FORMS[name], TRUE[name]
    padded = np.array([*true, *[np.nan] * (3 - len(true))])
    noise = 0.003 * np.random.default_rng(0).standard_normal(len(SHARES))
    y = form.at(SHARES, padded) + noise
    own = form.fit(SHARES, y)
    assert np.isnan(own[len(true) :]).all()
    if not true:
        assert (form.at(SHARES, own) == 0).all()
        return
    expected, _ = curve_fit(lambda x, a, *shape: a * form.g(x, *shape), SHARES, y, p0=true)
    assert own[: len(true)] == pytest.approx(expected, rel=2e-3)
    squares = [((y - form.at(SHARES, each)) ** 2).sum() for each in (own, _padded(expected))]
    assert squares[0] <= squares[1] * (1 + 1e-6)


def _padded(values: np.ndarray) -> np.ndarray:
    return np.array([*values, *[np.nan] * (3 - len(values))])


@pytest.mark.parametrize("name", ["power", "exponential", "logistic"])
@settings(max_examples=25, deadline=None)
@given(b=st.floats(-9, 9), c=st.floats(0, 1), x=st.floats(0, 1))
def test_nothing_quantized_loses_nothing_and_a_is_the_whole_network(
    name: str, b: float, c: float, x: float
) -> None:
    b = b if name == "exponential" else 2.0 ** (b / 3)
    g = FORMS[name].g
    at = np.array([0.0, x, 1.0])
    values = g(at, b, c) if name == "logistic" else g(at, b)
    assert values[0] == pytest.approx(0, abs=1e-12) and values[2] == pytest.approx(1)
    assert -1e-9 <= values[1] <= 1 + 1e-9


def test_many_weightings_are_fitted_at_once_as_one_by_one() -> None:
    rng = np.random.default_rng(1)
    y = rng.standard_normal((7, len(SHARES)))
    weights = rng.integers(0, 3, (7, len(SHARES)))
    for form in FORMS.values():
        together = form.fit(SHARES, y, weights)
        each = [form.fit(SHARES, own, w) for own, w in zip(y, weights, strict=True)]
        np.testing.assert_allclose(together, each, rtol=1e-6)


def test_intervals_cover_the_truth_and_one_further_run() -> None:
    """Known curve, known noise: bands of the curve at 0.5 and 1, and one more run at 0.5, whose
    control is of another seed too."""
    form, true = FORMS["power"], np.array([0.05, 2.0, np.nan])
    rng, studies, at = np.random.default_rng(5), 60, np.array([0.5, 1.0])
    inside, further = np.zeros(2), 0
    for study in range(studies):
        noise = 0.004 * rng.standard_normal(len(SHARES))
        control = 0.004 * rng.standard_normal(3)
        rows = pd.DataFrame(
            {"network": "one", "repeat": np.tile([1, 2, 3], 6), "n": 1000, "share": SHARES}
        )
        rows["control"] = 0.95 + np.tile(control, 6)
        rows["drop"] = form.at(SHARES, true) + noise + np.tile(control, 6)
        fitted = curve.fit(rows, form, "share", 0.9, 300, study)
        low, high = fitted.band(at)
        inside += (low <= form.at(at, true)) & (form.at(at, true) <= high)
        low, high = fitted.foretold(at[:1], study)
        own = float(form.at(at, true)[0]) + 0.004 * np.subtract(*rng.standard_normal(2))
        further += float(low[0]) <= own <= float(high[0])
    assert (inside >= 0.8 * studies).all() and further >= 0.8 * studies
    assert further < studies
    assert (inside < studies).any() or further < studies, "intervals that hold everything"


def test_the_candidate_is_the_simplest_that_is_as_good(runs: pd.DataFrame) -> None:
    curves = curves_of(runs)
    picked = formula.chosen(curves[curves["network"] == "small_vit"])
    assert picked["2"].variable == "share" and picked["2"].form in ("power", "exponential")
    flat = []
    for seed in range(4):
        rows = made.runs(lambda *_: 0.0, 0.002, ["small_vit"], bits=[4], seed=seed)
        rows.loc[rows["k"] == 0, "top1"] = 0.95  # its chance is in every drop alike
        flat.append(formula.chosen(curves_of(rows.assign(width="4")))["4"].form)
    assert flat.count("zero") >= 3
    straight = made.runs(lambda *arm: 0.1 * arm[4], 0.0005, ["small_vit"])
    found = formula.chosen(curves_of(straight.assign(width=table.widths(straight))))
    assert {one.form for one in found.values()} == {"linear"}


def test_intervals_of_runs_hold_where_shares_and_seeds_are_few() -> None:
    """Four shares and two seeds, as in the digits study, of a network that loses nothing."""
    rng, studies, held = np.random.default_rng(6), 200, 0
    shares = np.repeat([0.25, 0.5, 0.75, 1.0], 2)
    for study in range(studies):
        control = np.tile(0.004 * rng.standard_normal(2), 4)
        rows = pd.DataFrame({"network": "one", "repeat": np.tile([1, 2], 4), "n": 1000})
        rows = rows.assign(share=shares, control=0.95 + control)
        rows["drop"] = control + 0.004 * rng.standard_normal(8)
        low, high = curve.fit(rows, FORMS["zero"], "share", 0.9, 300, study).foretold([0.5], study)
        held += float(low[0]) <= 0.004 * np.subtract(*rng.standard_normal(2)) <= float(high[0])
    assert 0.82 <= held / studies <= 0.96


def test_what_is_left_out_is_not_fitted_to() -> None:
    exact = made.runs(lambda *arm: 0.1 * arm[4], 0.0, ["small_vit"])
    rows = curves_of(exact.assign(width="4"))
    rows = rows[(rows["position"] == "last") & (rows["bits"] == 4)].copy()
    candidate = formula.Candidate("linear", "share")
    assert np.abs(formula.left_out(rows, candidate)).max() < 0.003  # rates of 2000 images
    odd = rows["k"] == 6
    rows.loc[odd, "drop"] += 0.05
    errors = formula.left_out(rows, candidate)
    own = list(dict.fromkeys(rows["k"])).index(6)
    assert errors[own] == pytest.approx(0.05, abs=0.003)
    # All layers are the form's a, and not left out: no form is asked beyond what it was fitted to.
    assert len(errors) == rows["k"].nunique() - 1
    assert list(dict.fromkeys(rows["k"]))[-1] == len(made.VIT)


def test_errors_on_another_network_are_of_curves_that_never_saw_it(runs: pd.DataFrame) -> None:
    curves = curves_of(runs)
    rows = pd.DataFrame(prediction.table(curves, 0.95, 40, 0))
    assert set(rows["position"]) == {"first", "middle", "last", "every"}
    own = rows[(rows["network"] == "small_resnet") & (rows["position"] == "last")]
    own = own[own["width"] == "2"].iloc[0]
    other = curves[(curves["network"] == "small_vit") & (curves["width"] == "2")]
    other = other[other["position"] == "last"]
    form = FORMS[own["form"]]
    fitted = form.fit(other[own["variable"]], other["drop"])
    here = curves[(curves["network"] == "small_resnet") & (curves["width"] == "2")]
    means = here[here["position"] == "last"].groupby("k")[["drop", own["variable"]]].mean()
    errors = means["drop"] - form.at(means[own["variable"]], fitted)
    assert own["error"] == pytest.approx(np.sqrt((errors**2).mean()))
    assert own["low"] < own["error"] < own["high"] and own["error"] < own["zero_error"] / 4
    alone = curves[curves["network"] == "small_vit"]
    assert prediction.table(alone, 0.95, 10, 0) == []
