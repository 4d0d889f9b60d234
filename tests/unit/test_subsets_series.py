"""A series of targets covers the axis of median ICD."""

# ruff: noqa: NPY002 (the only random numbers that compiled code can seed)

from __future__ import annotations

import numba
import numpy as np
import pytest

from laq.distances import median_search
from laq.distances.divergence import Gaussians, kl_matrix
from laq.distances.subsets import (
    attainable,
    describe,
    member,
    ranked_greedy,
    select,
    spread,
    target_median,
    target_series,
)
from laq.utils.files import write_json
from tests.unit.test_subsets import clustered_classes, uniform_classes


def umap_classes(seed: int) -> np.ndarray:
    """Twenty clusters of five classes that overlap, as UMAP lays out pretrained features."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(0, 20, (20, 2)).repeat(5, axis=0) + rng.normal(size=(100, 2))
    factors = rng.normal(scale=0.5, size=(100, 2, 2))
    covariances = factors @ factors.swapaxes(1, 2) + 0.15 * np.eye(2)
    return kl_matrix(Gaussians(centres, covariances))


def overlapping_classes(seed: int) -> np.ndarray:
    """The same, nearer each other: few of the subsets have a median near the largest."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(0, 12, (20, 2)).repeat(5, axis=0) + 1.2 * rng.normal(size=(100, 2))
    factors = rng.normal(scale=0.6, size=(100, 2, 2))
    factors *= np.exp(rng.normal(scale=0.3, size=(100, 1, 1)))  # of differing extents
    covariances = factors @ factors.swapaxes(1, 2) + 0.3 * np.eye(2)
    return kl_matrix(Gaussians(centres, covariances))


def stretched(distances: np.ndarray, low: float, high: float) -> np.ndarray:
    """The same order of distances, in the range low..high."""
    distances = distances.copy()
    off = ~np.eye(len(distances), dtype=bool)
    logs = np.log(distances[off])
    share = (logs - logs.min()) / np.ptp(logs)
    distances[off] = low * (high / low) ** share
    return (distances + distances.T) / 2


def published_range(seed: int) -> np.ndarray:
    """In the published study's range of distances, 0.1 to 200."""
    return stretched(umap_classes(seed), 0.1, 200)


def heavy_tailed(seed: int) -> np.ndarray:
    """Distances over nine decades and without geometry."""
    upper = np.triu(np.random.default_rng(seed).lognormal(sigma=3, size=(100, 100)), 1)
    return upper + upper.T


