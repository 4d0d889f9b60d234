"""Where a gain is zero: on exact curves, at the ends of the data, and over simulated studies."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from laq.analysis.statistics import crossing, fit_log_curve

X = np.geomspace(0.3, 70, 12)


def gains(at: float, a: float = 0.05, scale: float = 0.02, seed: int = 0) -> np.ndarray:
    return a * np.log(X / at) + np.random.default_rng(seed).normal(scale=scale, size=len(X))


@given(st.floats(0.35, 65), st.sampled_from([-0.2, -0.01, 0.003, 0.4]))
@settings(max_examples=40, deadline=None)
def test_an_exact_gain_crosses_at_its_zero_and_nowhere_else(at, a):
    result = crossing(X, a * np.log(X / at), resamples=50)
    assert result.x == pytest.approx(at, rel=1e-6)
    assert (result.low, result.high) == pytest.approx((at, at), rel=1e-3)
    assert result.a == pytest.approx(a)
    assert result.certain and result.n == 12


def test_the_ends_are_where_the_band_begins_to_exclude_zero():
    d = gains(10)
    result = crossing(X, d, confidence=0.9, seed=3)
    curve = fit_log_curve(X, d, confidence=0.9, seed=3)
    assert X[0] < result.low < result.x < result.high < X[-1]
    for end in (result.low, result.high):
        assert curve.p_value(end, 0.0) == pytest.approx(0.1, rel=0.03)
    assert curve.p_value(result.low / 1.1, 0.0) < 0.1 < curve.p_value(result.low * 1.1, 0.0)
    assert curve.p_value(result.high * 1.1, 0.0) < 0.1 < curve.p_value(result.high / 1.1, 0.0)


def test_a_gain_of_one_sign_crosses_nowhere():
    for d in (0.3 + gains(10), gains(10) - 0.5, np.full(12, 0.1)):
        result = crossing(X, d)
        assert np.isnan([result.x, result.low, result.high]).all()
        assert not result.certain


def test_beyond_the_data_nothing_is_said():
    """A zero that the curve puts beyond the data is none; that it may be within is said."""
    sure = crossing(X, gains(300))
    assert np.isnan([sure.x, sure.low, sure.high]).all()
    near = crossing(X, gains(90))
    assert np.isnan(near.x) and not near.certain
    assert X[0] < near.low < near.high == X[-1]


def test_a_slope_that_may_be_zero_reaches_both_ends():
    result = crossing(X, gains(10, a=0.0, scale=0.05, seed=4))
    assert (result.low, result.high) == (X[0], X[-1])
    assert not result.certain


def test_no_gain_at_all_may_cross_anywhere():
    result = crossing(X, np.zeros(12), resamples=50)
    assert np.isnan(result.x)
    assert (result.low, result.high) == (X[0], X[-1])
    assert not result.certain


def test_few_subsets_cross_without_an_interval():
    x = X[::3]
    result = crossing(x, 0.1 * np.log(x / 5))
    assert result.x == pytest.approx(5)
    assert np.isnan([result.low, result.high]).all()
    assert not result.certain


def test_repeats_are_no_further_subsets():
    once = crossing(X, gains(10))
    copied = crossing(np.repeat(X, 3), np.repeat(gains(10), 3), groups=np.repeat(range(12), 3))
    assert (copied.x, copied.low, copied.high) == pytest.approx((once.x, once.low, once.high))
    assert copied.n == 12


@pytest.mark.parametrize("n", [12, 35])
@pytest.mark.parametrize("falling", [False, True], ids=["constant noise", "falling noise"])
@pytest.mark.parametrize(("a", "at"), [(0.05, 10), (0.01, 10), (0.05, 50)])
def test_coverage_in_simulated_studies(a, at, falling, n):
    """Steep, nearly flat, and near the end of the data."""
    x = np.geomspace(0.3, 70, n)
    log_x = np.log(x)
    scale = 0.06 * np.exp(-(log_x - log_x[0]) / 3) if falling else 0.03
    rng = np.random.default_rng(7)
    covered, uncertain = [], []
    for study in range(300):
        d = a * (log_x - np.log(at)) + scale * rng.normal(size=n)
        result = crossing(x, d, resamples=400, seed=study)
        covered.append(result.low <= at <= result.high)
        uncertain.append(not result.certain)
    # Of 300 studies a rate of 0.95 has a standard error of 0.013.
    assert 0.905 < np.mean(covered) < 0.995
    assert np.mean(uncertain) > 0.3 if a == 0.01 else np.mean(uncertain) < 0.95
