"""Holm's adjustment against his procedure, and the chance of erring at all."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from laq.analysis.statistics import holm

P = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def rejected(p: list[float], alpha: float) -> set[int]:
    """The step-down procedure at one level, as Holm wrote it."""
    left, out = sorted(range(len(p)), key=p.__getitem__), set()
    while left and p[left[0]] * len(left) <= alpha:
        out.add(left.pop(0))
    return out


@given(P, st.floats(0, 0.999))
@settings(max_examples=200)
def test_an_adjusted_p_is_the_level_at_which_the_procedure_rejects(p, alpha):
    adjusted = holm(p)
    assert rejected(p, alpha) == set(np.flatnonzero(adjusted <= alpha))
    for level in adjusted[adjusted < 1]:
        assert rejected(p, level) == set(np.flatnonzero(adjusted <= level))


@given(P, st.randoms())
@settings(max_examples=100)
def test_adjusted_p_keep_their_order_and_are_no_less_and_no_more_than_one(p, random):
    adjusted = holm(p)
    order = np.argsort(p, kind="stable")
    assert (np.diff(adjusted[order]) >= 0).all()
    assert (adjusted >= p).all() and (adjusted <= 1).all()
    places = list(range(len(p)))
    random.shuffle(places)
    np.testing.assert_array_equal(holm([p[k] for k in places]), adjusted[places])


@given(P, st.integers(0, 5))
@settings(max_examples=60)
def test_tests_that_were_not_made_are_not_in_the_family(p, missing):
    with_gaps = [np.nan] * missing + p + [np.nan]
    adjusted = holm(with_gaps)
    np.testing.assert_array_equal(adjusted[missing:-1], holm(p))
    assert np.isnan(adjusted[:missing]).all() and np.isnan(adjusted[-1])


def test_a_worked_example():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    assert holm([]).shape == (0,)


def test_the_chance_of_any_false_positive_is_the_level():
    """Ten tests, three of them of true effects: some p among the seven others is below 0.05."""
    p = np.random.default_rng(0).uniform(size=(4000, 10))
    p[:, :3] *= 1e-4
    adjusted = np.array([holm(row) for row in p])
    erred = np.mean((adjusted[:, 3:] < 0.05).any(axis=1))
    # 1 - (1 - 0.05/7)^7 = 0.0489 with a standard error of 0.0034.
    assert 0.038 < erred < 0.060
    assert (adjusted[:, :3] < 0.05).all()
