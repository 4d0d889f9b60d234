"""Local search for the subset whose median distance is nearest a target.

From many starts, a greedy search is followed by the best swap of one class for another until none
helps. Where that does not come near the target and the starts end at different medians, simulated
annealing follows (Kirkpatrick, Gelatt and Vecchi 1983).

Distances are a (C, C) float64 matrix that ``laq.distances.subsets`` has checked. A result is the
pair of its error and its classes. The error is |ln(median / target)|, or the median for a target of
0.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import cache
from itertools import chain
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

Distances = NDArray[np.float64]

# The search ends at a median so near its target (in ln): far below the error of an ICD.
NEAR_ENOUGH = 5e-3

# It also ends when so many starts have ended at the best median: there is hardly a nearer one.
AGREED = 10

# Annealing: the number of walks at once and of their steps, and the first and the last temperature,
# in ln of the median. Slower cooling finds hardly more. A third of a second is what a job can
# spare.
WALKS, STEPS = 50, 4000
HOT, COLD = 0.1, 0.003


def search(
    distances: Distances,
    size: int,
    target: float,
    seed: int | Sequence[int],
    restarts: int,
    excluded: Collection[frozenset[int]],
    ends: Iterable[list[int]],
) -> tuple[float, list[int]]:
    """The best result of swaps from all beginnings, in order.

    The search ends early at a median that is near enough, or at ``AGREED`` equal best ones.
    Beginnings are up to ``restarts`` seeded classes. For targets near the axis's ends, these are
    followed by the subsets in ``ends``, by what annealing finds, and ``restarts`` times by the best
    so far with a third of its classes replaced. Subsets in ``excluded`` are skipped.
    """
    rng = np.random.default_rng(seed)
    classes = len(distances)
    starts = rng.permutation(classes)[:restarts]
    best: tuple[float, list[int]] = (np.inf, [])
    beginnings = chain(
        (_aim(distances, size, target, int(start)) for start in starts),
        ends,
        (_anneal(distances, size, target, rng, excluded) for _ in range(1)),
        (_kicked(best[1], size, classes, rng) for _ in range(restarts)),  # lazy: the best by then
    )
    near_enough = NEAR_ENOUGH if target > 0 else 0.0
    errors = []
    for subset in beginnings:
        result = _improve(distances, subset, target, excluded)
        errors.append(result[0])
        best = min(result, best, key=itemgetter(0))
        if best[0] <= near_enough or errors.count(best[0]) == AGREED:
            break
    return best


def _aim(distances: Distances, size: int, target: float, start: int) -> list[int]:
    """From ``start``, repeatedly add the class that brings the median nearest the target."""
    subset = [start]
    while len(subset) < size:
        others = np.setdiff1d(np.arange(len(distances)), subset)
        candidates = np.column_stack([np.tile(subset, (len(others), 1)), others])
        _, subset = nearest(distances, candidates, target)
    return subset


def _kicked(subset: list[int], size: int, classes: int, rng: np.random.Generator) -> list[int]:
    """The subset with a third of its classes replaced at random (all, where it has none)."""
    kept = rng.permutation(subset)[: size - max(1, size // 3)]
    others = np.setdiff1d(np.arange(classes), kept)
    return [*kept.tolist(), *rng.choice(others, size - len(kept), replace=False).tolist()]


def _anneal(
    distances: Distances,
    size: int,
    target: float,
    rng: np.random.Generator,
    excluded: Collection[frozenset[int]],
) -> list[int]:
    """The best subset of many random walks that accept worse subsets ever more rarely.

    A search that accepts only improving swaps ends early where distances have heavy tails and no
    geometry.
    """
    walk = np.arange(WALKS)
    subsets = rng.permuted(np.tile(np.arange(len(distances)), (WALKS, 1)), axis=1)[:, :size]
    errors = _log_errors(distances, subsets, target)
    best_error, best_subset = np.inf, subsets[0].tolist()
    near_enough = NEAR_ENOUGH if target > 0 else -np.inf
    for temperature in np.geomspace(HOT, COLD, STEPS):
        proposals = subsets.copy()
        newcomers = rng.integers(len(distances), size=WALKS)
        proposals[walk, rng.integers(size, size=WALKS)] = newcomers
        proposed_errors = _log_errors(distances, proposals, target)
        probability = np.exp(np.minimum(errors - proposed_errors, 0) / temperature)
        accepted = (rng.random(WALKS) < probability) & ~(subsets == newcomers[:, None]).any(axis=1)
        subsets[accepted], errors[accepted] = proposals[accepted], proposed_errors[accepted]
        nearest_walk = errors.argmin()
        if errors[nearest_walk] < best_error:
            subset = subsets[nearest_walk].tolist()
            if frozenset(subset) not in excluded:
                best_error, best_subset = errors[nearest_walk], subset
                if best_error <= near_enough:
                    break
    return best_subset


def _log_errors(
    distances: Distances, subsets: NDArray[np.intp], target: float
) -> NDArray[np.float64]:
    """Errors in ln. For a target of 0 they are ln of the medians, where only their order counts."""
    floor = np.finfo(np.float64).tiny  # a median of 0 is very far, but not infinitely
    medians = np.log(np.maximum(_medians(distances, subsets), floor))
    return np.abs(medians - np.log(target)) if target > 0 else medians


def _improve(
    distances: Distances, subset: list[int], target: float, excluded: Collection[frozenset[int]]
) -> tuple[float, list[int]]:
    """Make the best swap of a class for another until none helps: (error, classes)."""
    size = len(subset)
    best = nearest(distances, np.array([subset]), target, excluded)
    while True:
        others = np.setdiff1d(np.arange(len(distances)), subset)
        # (size, C - size, size): at [i, j] the j-th other class in the place of the i-th.
        swaps = np.tile(subset, (size, len(others), 1))
        swaps[np.arange(size), :, np.arange(size)] = others
        candidate = nearest(distances, swaps.reshape(-1, size), target, excluded)
        if candidate[0] >= best[0]:
            return best
        best = candidate
        subset = best[1]


def nearest(
    distances: Distances,
    subsets: NDArray[np.intp],
    target: float,
    excluded: Collection[frozenset[int]] = frozenset(),
) -> tuple[float, list[int]]:
    """Error and classes of the first subset (m, size) nearest the target and not excluded.

    The error is infinite, and the classes are of no use, if all are excluded.
    """
    positive = target > 0
    errors = _log_errors(distances, subsets, target) if positive else _medians(distances, subsets)
    for index in np.argsort(errors, kind="stable"):
        subset = subsets[index].tolist()
        if frozenset(subset) not in excluded:
            return float(errors[index]), subset
    return np.inf, []


def _medians(distances: Distances, subsets: NDArray[np.intp]) -> NDArray[np.float64]:
    """Median distance within each subset: (m, size) classes -> (m,)."""
    values = pairs(distances, subsets)
    p = values.shape[1]
    values.partition(sorted({(p - 1) // 2, p // 2}), axis=1)
    return (values[:, (p - 1) // 2] + values[:, p // 2]) / 2


def pairs(distances: Distances, subsets: NDArray[np.intp]) -> Distances:
    """Distances within each subset: (m, size) classes -> (m, size (size - 1) / 2)."""
    rows, columns = _pairs_of(subsets.shape[1])
    return distances[subsets[:, rows], subsets[:, columns]]


@cache
def _pairs_of(size: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    return np.triu_indices(size, 1)
