"""Paired differences: exact against full enumeration, intervals and p by simulated studies."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t

from laq.analysis.statistics import mean_interval, sign_flip_p
from laq.utils.errors import DataError

COUNTS = st.lists(st.integers(-30, 30), min_size=1, max_size=8)


def draws(kind: str, rng: np.random.Generator, n: int) -> np.ndarray:
    """n differences of mean 0."""
    if kind == "skewed":
        return rng.exponential(size=n) - 1
    if kind == "heavy-tailed":
        return rng.standard_t(3, size=n)
    return rng.normal(size=n) * (np.geomspace(6, 1, n) if kind == "falling" else 1)


def enumerated(d: list[Fraction], alternative: str) -> Fraction:
    """The share of all flips whose sum is as far out as the data's, in exact fractions."""
    if alternative == "less":
        d = [-value for value in d]
    sums = [
        sum(sign * value for sign, value in zip(signs, d, strict=True))
        for signs in product((1, -1), repeat=len(d))
    ]
    observed = sum(d)
    if alternative == "two-sided":
        sums, observed = [abs(value) for value in sums], abs(observed)
    return Fraction(sum(value >= observed for value in sums), len(sums))


@given(COUNTS, st.integers(-5, 5), st.sampled_from(["two-sided", "greater", "less"]), st.data())
@settings(max_examples=150, deadline=None)
def test_p_counts_all_flips_and_ties_of_rounded_rates_are_ties(counts, bound, alternative, data):
    """Rates of 100, 300 and 7 images: their differences and sums are rounded in binary."""
    images = data.draw(st.sampled_from([100, 300, 7]))
    base = data.draw(st.lists(st.integers(0, 40), min_size=len(counts), max_size=len(counts)))
    d = [(b + k) / images - b / images for b, k in zip(base, counts, strict=True)]
    expected = enumerated([Fraction(k - bound, images) for k in counts], alternative)
    assert sign_flip_p(d, bound / images, alternative) == pytest.approx(float(expected))


def test_a_sum_of_zero_is_no_evidence_however_it_is_rounded():
    d = [0.1, 0.2, -0.3]
    assert sum(d) != 0
    assert sign_flip_p(d, alternative="greater") == 5 / 8
    assert sign_flip_p(d, alternative="less") == 5 / 8
    assert sign_flip_p(d) == 1


def test_equal_differences_have_the_least_p_and_none_have_the_largest():
    assert sign_flip_p([0.1] * 8) == 2 / 2**8
    assert sign_flip_p([0.1] * 8, alternative="greater") == 1 / 2**8
    assert sign_flip_p([0.1] * 8, bound=0.1, alternative="greater") == 1
    assert sign_flip_p([0.3] * 8, bound=0.1 + 0.2) == 1
    assert sign_flip_p([0.25]) == 1
    assert np.isnan(sign_flip_p([]))


def test_many_subsets_are_sampled_with_the_data_counted_among_the_flips():
    d = np.random.default_rng(0).normal(0.4, 1, size=30)
    p = sign_flip_p(d, alternative="greater", resamples=5000, seed=1)
    assert p == sign_flip_p(d, alternative="greater", resamples=5000, seed=1)
    assert p != sign_flip_p(d, alternative="greater", resamples=5000, seed=2)
    of_t = t.sf(d.mean() / (d.std(ddof=1) / np.sqrt(30)), df=29)
    assert p == pytest.approx(of_t, abs=0.01)
    assert sign_flip_p([0.1] * 30, resamples=999) == 1 / 1000
    assert sign_flip_p([0.1] * 30, resamples=999, alternative="less") == 1
    assert sign_flip_p(np.full(1100, 0.1), resamples=99) == 1 / 100


@pytest.mark.parametrize("n", [12, 35])
@pytest.mark.parametrize("kind", ["even", "falling", "skewed"])
def test_false_positives_in_simulated_studies(kind, n):
    """Exact for symmetric differences of any scale; what skewed ones cost is stated and held to."""
    rng = np.random.default_rng(3)
    sides = ("two-sided", "greater", "less")
    studies = [draws(kind, rng, n) for _ in range(300)]
    p = [[sign_flip_p(d, 0.0, side, resamples=500) for side in sides] for d in studies]
    rate = dict(zip(sides, np.mean(np.array(p) <= 0.05, axis=0), strict=True))
    # Of 300 studies a rate of 0.05 has a standard error of 0.013.
    most = {"two-sided": 0.12, "greater": 0.05, "less": 0.17} if kind == "skewed" else {}
    assert all(rate[side] < most.get(side, 0.09) for side in sides), rate
    assert rate["two-sided"] > 0.02, rate


@pytest.mark.parametrize("n", [12, 35])
@pytest.mark.parametrize("kind", ["even", "falling", "heavy-tailed", "skewed"])
def test_coverage_of_the_mean_in_simulated_studies(kind, n):
    rng = np.random.default_rng(4)
    covered = []
    for study in range(400):
        mean = mean_interval(draws(kind, rng, n), resamples=400, seed=study)
        covered.append(mean.low <= 0 <= mean.high)
    least = 0.87 if kind == "skewed" else 0.905
    assert least < np.mean(covered) < 0.98


def test_the_interval_of_many_is_the_textbook_one():
    d = np.random.default_rng(5).normal(0.02, 0.05, size=500)
    mean = mean_interval(d, resamples=20_000)
    half = t.ppf(0.975, 499) * d.std(ddof=1) / np.sqrt(500)
    assert (mean.value, mean.n) == (pytest.approx(d.mean()), 500)
    assert (mean.low, mean.high) == pytest.approx((d.mean() - half, d.mean() + half), abs=half / 20)


@given(st.floats(-2, 2), st.floats(0.01, 5))
@settings(max_examples=30, deadline=None)
def test_the_interval_moves_and_stretches_with_the_data(shift, stretch):
    d = np.random.default_rng(6).normal(size=12)
    own = mean_interval(d, resamples=200)
    moved = mean_interval(shift + stretch * d, resamples=200)
    expected = [shift + stretch * end for end in (own.value, own.low, own.high)]
    assert [moved.value, moved.low, moved.high] == pytest.approx(expected, abs=1e-9)


def test_the_interval_widens_with_confidence_and_the_seed_decides():
    d = np.random.default_rng(7).normal(size=12)
    narrow, wide = mean_interval(d, 0.8), mean_interval(d, 0.99)
    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high
    assert mean_interval(d, seed=1) == mean_interval(d, seed=1) != mean_interval(d, seed=2)


def test_equal_differences_are_a_point_and_few_have_no_interval():
    same = mean_interval([0.1] * 9)
    assert (same.value, same.low, same.high) == pytest.approx((0.1, 0.1, 0.1))
    few = mean_interval([0.1, 0.2, 0.3, 0.4, 0.5])
    assert (few.value, few.n) == (pytest.approx(0.3), 5)
    assert np.isnan([few.low, few.high]).all()
    none = mean_interval([])
    assert np.isnan(none.value) and none.n == 0


@pytest.mark.parametrize("function", [mean_interval, sign_flip_p])
@pytest.mark.parametrize(
    ("d", "message"),
    [([0.1, np.nan], "is nan at subset 1"), ([np.inf], "is inf"), ([[0.1, 0.2]], "one number a")],
)
def test_what_is_no_list_of_differences_is_refused(function, d, message):
    with pytest.raises(DataError, match=message):
        function(d)
