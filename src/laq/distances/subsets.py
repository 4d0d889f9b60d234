"""Subsets of classes, chosen by the inter-class distances (ICD) within them.

The published greedy rule finds the most similar and the most dissimilar classes, and few subsets
between them. Targets of median ICD fill the axis evenly.

Classes are positions in a (C, C) matrix of distances: symmetric, zero on the diagonal. Every
function that takes one raises DataError where it is not, and where a subset's size is not within
2..C.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from laq.distances import median_search
from laq.utils import seeds
from laq.utils.errors import ConfigError, DataError
from laq.utils.files import AGAIN, read_json

Kind = Literal["similar", "dissimilar"]
KINDS: tuple[Kind, ...] = ("similar", "dissimilar")
Scale = Literal["linear", "log"]
Distances = NDArray[np.float64]

# Up to this many subsets, all are tried. That finds the optimum, and exclusion leads to no dead
# end.
ENUMERATED = 10_000


@dataclass(frozen=True)
class SubsetSelection:
    """Classes chosen by a definition, ascending, and the median ICD it aimed at, if any."""

    indices: list[int]
    target: float | None = None


def greedy(distances: ArrayLike, size: int, start: int, kind: Kind) -> list[int]:
    """The published rule: from ``start``, take ``size`` classes one after the other.

    Each is the class with the smallest (similar) or largest (dissimilar) mean distance to
    those chosen; ties go to the lowest index. Returned in the order of choice.
    """
    distances = _checked(distances, size)
    _check_indices([start], len(distances))
    return _grow(_towards(kind) * distances, size, start)


def ranked_greedy(distances: ArrayLike, size: int, kind: Kind) -> list[list[int]]:
    """The greedy subsets from every start, without duplicates, best first.

    Ranked by median ICD, ascending for similar and descending for dissimilar, equal medians
    by start: the i-th subset of a kind is deterministic without a seed.
    """
    distances = _checked(distances, size)
    sign = _towards(kind)
    signed = sign * distances
    subsets: dict[frozenset[int], list[int]] = {}
    for start in range(len(distances)):
        subset = _grow(signed, size, start)
        subsets.setdefault(frozenset(subset), subset)
    return sorted(subsets.values(), key=lambda subset: sign * _median_icd(distances, subset))


def random_subsets(classes: int, size: int, count: int, seed: int) -> list[list[int]]:
    """``count`` distinct random subsets, each ascending; the i-th does not depend on count.

    Raises DataError if there are fewer than ``count`` subsets.
    """
    _check_size(size, classes)
    if count > math.comb(classes, size):
        raise DataError(
            f"{count} random subsets of {size} from {classes} classes: "
            f"there are only {math.comb(classes, size)}; ask for fewer"
        )
    rng = seeds.stream(seed, "random subsets")
    subsets: dict[tuple[int, ...], None] = {}  # a set that keeps its order
    while len(subsets) < count:
        subsets.setdefault(tuple(sorted(rng.choice(classes, size, replace=False).tolist())))
    return [list(subset) for subset in subsets]


def target_median(
    distances: ArrayLike,
    size: int,
    target: float,
    seed: int | Sequence[int],
    restarts: int = 40,
    exclude: Collection[frozenset[int]] = frozenset(),
) -> list[int]:
    """The subset, ascending, whose median ICD is nearest ``target``, as far as is found.

    Where there are few subsets all are tried. Otherwise a greedy search starts from a random class
    and adds at each step the class that brings the median nearest the target. The best swap of one
    class for another follows, until none helps. The search has up to ``restarts`` starts, and ends
    when a median is within 0.5 % or the best has been found ten times. Where neither happens, as
    for targets near the axis's ends, swaps also start from the best similar and dissimilar subset,
    from an annealed subset, and ``restarts`` times from the best so far with a third of its classes
    replaced.

    Nearness is the ratio of median and target, since medians run over decades. A difference would
    call every small median about equally good for a target, and ask an accuracy that no small
    target gets. Only for a target of 0 it is the difference.

    Subsets in ``exclude`` are not returned, so that a series of targets has no duplicates.

    Raises:
        DataError: if the target is negative or not finite, or if every subset is excluded.
    """
    distances = _checked(distances, size)
    classes = len(distances)
    if not (np.isfinite(target) and target >= 0):
        raise DataError(f"target median {target}: give a finite number, 0 or above")
    excluded = {frozenset(subset) for subset in exclude}
    if math.comb(classes, size) <= ENUMERATED:
        candidates = np.array(list(combinations(range(classes), size)))
        result = median_search.nearest(distances, candidates, target, excluded)
    else:
        extremes = (ranked_greedy(distances, size, kind)[0] for kind in KINDS)
        result = median_search.search(distances, size, target, seed, restarts, excluded, extremes)
    error, subset = result
    if error == np.inf:
        raise DataError(
            f"no subset of {size} from {classes} classes is left for a median of {target:g}: "
            f"{len(excluded)} are taken; ask for fewer subsets, or for another size"
        )
    return sorted(subset)


def attainable(distances: ArrayLike, size: int, seed: int) -> tuple[float, float]:
    """The smallest and the largest median ICD that ``target_median`` finds: the axis's ends.

    The greedy subsets are no ends: they seek small and large *means*. A few huge distances make a
    mean large and leave the median small.
    """
    distances = _checked(distances, size)
    low, high = (
        _median_icd(distances, target_median(distances, size, target, seeds.key(seed, "axis")))
        for target in (0.0, distances.max())
    )
    return low, high


def spread(low: float, high: float, count: int, scale: Scale) -> NDArray[np.float64]:
    """``count`` targets, the middles of as many equal parts of low..high on the scale.

    Raises DataError unless low < high, and on a log scale 0 < low.
    """
    if not low < high:
        raise DataError(f"no targets between {low:g} and {high:g}: the medians make no axis")
    if scale not in ("linear", "log"):
        raise ConfigError(f"scale {scale!r}: give 'linear' or 'log'")
    if scale == "log" and low <= 0:
        raise DataError(
            f"no log scale from {low:g}: some classes are the same; merge them, or use 'linear'"
        )
    spaced = np.linspace if scale == "linear" else np.geomspace
    return spaced(low, high, 2 * count + 1)[1::2]


def describe(distances: ArrayLike, indices: Sequence[int]) -> dict[str, float]:
    """Median, mean, min and max ICD over the pairs of the subset's classes."""
    distances = _checked(distances, len(indices))
    _check_indices(indices, len(distances))
    pairs = median_search.pairs(distances, np.array([indices]))[0]
    return {
        "median_icd": float(np.median(pairs)),
        "mean_icd": float(pairs.mean()),
        "min_icd": float(pairs.min()),
        "max_icd": float(pairs.max()),
    }


