"""Local search for the subset whose median distance is nearest a target.

A greedy start, then the best swap of one class for another until none helps, from many starts.
Distances are a (C, C) float64 matrix that ``laq.subsets`` has checked; a result is the pair of
its error and its classes. The error is |ln(median / target)|, or the median for a target of 0.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import chain
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

Distances = NDArray[np.float64]

# No further restart for a median so near its target (in ln): far below the error of an ICD.
NEAR_ENOUGH = 5e-3


def search(
    distances: Distances,
    size: int,
    target: float,
    seed: int | Sequence[int],
    restarts: int,
    excluded: Collection[frozenset[int]],
    ends: Iterable[list[int]],
) -> tuple[float, list[int]]:
    """The best end of swaps from all beginnings, or the first that is near enough.

    Begun from up to ``restarts`` seeded classes; then, for targets near the axis's ends, from
    the subsets in ``ends``, and ``restarts`` times from the best so far with a third of its
    classes replaced. Subsets in ``excluded`` are passed over.
    """
    rng = np.random.default_rng(seed)
    classes = len(distances)
    starts = rng.permutation(classes)[:restarts]
    best: tuple[float, list[int]] = (np.inf, [])
    begun = chain(
        (_aim(distances, size, target, int(start)) for start in starts),
        ends,
        (_kicked(best[1], size, classes, rng) for _ in range(restarts)),  # lazy: the best by then
    )
    near_enough = NEAR_ENOUGH if target > 0 else 0.0
    for subset in begun:
        best = min(_improve(distances, subset, target, excluded), best, key=itemgetter(0))
        if best[0] <= near_enough:
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
    within = np.sort(pairs(distances, subsets), axis=1)
    p = within.shape[1]
    medians = (within[:, (p - 1) // 2] + within[:, p // 2]) / 2
    if target > 0:
        floor = np.finfo(np.float64).tiny  # a median of 0 is very far, not infinitely
        errors = np.abs(np.log(np.maximum(medians, floor)) - np.log(target))
    else:
        errors = medians
    for index in np.argsort(errors, kind="stable"):
        subset = subsets[index].tolist()
        if frozenset(subset) not in excluded:
            return float(errors[index]), subset
    return np.inf, []


def pairs(distances: Distances, subsets: NDArray[np.intp]) -> Distances:
    """Distances within each subset: (m, size) classes -> (m, size (size - 1) / 2)."""
    rows, columns = np.triu_indices(subsets.shape[1], 1)
    return distances[subsets[:, rows], subsets[:, columns]]
