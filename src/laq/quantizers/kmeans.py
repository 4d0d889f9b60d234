"""K-means in one dimension: the levels that are nearest to given values in the mean square.

In one dimension the values of a level lie side by side, so that dynamic programming finds the best
of all partitions (Wang & Song, "Ckmeans.1d.dp", The R Journal 2011). With divide and conquer it
takes K m log m steps for m values. More than a few thousand values are put into cells first: the
best partition of the cells is where Lloyd's iterations on the values themselves begin.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from laq.utils.compiling import compiled

# Values, or cells of values, over which the best partition is searched.
_CELLS = 4096

# Limit of Lloyd's iterations, which end by themselves long before.
_ITERATIONS = 1000


def levels(values: Tensor, count: int) -> Tensor:
    """``count`` levels for ascending ``values`` (n,); returns (count,) float64, ascending.

    They are optimal for up to 4096 distinct values. Where there are fewer distinct values than
    levels, the largest level is repeated.
    """
    values = values.double()
    edges = _edges(values)
    moments = [_running(values**power)[edges].numpy() for power in range(3)]
    clusters = min(count, len(edges) - 1)
    borders = torch.from_numpy(_best_ends(*moments, clusters))
    means = torch.from_numpy(np.diff(moments[1][borders]) / np.diff(moments[0][borders]))
    centroids = lloyd(values, means)
    return torch.cat([centroids, centroids[-1:].expand(count - clusters)])


def lloyd(values: Tensor, levels: Tensor) -> Tensor:
    """Lloyd's iterations from ascending ``levels`` (K,) for ascending ``values`` (n,).

    They go on until no value changes its level. As values are in order, those of one level lie
    between two borders and their sum is a difference of two running sums. So an iteration takes K
    searches and no pass over the values. A level that no value is nearest to stays where it is.
    Returns (K,) float64, ascending.
    """
    values, levels = values.double(), levels.double()
    sums, borders = _running(values), None
    for _ in range(_ITERATIONS):
        inner = torch.searchsorted(values, (levels[1:] + levels[:-1]) / 2)
        next_borders = torch.cat([inner.new_zeros(1), inner, inner.new_tensor([len(values)])])
        if borders is not None and torch.equal(next_borders, borders):
            break
        borders = next_borders
        counts = borders.diff()
        levels = torch.where(counts > 0, sums[borders].diff() / counts.clamp(min=1), levels)
    return levels


def _running(summands: Tensor) -> Tensor:
    return torch.nn.functional.pad(summands.cumsum(0), (1, 0))


def _edges(values: Tensor) -> Tensor:
    """Where cells of ascending ``values`` begin and the last one ends. Equal values share a cell.

    Of many values one half of the cells hold equally many values, the others are equally wide.
    """
    borders = values.unique()
    if len(borders) > _CELLS:
        quantiles = values[torch.linspace(0, len(values) - 1, _CELLS // 2).long()]
        uniform = torch.linspace(
            float(values[0]), float(values[-1]), _CELLS // 2, dtype=values.dtype
        )
        borders = torch.cat([quantiles, uniform]).unique()
    starts = torch.searchsorted(values, borders).unique()
    return torch.cat([starts, starts.new_tensor([len(values)])]).unique()


@compiled()
def _cost(count, total, square, first, last):
    """Σ (x − mean)² over the cells first … last − 1."""
    n = count[last] - count[first]
    s = total[last] - total[first]
    return square[last] - square[first] - s * s / n


@compiled()
def _best_ends(count, total, square, parts):
    """Borders (parts + 1,) of the partition of m cells into parts with the least sum of costs."""
    cells = count.size - 1
    previous = np.empty(cells + 1)
    for last in range(1, cells + 1):
        previous[last] = _cost(count, total, square, 0, last)
    cut = np.zeros((parts, cells + 1), np.int32)
    current = np.empty(cells + 1)
    stack = np.empty((64, 4), np.int64)  # subproblems: ends from … to, cuts from … to
    for part in range(1, parts):
        current[:] = np.inf
        stack[0] = part + 1, cells, part, cells - 1
        height = 1
        while height:
            height -= 1
            low, high, first, last = stack[height]
            middle = (low + high) // 2
            best, best_split = np.inf, first
            for split in range(first, min(middle - 1, last) + 1):
                cost = previous[split] + _cost(count, total, square, split, middle)
                if cost < best:
                    best, best_split = cost, split
            current[middle], cut[part, middle] = best, best_split
            if low < middle:
                stack[height] = low, middle - 1, first, best_split
                height += 1
            if middle < high:
                stack[height] = middle + 1, high, best_split, last
                height += 1
        previous[:] = current
    borders = np.empty(parts + 1, np.int64)
    borders[parts] = cells
    for part in range(parts - 1, -1, -1):
        borders[part] = cut[part, borders[part + 1]]
    return borders
