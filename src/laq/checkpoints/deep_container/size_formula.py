"""The size of a compressed weight: by the paper's formula, and counted stage by stage."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from laq.checkpoints.deep_container import container, sparse_index
from laq.checkpoints.deep_container.header import WeightEntry
from laq.checkpoints.deep_container.sparse_index import alive, csr_bytes
from laq.checkpoints.deep_container.sparse_weight import PrunedWeight, SharedWeight


def ratio(count: int, centroids: int, bits: int = 32) -> float:
    """The compression ratio r = nb / (n log₂ k + kb) (Han et al., 2016, equation 1).

    It is of n = ``count`` weights of b = ``bits`` bits that share k = ``centroids`` values.
    """
    return count * bits / (count * math.log2(centroids) + centroids * bits)


@dataclass(frozen=True)
class Stored:
    """One weight in one file: bytes, and entropies in bits an entry.

    coder: of ``laq.checkpoints.deep_container.coders``. weights: number of all. kept: number of
    those that are not pruned. entries: these and the fillers. centroids: 0 where weights have
    values of their own. index_bits: of a relative index, 0 where there is none. values: bytes of
    the codebook, or of the values. marks: bytes of the marks of lines that are all zeros. codes,
    indices: bytes of their strings. tables: bytes of the coder's tables for both, before the head
    is deflated. code_entropy, index_entropy: of their histograms (Shannon), 0 where there are none.
    """

    coder: str
    weights: int
    kept: int
    entries: int
    centroids: int
    index_bits: int
    values: int
    marks: int
    codes: int
    indices: int
    tables: int
    code_entropy: float
    index_entropy: float

    @property
    def bytes(self) -> int:
        """All that the weight takes."""
        return self.values + self.marks + self.codes + self.indices + self.tables

    @property
    def bits_per_code(self) -> float:
        """Mean bits of an entry's code, or of its value where weights have values of their own."""
        values = 0 if self.centroids else self.values
        return 8 * (self.codes + values) / max(1, self.entries)

    @property
    def bits_per_index(self) -> float:
        """Mean bits of an entry's index."""
        return 8 * self.indices / max(1, self.entries)

    @property
    def entropy(self) -> float:
        """Bits a weight that codes and indices would take at best, pruned weights counted."""
        return self.entries * (self.code_entropy + self.index_entropy) / self.weights


def stored(entry: WeightEntry, weight: PrunedWeight | SharedWeight) -> Stored:
    """What ``weight`` takes in the container whose head says ``entry`` of it."""
    positions = weight.positions.numpy()
    lines = alive(positions, weight.shape) if entry.lines else None
    layout = sparse_index.walked(positions, weight.shape, entry.index_bits, entry.columns, lines)
    codes = np.zeros(0, dtype=np.uint16)
    if isinstance(weight, SharedWeight):
        codes, _ = layout.symbols(weight.codes.numpy(), len(weight.centroids))
    gaps = layout.indices.gaps if layout.indices else codes[:0]
    return Stored(
        coder=entry.codes.coder if entry.centroids else entry.indices.coder,
        weights=entry.weights,
        kept=entry.kept,
        entries=entry.entries,
        centroids=entry.centroids,
        index_bits=entry.index_bits,
        values=entry.values,
        marks=entry.marks,
        codes=entry.codes.size,
        indices=entry.indices.size,
        tables=entry.codes.table + entry.indices.table,
        code_entropy=_entropy(codes),
        index_entropy=_entropy(gaps),
    )


def measured(weight: PrunedWeight | SharedWeight, coder: str) -> Stored:
    """What ``weight`` would take in a container by ``coder``; it is coded and counted."""
    return stored(container.encoded("", weight, coder)[0], weight)


@dataclass(frozen=True)
class Stages:
    """A weight stage by stage, as in the paper's tables: P, P+Q, P+Q+H, and ANS for Huffman.

    pruned: float32 values and indices of fixed width. shared: codes and indices of fixed width.
    huffman, ans: codes and indices by this coder. csr: bytes of compressed sparse rows in the place
    of indices, in the fewest bits that hold their numbers.
    """

    pruned: Stored
    shared: Stored
    huffman: Stored
    ans: Stored
    csr: int

    def row(self) -> dict[str, Any]:
        """A row of a table of layers: numbers by name."""
        shared, huffman = self.shared, self.huffman
        return {
            "weights": shared.weights,
            "kept": shared.kept,
            "fillers": shared.entries - shared.kept,
            "code_bits": shared.bits_per_code,
            "code_bits_huffman": huffman.bits_per_code,
            "code_bits_ans": self.ans.bits_per_code,
            "code_entropy": huffman.code_entropy,
            "index_bits": shared.bits_per_index,
            "index_bits_huffman": huffman.bits_per_index,
            "index_bits_ans": self.ans.bits_per_index,
            "index_entropy": huffman.index_entropy,
            "codebook_bytes": huffman.values,
            "mark_bytes": huffman.marks,
            "table_bytes": huffman.tables,
            "csr_bytes": self.csr,
            "float_bytes": 4 * shared.weights,
            "pruned_bytes": self.pruned.bytes,
            "shared_bytes": shared.bytes,
            "huffman_bytes": huffman.bytes,
            "ans_bytes": self.ans.bytes,
        }


def stages(weight: SharedWeight) -> Stages:
    """What ``weight`` takes at each stage."""
    values = weight.values
    kept = values != 0  # a centroid may be 0, which a sparse weight has no entry for
    bits = weight.index_bits if bool(kept.all()) or weight.index_bits != 0 else None
    pruned = PrunedWeight(weight.shape, weight.positions[kept], values[kept], bits)
    return Stages(
        measured(pruned, "fixed"),
        *(measured(weight, coder) for coder in ("fixed", "huffman", "ans")),
        csr_bytes(len(weight.positions), weight.shape),
    )


def _entropy(symbols: NDArray[np.uint16]) -> float:
    counts = np.bincount(symbols)
    probabilities = counts[counts > 0] / max(1, len(symbols))
    return float(-(probabilities * np.log2(probabilities)).sum()) + 0.0  # no −0 of a single symbol
