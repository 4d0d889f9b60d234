"""K-means in one dimension: the levels that are nearest to given values in the mean square.

In one dimension the values of a level lie side by side, so that the best of all partitions can be
found by dynamic programming (Wang & Song, "Ckmeans.1d.dp", The R Journal 2011), here with divide
and conquer, in K m log m steps for m values. Of more than a few thousand values it is found for
cells of them, and Lloyd's iterations bring it from there to the values themselves.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from laq.utils.compiling import compiled

# Values, or cells of them, that the best partition is searched over.
_CELLS = 4096

# Lloyd's iterations end by themselves; so many are never needed.
_ITERATIONS = 1000


def levels(values: Tensor, count: int) -> Tensor:
    """``count`` levels for ascending ``values`` (n,); returns (count,) float64, ascending.

    The best of all for up to 4096 values; of fewer distinct ones than levels the largest is
    repeated.
    """
    values = values.double()
    edges = _edges(values)
    running = [_running(values**power)[edges].numpy() for power in range(3)]
    parts = min(count, len(edges) - 1)
    ends = torch.from_numpy(_best_ends(*running, parts))
    means = torch.from_numpy(np.diff(running[1][ends]) / np.diff(running[0][ends]))
    found = lloyd(values, means)
    return torch.cat([found, found[-1:].expand(count - parts)])


def lloyd(values: Tensor, levels: Tensor) -> Tensor:
    """Lloyd's iterations from ascending ``levels`` (K,) for ascending ``values`` (n,).

    Exactly those, until no value changes its level. As values are in order, those of one level lie
    between two borders and their sum is a difference of two running sums: an iteration takes K
    searches and no pass over the values. A level that no value is nearest to stays where it is.
    Returns (K,) float64, ascending.
    """
    values, levels = values.double(), levels.double()
    running, ends = _running(values), None
    for _ in range(_ITERATIONS):
        inner = torch.searchsorted(values, (levels[1:] + levels[:-1]) / 2)
        found = torch.cat([inner.new_zeros(1), inner, inner.new_tensor([len(values)])])
        if ends is not None and torch.equal(found, ends):
            break
        ends = found
        counts = ends.diff()
        levels = torch.where(counts > 0, running[ends].diff() / counts.clamp(min=1), levels)
    return levels


def _running(summands: Tensor) -> Tensor:
    return torch.nn.functional.pad(summands.cumsum(0), (1, 0))


def _edges(values: Tensor) -> Tensor:
    """Where cells of ascending ``values`` begin and the last one ends; equal values share one.

    Of many values one half of the cells hold equally many, the others are equally wide.
    """
    borders = values.unique()
    if len(borders) > _CELLS:
        often = values[torch.linspace(0, len(values) - 1, _CELLS // 2).long()]
        wide = torch.linspace(float(values[0]), float(values[-1]), _CELLS // 2, dtype=values.dtype)
        borders = torch.cat([often, wide]).unique()
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
    """Ends (parts + 1,) of the partition of m cells into parts with the least sum of costs."""
    cells = count.size - 1
    before = np.empty(cells + 1)
    for last in range(1, cells + 1):
        before[last] = _cost(count, total, square, 0, last)
    cut = np.zeros((parts, cells + 1), np.int32)
    now = np.empty(cells + 1)
    spans = np.empty((64, 4), np.int64)  # a stack: places from … to, cuts from … to
    for part in range(1, parts):
        now[:] = np.inf
        spans[0] = part + 1, cells, part, cells - 1
        height = 1
        while height:
            height -= 1
            low, high, first, last = spans[height]
            middle = (low + high) // 2
            best, where = np.inf, first
            for place in range(first, min(middle - 1, last) + 1):
                value = before[place] + _cost(count, total, square, place, middle)
                if value < best:
                    best, where = value, place
            now[middle], cut[part, middle] = best, where
            if low < middle:
                spans[height] = low, middle - 1, first, where
                height += 1
            if middle < high:
                spans[height] = middle + 1, high, where, last
                height += 1
        before[:] = now
    ends = np.empty(parts + 1, np.int64)
    ends[parts] = cells
    for part in range(parts - 1, -1, -1):
        ends[part] = cut[part, ends[part + 1]]
    return ends
