"""Spearman's rho: against scipy and full enumeration; interval and p by simulation."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import norm, spearmanr

from laq.analysis.statistics import spearman

FEW_VALUES = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9)), min_size=3, max_size=5)


@given(FEW_VALUES)
@settings(max_examples=30, deadline=None)
def test_rho_is_scipys_and_p_counts_all_orders_with_ties(pairs):
    x, y = np.array(pairs, float).T
    assume(np.ptp(x) > 0 and np.ptp(y) > 0)
    result = spearman(x, y)
    assert result.rho == pytest.approx(spearmanr(x, y).statistic)
    orders = [spearmanr(order, y).statistic for order in permutations(x)]
    expected = np.mean(np.abs(orders) >= abs(result.rho) - 1e-9)
    assert result.p == pytest.approx(expected)


def test_p_of_many_pairs_is_drawn_and_near_the_usual_approximation():
    rng = np.random.default_rng(0)
    x = rng.normal(size=30)
    y = 0.4 * x + rng.normal(size=30)
    assert spearman(x, y).p == pytest.approx(spearmanr(x, y).pvalue, abs=0.01)
    assert spearman(x, y, seed=1).p == spearman(x, y, seed=1).p
    assert spearman(x, x, resamples=999).p == 1 / 1000


def test_perfect_order_is_certain_of_its_side_alone():
    result = spearman(range(6), range(6))
    assert (result.rho, result.high, result.n) == (pytest.approx(1), 1, 6)
    assert result.p == pytest.approx(2 / 720)
    assert 0 < result.low < 1
    falling = spearman(range(6), range(6, 0, -1))
    assert falling.rho == pytest.approx(-1)
    assert (falling.low, falling.high) == (-1, pytest.approx(-result.low))


@pytest.mark.parametrize(
    ("x", "y"),
    [([1, 2], [1, 2]), ([1, 1, 1, 1], [1, 2, 3, 4]), ([1, 2, 3, 4], [0.5] * 4), ([], [])],
)
def test_where_there_is_no_order_there_is_no_rho(x, y):
    result = spearman(x, y)
    assert np.isnan([result.rho, result.low, result.high, result.p]).all()
    assert result.n == len(x)


@pytest.mark.parametrize("n", [12, 35])
@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_coverage_in_simulated_studies(rho, n):
    """Of normal pairs, whose true Spearman rho is 6/π asin(ρ/2)."""
    truth = 6 / np.pi * np.arcsin(rho / 2)
    rng = np.random.default_rng(1)
    covered, p = [], []
    for _ in range(300):
        x = rng.normal(size=n)
        y = rho * x + np.sqrt(1 - rho**2) * rng.normal(size=n)
        result = spearman(x, y, resamples=300)
        covered.append(result.low <= truth <= result.high)
        p.append(result.p)
    assert 0.91 < np.mean(covered) < 0.99
    found = np.mean(np.array(p) <= 0.05)
    assert 0.02 < found < 0.09 if rho == 0 else found > 0.3


def test_the_interval_is_bonett_and_wrights():
    """atanh ρ ± z₀.₉₅ √((1 + ρ²/2)/(n - 3)), of ranks whose squared differences add up to 38."""
    result = spearman(range(1, 9), [4, 1, 6, 2, 3, 7, 8, 5], confidence=0.9)
    assert result.rho == pytest.approx(1 - 6 * 38 / (8 * 63))
    z, half = np.arctanh(result.rho), norm.ppf(0.95) * np.sqrt((1 + result.rho**2 / 2) / 5)
    assert (result.low, result.high) == pytest.approx((np.tanh(z - half), np.tanh(z + half)))


def test_more_confidence_is_wider():
    x, y = np.arange(12), np.random.default_rng(2).normal(size=12)
    narrow, wide = spearman(x, y, 0.8), spearman(x, y, 0.99)
    assert wide.low < narrow.low < narrow.rho < narrow.high < wide.high


def test_few_pairs_have_no_interval():
    assert np.isnan([spearman(range(5), [1, 3, 2, 5, 4]).low]).all()
    assert np.isfinite(spearman(range(6), [1, 3, 2, 5, 4, 6]).low)