@numba.njit
def annealed(distances, size, target, seed, proposals, hot):
    """Least |ln(median / target)| of one long random walk, independent of the library's search."""
    np.random.seed(seed)
    order = np.random.permutation(len(distances))
    within = np.empty(size * (size - 1) // 2)
    current = best = np.inf
    for step in range(proposals):
        a, b = np.random.randint(size), np.random.randint(size, len(distances))
        order[a], order[b] = order[b], order[a]
        n = 0
        for i in range(size):
            for j in range(i):
                within[n] = distances[order[i], order[j]]
                n += 1
        error = abs(np.log(np.median(within) / target))
        temperature = hot * (1 - step / proposals) + 1e-9
        if error <= current or np.random.random() < np.exp((current - error) / temperature):
            current = error
            best = min(best, error)
        else:
            order[a], order[b] = order[b], order[a]
    return best


def series(distances: np.ndarray, scale: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Targets and medians of 33 subsets of ten, which are distinct."""
    members = target_series(distances, 10, scale, 33, seed)
    assert len({frozenset(member.indices) for member in members}) == 33
    medians = [describe(distances, member.indices)["median_icd"] for member in members]
    return np.array([selection.target for selection in members]), np.array(medians)


LAYOUTS = [
    *((uniform_classes, scale) for scale in ("linear", "log")),
    *((published_range, scale) for scale in ("linear", "log")),
    (umap_classes, "log"),
    (clustered_classes, "log"),
    (heavy_tailed, "log"),
]


@pytest.mark.parametrize("seed", [1])
@pytest.mark.parametrize(("make", "scale"), LAYOUTS)
def test_33_targets_leave_no_hole_above_5_percent_of_the_axis(make, scale, seed):
    distances = make(seed)
    targets, medians = series(distances, scale, seed)
    axis = np.log if scale == "log" else np.asarray
    holes = np.diff(np.sort(axis(medians)))
    assert holes.max() <= 0.05 * np.ptp(axis(medians))
    # Targets are the middles of equal parts: the axis goes on for half a part on either side.
    part = np.diff(axis(targets)).mean()
    low, high = axis(targets[0]) - part / 2, axis(targets[-1]) + part / 2
    holes = np.diff(np.sort([low, *axis(medians), high]))
    assert holes.max() <= 0.05 * (high - low)
    # At the very ends there are few subsets, and some targets that none comes near.
    assert np.isclose(medians, targets, rtol=0.05).sum() >= 32
    np.testing.assert_allclose(medians, targets, rtol=0.15)


@pytest.mark.parametrize("range_", [None, (0.3, 100)])
def test_a_linear_axis_has_no_hole_above_4_5_percent_that_subsets_could_fill(range_):
    """The largest median is 3.7 % of the axis away from the next one there is."""
    distances = overlapping_classes(0)
    if range_:
        distances = stretched(distances, *range_)
    _, medians = series(distances, "linear", 0)
    ends = attainable(distances, 10, 0)
    holes = np.diff(np.sort([*ends, *medians]))
    assert holes.max() <= 0.045 * np.ptp(ends)
    assert np.diff(np.sort(medians)).max() <= 0.045 * np.ptp(medians)


def test_a_larger_hole_is_one_that_no_subset_fills():
    """By all subsets whose median is above the hole's lower end: there is the largest alone."""
    distances = stretched(overlapping_classes(3), 0.3, 100)
    _, medians = series(distances, "linear", 3)
    holes = np.diff(np.sort(medians))
    assert holes.argmax() == 31
    assert holes.max() > 0.045 * np.ptp(medians)
    assert (np.delete(holes, 31) <= 0.045 * np.ptp(medians)).all()
    lower, largest = np.sort(medians)[-2:]
    above = subsets_above(distances, 10, lower)
    assert {describe(distances, indices)["median_icd"] for indices in above} == {largest}


def subsets_above(distances: np.ndarray, size: int, bound: float) -> list[list[int]]:
    """All subsets whose median is above ``bound``, the number of pairs being odd.

    Such a subset has more than half of its pairs above. One class after the other is put in or
    left out, as long as enough pairs could still come.
    """
    above = distances > bound
    needed = size * (size - 1) // 4 + 1
    found = []

    def extend(chosen: list[int], others: np.ndarray, pairs: int) -> None:
        left = size - len(chosen)
        if left == 0:
            found.extend([chosen] if pairs >= needed else [])
            return
        if len(others) < left:
            return
        with_chosen = above[np.ix_(others, chosen)].sum(axis=1)
        with_others = above[np.ix_(others, others)].sum(axis=1).clip(max=left - 1)
        most = with_chosen + with_others / 2  # a pair of two others counts for both
        order = np.argsort(-most, kind="stable")
        if pairs + most[order[:left]].sum() < needed:
            return
        first, others = others[order[0]], others[order[1:]]
        extend([*chosen, int(first)], others, pairs + int(with_chosen[order[0]]))
        extend(chosen, others, pairs)

    extend([], np.arange(len(distances)), 0)
    return found


@pytest.mark.parametrize("seed", [0])
@pytest.mark.parametrize("make", [clustered_classes, umap_classes, heavy_tailed])
def test_a_median_5_percent_off_its_target_is_as_near_as_any(make, seed):
    """On a linear axis over decades a few huge distances leave gaps that no subset fills."""
    distances = make(seed)
    targets = spread(*attainable(distances, 10, seed), 33, "linear")[16::2]
    found = [target_median(distances, 10, target, [seed, i]) for i, target in enumerate(targets)]
    medians = np.array([describe(distances, indices)["median_icd"] for indices in found])
    errors = np.abs(np.log(medians / targets))
    for target, error in zip(targets, errors, strict=True):
        if error > 0.05:
            walks = enumerate((0.3, 0.1, 0.03))
            others = [annealed(distances, 10, target, walk, 100_000, hot) for walk, hot in walks]
            assert error <= min(others) + 1e-9, target
    assert (errors > 0.05).sum() <= 3


def test_annealing_reaches_ends_of_the_axis_that_swaps_miss(monkeypatch):
    distances = heavy_tailed(1)
    low, high = attainable(distances, 10, 1)
    monkeypatch.setattr(median_search, "_anneal", lambda *_: list(range(10)))
    nearer_low, nearer_high = attainable(distances, 10, 1)
    assert low <= nearer_low
    assert high > 1.1 * nearer_high


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_a_series_has_distinct_members_each_found_alone(scale):
    distances = uniform_classes(7, 10)  # 210 subsets of 4, as on ten digits
    series = {"kind": "target", "size": 4, "scale": scale, "count": 12}
    members = [select(distances, {**series, "rank": rank}, seed=3) for rank in range(12)]
    again = select(distances, {**series, "rank": 8}, seed=3)
    assert again == members[8]
    np.testing.assert_allclose(
        [selection.target for selection in members],
        spread(*attainable(distances, 4, seed=3), 12, scale),
    )
    ends = [ranked_greedy(distances, 4, kind)[0] for kind in ("similar", "dissimilar")]
    sets = {frozenset(subset) for subset in [*ends, *(selection.indices for selection in members)]}
    assert len(sets) == 14


def test_a_member_is_taken_from_the_file_of_its_series(tmp_path):
    distances = uniform_classes(7, 10)
    definition = {"kind": "target", "size": 4, "scale": "log", "count": 5}
    found = target_series(distances, 4, "log", 5, seed=3)
    write_json(tmp_path / "series.json", [vars(selection) for selection in found])
    for rank in range(5):
        alone = select(distances, {**definition, "rank": rank}, seed=3)
        assert member(tmp_path / "series.json", {**definition, "rank": rank}) == alone
