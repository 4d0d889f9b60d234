"""Subsets against brute force, and the axis of a 100-class study that they must cover."""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from laq.distances import median_search, subsets
from laq.distances.divergence import Gaussians, kl_matrix
from laq.distances.subsets import (
    SubsetSelection,
    attainable,
    describe,
    duplicates,
    greedy,
    random_subsets,
    ranked_greedy,
    select,
    spread,
    target_median,
)
from laq.utils.errors import ConfigError, DataError


def random_distances(seed: int, classes: int) -> np.ndarray:
    upper = np.triu(np.random.default_rng(seed).lognormal(sigma=2, size=(classes, classes)), 1)
    return upper + upper.T


def uniform_classes(seed: int, classes: int = 100) -> np.ndarray:
    """Classes of similar extent anywhere in the plane: KL over three decades."""
    rng = np.random.default_rng(seed)
    factors = rng.normal(scale=0.5, size=(classes, 2, 2))
    covariances = factors @ factors.swapaxes(1, 2) + 0.2 * np.eye(2)
    return kl_matrix(Gaussians(rng.uniform(0, 12, (classes, 2)), covariances))


def clustered_classes(seed: int, classes: int = 100) -> np.ndarray:
    """Tight classes in clumps of five, as trained features make them: KL over six decades."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(0, 30, (classes // 5, 2)).repeat(5, axis=0)
    factors = rng.normal(scale=0.3, size=(classes, 2, 2)) + np.eye(2)
    extents = np.exp(rng.normal(-3, 1, size=(classes, 1, 1)))
    covariances = factors @ factors.swapaxes(1, 2) * extents**2
    return kl_matrix(Gaussians(centres + rng.normal(scale=0.3, size=(classes, 2)), covariances))


def medians_of_all(distances: np.ndarray, size: int) -> dict[frozenset[int], float]:
    return {
        frozenset(subset): float(np.median([distances[pair] for pair in combinations(subset, 2)]))
        for subset in combinations(range(len(distances)), size)
    }


def published_rule(distances: np.ndarray, size: int, start: int, kind: str) -> list[int]:
    chosen = [start]
    while len(chosen) < size:
        means = {
            c: np.mean([distances[c, other] for other in chosen])
            for c in range(len(distances))
            if c not in chosen
        }
        best = (min if kind == "similar" else max)(means.values())
        chosen.append(next(c for c, mean in means.items() if mean == best))
    return chosen


@given(st.integers(0, 2**32 - 1), st.integers(2, 9), st.sampled_from(["similar", "dissimilar"]))
@settings(max_examples=50, deadline=None)
def test_greedy_follows_the_published_rule(seed, size, kind):
    distances = random_distances(seed, 9)
    start = seed % 9
    assert greedy(distances, size, start, kind) == published_rule(distances, size, start, kind)


def test_greedy_ties_go_to_the_lowest_index():
    distances = 1.0 - np.eye(6)
    assert greedy(distances, 4, 3, "similar") == [3, 0, 1, 2]
    assert greedy(distances, 4, 3, "dissimilar") == [3, 0, 1, 2]


@pytest.mark.parametrize("kind", ["similar", "dissimilar"])
def test_ranked_greedy_holds_every_start_once_best_first(kind):
    distances = uniform_classes(0, 30)
    ranked = ranked_greedy(distances, 5, kind)
    sets = [frozenset(subset) for subset in ranked]
    assert len(set(sets)) == len(sets)
    assert set(sets) == {frozenset(greedy(distances, 5, start, kind)) for start in range(30)}
    medians = [describe(distances, subset)["median_icd"] for subset in ranked]
    assert medians == sorted(medians, reverse=kind == "dissimilar")


def test_random_subsets_are_distinct_and_do_not_depend_on_their_count():
    many = random_subsets(7, 3, comb(7, 3), seed=5)
    assert len({frozenset(subset) for subset in many}) == 35
    assert all(subset == sorted(set(subset)) for subset in many)
    assert random_subsets(7, 3, 4, seed=5) == many[:4]
    assert random_subsets(7, 3, 4, seed=6) != many[:4]
    with pytest.raises(DataError, match="there are only 35"):
        random_subsets(7, 3, 36, seed=5)


@given(st.integers(0, 2**32 - 1), st.integers(2, 8), st.floats(1e-3, 1e3))
@settings(max_examples=60, deadline=None)
def test_few_classes_give_the_best_median_there_is(seed, size, target):
    distances = random_distances(seed, 8)
    medians = medians_of_all(distances, size)
    found = target_median(distances, size, target, seed=0)
    assert found == sorted(set(found))
    errors = {subset: abs(np.log(median / target)) for subset, median in medians.items()}
    assert errors[frozenset(found)] == pytest.approx(min(errors.values()), abs=1e-12)


@pytest.mark.parametrize("size", [2, 3, 5])
def test_the_search_comes_near_the_best_median_among_many(monkeypatch, size):
    """With enumeration switched off, over classes few enough to try all subsets here."""
    monkeypatch.setattr(subsets, "ENUMERATED", 0)
    distances = uniform_classes(1, 16)
    medians = np.array(list(medians_of_all(distances, size).values()))
    for target in np.geomspace(medians.min(), medians.max(), 9):
        found = describe(distances, target_median(distances, size, target, seed=3))["median_icd"]
        best = np.abs(np.log(medians / target)).min()
        # The search may stop within half a per cent; otherwise it has found the best.
        assert abs(np.log(found / target)) <= max(median_search.NEAR_ENOUGH, best) + 1e-12


def test_no_single_swap_would_help():
    distances = clustered_classes(2)
    target = 4321.0
    found = target_median(distances, 10, target, seed=1)

    def error(subset):
        return abs(np.log(describe(distances, subset)["median_icd"] / target))

    swaps = [
        [other, *(c for c in found if c != gone)]
        for gone in found
        for other in set(range(100)) - set(found)
    ]
    assert error(found) <= min(map(error, swaps))


def test_a_target_of_zero_asks_for_the_smallest_median():
    distances = random_distances(4, 8)
    medians = medians_of_all(distances, 3)
    assert frozenset(target_median(distances, 3, 0.0, seed=0)) == min(medians, key=medians.get)


def test_equal_classes_do_not_disturb_the_search(monkeypatch):
    monkeypatch.setattr(subsets, "ENUMERATED", 0)
    distances = np.kron(1.0 - np.eye(3), np.ones((4, 4)))  # three groups of four equal classes
    found = target_median(distances, 4, 1.0, seed=0)
    assert describe(distances, found)["median_icd"] == 1.0
    same = [frozenset(range(group, group + 4)) for group in (0, 4, 8)]
    assert frozenset(target_median(distances, 4, 0.0, seed=0, exclude=same)) not in same


@given(st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=15, deadline=None)
def test_excluded_subsets_are_not_returned(seed, enumerated):
    distances = random_distances(seed, 9)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subsets, "ENUMERATED", 10_000 if enumerated else 0)
        patch.setattr(median_search, "STEPS", 50)
        taken: list[frozenset[int]] = []
        for _ in range(12):
            taken.append(frozenset(target_median(distances, 3, 1.0, seed=2, exclude=taken)))
    assert len(set(taken)) == 12


def test_the_seed_decides():
    distances = uniform_classes(3)
    chosen = [target_median(distances, 10, 40.0, seed=seed) for seed in (1, 1, 2)]
    assert chosen[0] == chosen[1] != chosen[2]


@pytest.mark.parametrize("enumerated", [0, 10_000])
def test_attainable_are_the_smallest_and_the_largest_median(monkeypatch, enumerated):
    monkeypatch.setattr(subsets, "ENUMERATED", enumerated)
    distances = uniform_classes(5, 16)
    medians = medians_of_all(distances, 4).values()
    assert attainable(distances, 4, seed=0) == pytest.approx((min(medians), max(medians)))


def test_the_axis_reaches_beyond_the_greedy_subsets():
    distances = clustered_classes(5)
    low, high = attainable(distances, 10, seed=0)
    for kind in ("similar", "dissimilar"):
        greedy_end = ranked_greedy(distances, 10, kind)[0]
        assert low <= describe(distances, greedy_end)["median_icd"] <= high


def test_targets_are_even_on_their_scale():
    np.testing.assert_allclose(spread(2, 14, 3, "linear"), [4, 8, 12])
    np.testing.assert_allclose(spread(1e-1, 1e5, 3, "log"), [1, 100, 1e4])
    np.testing.assert_allclose(spread(0, 10, 1, "linear"), [5])
    with pytest.raises(DataError, match="no log scale from 0"):
        spread(0, 10, 3, "log")
    with pytest.raises(DataError, match="the medians make no axis"):
        spread(3, 3, 2, "linear")
    with pytest.raises(ConfigError, match="'cubic'"):
        spread(1, 3, 2, "cubic")


def test_describe_is_over_the_pairs():
    distances = np.array([[0, 1, 4, 9], [1, 0, 2, 9], [4, 2, 0, 9], [9, 9, 9, 0]])
    assert describe(distances, [2, 0, 1]) == {
        "median_icd": 2.0,
        "mean_icd": pytest.approx(7 / 3),
        "min_icd": 1.0,
        "max_icd": 4.0,
    }


def test_select_finds_what_each_kind_of_definition_means():
    distances = uniform_classes(6, 24)
    ranked = ranked_greedy(distances, 5, "dissimilar")
    similar = select(distances, {"kind": "similar", "size": 5, "rank": 0}, seed=1)
    assert similar == SubsetSelection(sorted(ranked_greedy(distances, 5, "similar")[0]))
    dissimilar = select(distances, {"kind": "dissimilar", "size": 5, "rank": 2}, seed=1)
    assert dissimilar == SubsetSelection(sorted(ranked[2]))
    drawn = select(distances, {"kind": "random", "size": 5, "rank": 3}, seed=1)
    assert drawn == SubsetSelection(random_subsets(24, 5, 9, seed=1)[3])
    aimed = select(distances, {"kind": "target", "size": 5, "median": 30}, seed=1)
    assert aimed == SubsetSelection(target_median(distances, 5, 30, seed=1), 30.0)
    listed = select(distances, {"kind": "classes", "indices": [7, 0, 11]}, seed=1)
    assert listed == SubsetSelection([0, 7, 11])
    group = {"kind": "superclasses", "superclass": "fish", "indices": [9, 2]}
    assert select(distances, group, seed=1) == SubsetSelection([2, 9])


@pytest.mark.parametrize(
    ("definition", "error", "message"),
    [
        ({"kind": "nearest", "size": 3, "rank": 0}, ConfigError, "subset definition"),
        ({"kind": "random", "size": 3}, ConfigError, "subset definition"),
        ({"kind": "similar", "size": 3, "rank": 99}, DataError, "similar subset of rank 99"),
        ({"kind": "random", "size": 1, "rank": 0}, DataError, "give a size of 2 to 6"),
        ({"kind": "random", "size": 6, "rank": 1}, DataError, "there are only 1"),
        ({"kind": "target", "size": 3, "median": -1}, DataError, "target median -1"),
        ({"kind": "target", "size": 3, "median": float("nan")}, DataError, "target median nan"),
        ({"kind": "classes", "indices": [0, 6]}, DataError, "class 6 is none of the 6"),
        ({"kind": "classes", "indices": [2, 2]}, DataError, "hold one twice"),
        ({"kind": "classes", "indices": [2]}, DataError, "subset of 1"),
        (
            {"kind": "target", "size": 3, "scale": "log", "count": 4, "rank": 4},
            DataError,
            "rank 4 in a series of 4",
        ),
    ],
)
def test_definitions_that_cannot_be_met_are_refused(definition, error, message):
    with pytest.raises(error, match=message):
        select(random_distances(0, 6), definition, seed=0)


def test_duplicates_name_the_earlier_subset_of_the_same_classes():
    named = {"a": [1, 2], "b": [3, 4], "c": (2, 1), "d": [1, 2, 3], "e": [2, 1]}
    assert duplicates(named) == {"c": "a", "e": "a"}
