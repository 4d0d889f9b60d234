"""Local search for the subset whose median distance is nearest a target.

A greedy start, then the best swap of one class for another until none helps, from many starts;
where that does not come near and the starts end at different medians, simulated annealing
(Kirkpatrick, Gelatt and Vecchi 1983).
Distances are a (C, C) float64 matrix that ``laq.distances.subsets`` has checked; a result is the
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

# No further restart for a median so near its target (in ln): far below the error of an ICD.
NEAR_ENOUGH = 5e-3

# Nor for a best median at which so many searches have ended: there is hardly a nearer one.
AGREED = 10

# Annealing: as many walks at once, their steps, and the first and the last temperature, in ln of
# the median. Slower cooling finds hardly more, and a third of a second is what a job can spare.
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
    """The best end of swaps from all beginnings, up to one near enough or ``AGREED`` alike.

    Begun from up to ``restarts`` seeded classes; then, for targets near the axis's ends, from
    the subsets in ``ends``, from what annealing finds, and ``restarts`` times from the best so
    far with a third of its classes replaced. Subsets in ``excluded`` are passed over.
    """
    rng = np.random.default_rng(seed)
    classes = len(distances)
    starts = rng.permutation(classes)[:restarts]
    best: tuple[float, list[int]] = (np.inf, [])
    begun = chain(
        (_aim(distances, size, target, int(start)) for start in starts),
        ends,
        (_anneal(distances, size, target, rng, excluded) for _ in range(1)),
        (_kicked(best[1], size, classes, rng) for _ in range(restarts)),  # lazy: the best by then
    )
    near_enough = NEAR_ENOUGH if target > 0 else 0.0
    errors = []
    for subset in begun:
        found = _improve(distances, subset, target, excluded)
        errors.append(found[0])
        best = min(found, best, key=itemgetter(0))
        if best[0] <= near_enough or errors.count(best[0]) == AGREED:
            break
    return best


def _aim(distances: Distances, size: int, target: float, start: int) -> list[int]:
    """Take from ``start`` on the class that brings the median nearest the target."""
    subset = [start]
    while len(subset) < size:
        others = np.setdiff1d(np.arange(len(distances)), subset)
        grown = np.column_stack([np.tile(subset, (len(others), 1)), others])
        _, subset = nearest(distances, grown, target)
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
    """The best of many random walks that take worse subsets ever more rarely.

    Swaps that each must help end early where distances have heavy tails and no geometry.
    """
    walk = np.arange(WALKS)
    subsets = rng.permuted(np.tile(np.arange(len(distances)), (WALKS, 1)), axis=1)[:, :size]
    errors = _log_errors(distances, subsets, target)
    best, found = np.inf, subsets[0].tolist()
    near_enough = NEAR_ENOUGH if target > 0 else -np.inf
    for temperature in np.geomspace(HOT, COLD, STEPS):
        swapped = subsets.copy()
        newcomers = rng.integers(len(distances), size=WALKS)
        swapped[walk, rng.integers(size, size=WALKS)] = newcomers
        proposed = _log_errors(distances, swapped, target)
        chance = np.exp(np.minimum(errors - proposed, 0) / temperature)
        taken = (rng.random(WALKS) < chance) & ~(subsets == newcomers[:, None]).any(axis=1)
        subsets[taken], errors[taken] = swapped[taken], proposed[taken]
        nearest_walk = errors.argmin()
        if errors[nearest_walk] < best:
            subset = subsets[nearest_walk].tolist()
            if frozenset(subset) not in excluded:
                best, found = errors[nearest_walk], subset
                if best <= near_enough:
                    break
    return found


def _log_errors(
    distances: Distances, subsets: NDArray[np.intp], target: float
) -> NDArray[np.float64]:
    """Errors in ln for a target of 0 as well, where only their order counts."""
    floor = np.finfo(np.float64).tiny  # a median of 0 is very far, not infinitely
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
        swapped = nearest(distances, swaps.reshape(-1, size), target, excluded)
        if swapped[0] >= best[0]:
            return best
        best = swapped
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
    logs = target > 0
    errors = _log_errors(distances, subsets, target) if logs else _medians(distances, subsets)
    for index in np.argsort(errors, kind="stable"):
        subset = subsets[index].tolist()
        if frozenset(subset) not in excluded:
            return float(errors[index]), subset
    return np.inf, []


def _medians(distances: Distances, subsets: NDArray[np.intp]) -> NDArray[np.float64]:
    """Median distance within each subset: (m, size) classes -> (m,)."""
    within = pairs(distances, subsets)
    p = within.shape[1]
    within.partition(sorted({(p - 1) // 2, p // 2}), axis=1)
    return (within[:, (p - 1) // 2] + within[:, p // 2]) / 2


def pairs(distances: Distances, subsets: NDArray[np.intp]) -> Distances:
    """Distances within each subset: (m, size) classes -> (m, size (size - 1) / 2)."""
    rows, columns = _pairs_of(subsets.shape[1])
    return distances[subsets[:, rows], subsets[:, columns]]


@cache
def _pairs_of(size: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    return np.triu_indices(size, 1)
