"""Where the kept weights are: relative indices, and compressed sparse rows for comparison.

Relative indices (Han, Mao, Dally, "Deep Compression", ICLR 2016, section 2) are the distance of
each kept weight from the one before, in ``bits`` bits. A distance beyond their bound of 2^bits is
bridged by fillers: entries at the bound that hold a zero.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from laq.checkpoints.deep_container import fixed, huffman
from laq.checkpoints.deep_container.sparse_weight import INDEX_BITS

Positions = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Relative:
    """Positions as distances.

    gaps: (entries,) uint16, the distance of each entry from the one before, less 1; that of the
    first entry is from position −1. kept: (n,) int64, which of the entries are weights; all others
    are fillers. bits: of an index.
    """

    gaps: NDArray[np.uint16]
    kept: Positions
    bits: int

    @property
    def entries(self) -> int:
        return len(self.gaps)

    @property
    def fillers(self) -> int:
        return len(self.gaps) - len(self.kept)


def relative(positions: Positions, size: int, bits: int) -> Relative:
    """``positions`` (n,), ascending and below ``size``, as indices of ``bits`` 1 to 16.

    Zeros behind the last weight have fillers too, one for each 2^bits of them. So
    size < (entries + 1) · 2^bits, and a reader can refuse a size that is impossible.
    """
    bound = 1 << bits
    stops = np.concatenate((positions, [size]))
    zeros = np.diff(stops, prepend=-1) - 1  # zeros before each weight, and behind the last
    fillers = zeros >> bits
    kept = np.cumsum(fillers + 1)[:-1] - 1
    gaps = np.full(len(positions) + int(fillers.sum()), bound - 1, dtype=np.uint16)
    gaps[kept] = zeros[:-1] & (bound - 1)
    return Relative(gaps, kept, bits)


def absolute(gaps: NDArray[np.uint16]) -> Positions:
    """(entries,) int64, the positions of all entries, fillers included."""
    return np.cumsum(gaps.astype(np.int64) + 1) - 1


def sides(shape: Sequence[int]) -> tuple[int, int]:
    """Rows and columns of a weight (N, …) as a matrix (N, d)."""
    return shape[0], int(np.prod(shape[1:], dtype=np.int64))


def alive(positions: Positions, shape: Sequence[int]) -> NDArray[np.bool_]:
    """(N + d,) bool: which rows and which columns of the matrix (N, d) hold a weight."""
    rows, columns = sides(shape)
    lines = np.zeros(rows + columns, dtype=bool)
    lines[positions // columns] = True
    lines[rows + positions % columns] = True
    return lines


def squeezed(
    positions: Positions, shape: Sequence[int], used: NDArray[np.bool_]
) -> tuple[Positions, tuple[int, int]]:
    """Positions (n,) in the matrix of the rows and columns in ``used`` (N + d,), and its sides."""
    rows, columns = sides(shape)
    row, column = used[:rows].cumsum() - 1, used[rows:].cumsum() - 1
    sizes = int(used[:rows].sum()), int(used[rows:].sum())
    return row[positions // columns] * sizes[1] + column[positions % columns], sizes


def spread(places: Positions, shape: Sequence[int], used: NDArray[np.bool_]) -> Positions:
    """The inverse of ``squeezed``: positions (n,) in the whole matrix."""
    rows, columns = sides(shape)
    row, column = np.flatnonzero(used[:rows]), np.flatnonzero(used[rows:])
    return row[places // len(column)] * columns + column[places % len(column)]


def by_columns(positions: Positions, shape: Sequence[int]) -> tuple[Positions, NDArray[np.int64]]:
    """Positions (n,) in a weight (N, …) that is walked along its first dimension, and their order.

    ``positions[order]`` are the same weights in the ascending order of their new positions.
    """
    rows, columns = sides(shape)
    transposed = positions % columns * rows + positions // columns
    order = np.argsort(transposed, kind="stable")
    return transposed[order], order


def by_rows(turned: Positions, shape: Sequence[int]) -> tuple[Positions, NDArray[np.int64]]:
    """The inverse of ``by_columns``: positions (n,), and the order that brings ``turned`` there."""
    rows, columns = sides(shape)
    positions = turned % rows * columns + turned // rows
    order = np.argsort(positions, kind="stable")
    return positions[order], order


def csr_bytes(kept: int, shape: Sequence[int]) -> int:
    """Bytes that pointers and columns take at the fewest bits that hold the largest possible."""
    rows = shape[0] if len(shape) > 1 else 1
    columns = int(np.prod(shape, dtype=np.int64)) // rows
    pointer_bits, column_bits = kept.bit_length(), (columns - 1).bit_length()
    return -(-(rows + 1) * pointer_bits // 8) + -(-kept * column_bits // 8)


# The order in which a weight is walked, and the entries that are met on the way.


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
        """The symbols (entries,) of weights with these ``codes`` (n,), and their alphabet's size.

        Where there are fillers, 0 stands for their zero and centroid i is i + 1.
        """
        ordered = codes[self.order].astype(np.uint16)
        if self.indices is None or not self.indices.fillers:
            return ordered, centroids
        symbols = np.zeros(self.entries, dtype=np.uint16)
        symbols[self.indices.kept] = ordered + 1
        return symbols, centroids + 1


def chosen(
    positions: Positions,
    shape: Sequence[int],
    bits: int | None,
    used: NDArray[np.int64] | None,
    coder: str,
) -> Layout:
    """The layout that takes least: of both orders, and with and without lines of zeros.

    positions: (n,) int64, ascending. bits: of an index; where None, all widths are tried. used:
    (k,) how often each centroid occurs; None for weights that have values of their own. ANS is
    taken to need what Huffman needs.
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
    """The layout with indices of ``bits`` bits, 0 where every weight is kept."""
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
    lines = alive(positions, shape)
    # ``laq.checkpoints.deep_container.header`` refuses a size that is too large for so few weights.
    options = [None] if lines.all() or rows * columns >> 8 > len(positions) else [None, lines]
    for chosen_lines, transposed, width in product(options, (False, True), widths):
        yield walked(positions, shape, width, transposed, chosen_lines)


def _marks(layout: Layout) -> int:
    """Bits that say which lines are walked."""
    return 0 if layout.lines is None else len(layout.lines)


def _fixed(indices: Relative, used: NDArray[np.int64] | None) -> int:
    bits = 32 if used is None else fixed.width(len(used) + (indices.fillers > 0))
    return indices.entries * (indices.bits + bits)


def _coded(indices: Relative, used: NDArray[np.int64] | None) -> int:
    bits = _huffman(np.bincount(indices.gaps, minlength=1))
    if used is None:
        return bits + 32 * indices.entries
    return bits + _huffman(np.concatenate(([indices.fillers], used)))


def _huffman(counts: NDArray[np.int64]) -> int:
    """Bits of symbols with these counts, and half a byte a symbol for the table."""
    lengths = huffman.lengths(counts)
    return int((counts * lengths).sum()) + 4 * int(np.count_nonzero(counts))