def select(distances: ArrayLike, definition: Mapping[str, Any], seed: int) -> SubsetSelection:
    """The classes that a definition from the config means.

    Definitions, ranks being 0-based:
        ``{kind: similar | dissimilar, size, rank}``: see ``ranked_greedy``;
        ``{kind: random, size, rank}``: see ``random_subsets``;
        ``{kind: target, size, median}``: one target, see ``target_median``;
        ``{kind: target, size, scale: linear | log, count, rank}``: of ``count`` targets
        spread over the attainable axis the one at ``rank``. The members of a series depend on
        each other, so all are found (``target_series``; ``member`` reads them from a file);
        ``{kind: classes, indices}``: these classes;
        ``{kind: superclasses, superclass, indices}``: these classes of one superclass;
        ``{kind: log, indices}``: these classes of a row of a published log.

    Raises:
        ConfigError: if the definition is none of these.
        DataError: if the distances do not yield it.
    """
    distances = _checked(distances)
    match definition:
        case {"kind": "similar" | "dissimilar" as kind, "size": size, "rank": rank}:
            subsets = ranked_greedy(distances, size, kind)
            if not 0 <= rank < len(subsets):
                raise DataError(
                    f"{kind} subset of rank {rank}: the greedy rule finds {len(subsets)} of "
                    f"{size} classes (rank 0 to {len(subsets) - 1})"
                )
            return SubsetSelection(sorted(subsets[rank]))
        case {"kind": "random", "size": size, "rank": rank}:
            return SubsetSelection(random_subsets(len(distances), size, rank + 1, seed)[rank])
        case {"kind": "target", "size": size, "median": target}:
            return SubsetSelection(target_median(distances, size, target, seed), float(target))
        case {"kind": "target", "size": size, "scale": scale, "count": count, "rank": rank}:
            if not 0 <= rank < count:
                raise DataError(
                    f"target of rank {rank} in a series of {count}: give 0 to {count - 1}"
                )
            return target_series(distances, size, scale, count, seed)[rank]
        case {"kind": "classes" | "superclasses" | "log", "indices": indices}:
            _check_size(len(indices), len(distances))
            _check_indices(indices, len(distances))
            return SubsetSelection(sorted(indices))
        case _:
            raise ConfigError(
                f"subset definition {dict(definition)}: give kind similar or dissimilar (size, "
                "rank), random (size, rank), target (size and median, or size, scale, count "
                "and rank), or classes, superclasses or log (indices)"
            )


def member(series: str | Path, definition: Mapping[str, Any]) -> SubsetSelection:
    """The member at ``definition``'s rank of a series that ``target_series`` found.

    Args:
        series: a JSON file, a list of mappings of ``indices`` and ``target``.

    Raises:
        DataError: if it is no series of ``definition``'s ``count`` subsets of ``size`` classes.
    """
    count, size = definition["count"], definition["size"]
    try:
        members = [
            SubsetSelection(list(e["indices"]), float(e["target"])) for e in read_json(series)
        ]
    except (TypeError, KeyError, ValueError):
        members = []
    if len(members) != count or any(len(selection.indices) != size for selection in members):
        raise DataError(
            f"{series} does not hold {count} subsets of {size} classes with their targets: {AGAIN}"
        )
    return members[definition["rank"]]


