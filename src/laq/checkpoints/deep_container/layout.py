"""The order in which a weight is walked, and the entries that are met on the way."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from laq.checkpoints.deep_container import fixed, huffman
from laq.checkpoints.deep_container.sparse_index import (
    Positions,
    Relative,
    alive,
    by_columns,
    relative,
    sides,
    squeezed,
)
from laq.checkpoints.deep_container.sparse_weight import INDEX_BITS


@dataclass(frozen=True, eq=False)
class Layout:
    """columns: whether the first dimension is walked first. lines: (N + d,) which rows and columns
    of the matrix (N, d) are walked, the others being all zeros; None for all of them. order: (n,)
    the kept weights on the way. indices: of them and the fillers; None where every weight is kept.
    """

    columns: bool
    lines: NDArray[np.bool_] | None
    order: Positions
    indices: Relative | None

    @property
    def entries(self) -> int:
        return self.indices.entries if self.indices else len(self.order)

    def symbols(self, codes: NDArray[np.uint8], centroids: int) -> tuple[NDArray[np.uint16], int]:
        """(entries,) what to code for weights of these ``codes`` (n,), and the alphabet of it.

        Where there are fillers, 0 stands for their zero and centroid i is i + 1.
        """
        walked = codes[self.order].astype(np.uint16)
        if self.indices is None or not self.indices.fillers:
            return walked, centroids
        found = np.zeros(self.entries, dtype=np.uint16)
        found[self.indices.kept] = walked + 1
        return found, centroids + 1


def chosen(
    positions: Positions,
    shape: Sequence[int],
    bits: int | None,
    used: NDArray[np.int64] | None,
    coder: str,
) -> Layout:
    """Of both orders, with and without lines of zeros, and without ``bits`` of all widths of an
    index, the one that takes least.

    positions: (n,) int64, ascending. used: (k,) how often each centroid is; None for weights that
    have values of their own. ANS is taken to need what Huffman needs.
    """
    size = math.prod(shape)
    if bits == 0 or (bits is None and len(positions) == size):
        return walked(positions, shape, 0)
    widths = [width for width in INDEX_BITS if width] if bits is None else [bits]
    cost = _fixed if coder == "fixed" else _coded
    layouts = _layouts(positions, shape, widths)
    return min(layouts, key=lambda layout: cost(layout.indices, used) + _marks(layout))


def walked(
    positions: Positions,
    shape: Sequence[int],
    bits: int,
    columns: bool = False,
    lines: NDArray[np.bool_] | None = None,
) -> Layout:
    """The layout with indices of so many ``bits``, 0 where every weight is kept."""
    order = np.arange(len(positions))
    if not bits:
        return Layout(False, None, order, None)
    if lines is not None:
        positions, shape = squeezed(positions, shape, lines)
    if columns:
        positions, order = by_columns(positions, shape)
    return Layout(columns, lines, order, relative(positions, math.prod(shape), bits))


def _layouts(positions: Positions, shape: Sequence[int], widths: Sequence[int]) -> Iterator[Layout]:
    rows, columns = sides(shape)
    if rows == 1 or columns == 1:
        yield from (walked(positions, shape, width) for width in widths)
        return
    used = alive(positions, shape)
    # A size that so few weights cannot back is not to be claimed:
    # ``laq.checkpoints.deep_container.header``.
    lines = [None] if used.all() or rows * columns >> 8 > len(positions) else [None, used]
    for chosen_lines, turned, width in product(lines, (False, True), widths):
        yield walked(positions, shape, width, turned, chosen_lines)


def _marks(layout: Layout) -> int:
    """Bits that say which lines are walked."""
    return 0 if layout.lines is None else len(layout.lines)


def _fixed(indices: Relative, used: NDArray[np.int64] | None) -> int:
    each = 32 if used is None else fixed.width(len(used) + (indices.fillers > 0))
    return indices.entries * (indices.bits + each)


def _coded(indices: Relative, used: NDArray[np.int64] | None) -> int:
    bits = _huffman(np.bincount(indices.gaps, minlength=1))
    if used is None:
        return bits + 32 * indices.entries
    return bits + _huffman(np.concatenate(([indices.fillers], used)))


def _huffman(counts: NDArray[np.int64]) -> int:
    """Bits of symbols that occur so often, and half a byte a symbol for the table."""
    lengths = huffman.lengths(counts)
    return int((counts * lengths).sum()) + 4 * int(np.count_nonzero(counts))