def duplicates(subsets: Mapping[str, Collection[int]]) -> dict[str, str]:
    """Ids of subsets that hold the same classes as an earlier one, with that one's id."""
    ids: dict[frozenset[int], str] = {}
    repeated = {}
    for name, indices in subsets.items():
        earlier = ids.setdefault(frozenset(indices), name)
        if earlier != name:
            repeated[name] = earlier
    return repeated


def target_series(
    distances: ArrayLike, size: int, scale: Scale, count: int, seed: int
) -> list[SubsetSelection]:
    """All members of a series of ``count`` targets, in the order of the targets.

    They differ from each other and from the first similar and dissimilar subset. They are found
    from both ends of the axis inwards. The aim for a target is shifted by half the error of its
    outer neighbour. Near its ends the axis has few medians: a member may miss by half the distance
    of two targets, which would widen the hole beside it to one and a half.
    """
    distances = _checked(distances, size)
    targets = spread(*attainable(distances, size, seed), count, scale)
    onto_axis, from_axis = (np.log, np.exp) if scale == "log" else (float, float)
    # The greedy subsets are excluded, since a study often has them beside the series.
    excluded = [frozenset(ranked_greedy(distances, size, kind)[0]) for kind in KINDS]
    members: dict[int, SubsetSelection] = {}
    errors: dict[int, float] = {}  # median found minus target, on the axis
    for rank in sorted(range(count), key=lambda rank: min(rank, count - 1 - rank)):
        neighbour = rank - 1 if 2 * rank < count else rank + 1
        aim = float(from_axis(onto_axis(targets[rank]) + errors.get(neighbour, 0.0) / 2))
        # Each search has its own seed: searches that share their starts would share classes.
        key = seeds.key(seed, "target", rank)
        indices = target_median(distances, size, aim, key, exclude=excluded)
        excluded.append(frozenset(indices))
        members[rank] = SubsetSelection(indices, float(targets[rank]))
        errors[rank] = onto_axis(_median_icd(distances, indices)) - onto_axis(targets[rank])
    return [members[rank] for rank in range(count)]


def _grow(signed: Distances, size: int, start: int) -> list[int]:
    """Repeatedly add the class with the smallest mean signed distance to the chosen ones."""
    chosen = [start]
    sums = signed[start].copy()  # sums order the classes as means do
    while len(chosen) < size:
        sums[chosen[-1]] = np.inf
        chosen.append(int(sums.argmin()))
        sums += signed[chosen[-1]]
    return chosen


def _median_icd(distances: Distances, subset: Sequence[int]) -> float:
    return float(np.median(median_search.pairs(distances, np.array([subset]))))


def _towards(kind: Kind) -> int:
    """The sign that makes the sought distances the smallest."""
    if kind not in KINDS:
        raise ConfigError(f"kind {kind!r}: give 'similar' or 'dissimilar'")
    return 1 if kind == "similar" else -1


def _checked(distances: ArrayLike, size: int | None = None) -> Distances:
    """The distances as a float64 matrix, if they are distances and hold such subsets."""
    matrix = np.asarray(distances, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise DataError(f"distances of shape {matrix.shape}: give a square matrix")
    if not np.isfinite(matrix).all():
        i, j = np.argwhere(~np.isfinite(matrix))[0]
        raise DataError(f"the distance of classes {i} and {j} is {matrix[i, j]}: compute it anew")
    if matrix.min(initial=0.0) < 0:
        i, j = np.argwhere(matrix < 0)[0]
        raise DataError(f"the distance of classes {i} and {j} is {matrix[i, j]:g}, below 0")
    if matrix.diagonal().any():
        i = np.flatnonzero(matrix.diagonal())[0]
        raise DataError(f"the distance of class {i} to itself is {matrix[i, i]:g}: it must be 0")
    asymmetric = ~np.isclose(matrix, matrix.T, rtol=1e-9, atol=0)
    if asymmetric.any():
        i, j = np.argwhere(asymmetric)[0]
        raise DataError(
            f"classes {i} and {j} are {matrix[i, j]:g} apart one way and {matrix[j, i]:g} the "
            "other: average both directions"
        )
    if size is not None:
        _check_size(size, len(matrix))
    return matrix


def _check_size(size: int, classes: int) -> None:
    if not 2 <= size <= classes:
        raise DataError(f"subset of {size} from {classes} classes: give a size of 2 to {classes}")


def _check_indices(indices: Sequence[int], classes: int) -> None:
    invalid = [index for index in indices if not 0 <= index < classes]
    if invalid:
        raise DataError(f"class {invalid[0]} is none of the {classes} classes (0-based)")
    if len(set(indices)) < len(indices):
        raise DataError(f"classes {list(indices)} hold one twice: name each once")
