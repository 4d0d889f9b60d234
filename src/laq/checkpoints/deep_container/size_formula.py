"""What a compressed weight takes: by the paper's formula, and counted stage by stage."""

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
    """r = nb / (n log₂ k + kb): how much smaller n = ``count`` weights of b = ``bits`` bits are.

    When they share k = ``centroids`` values (Han et al., 2016, equation 1).
    """
    return count * bits / (count * math.log2(centroids) + centroids * bits)


@dataclass(frozen=True)
class Stored:
    """One weight in one file: bytes, and entropies in bits an entry.

    coder: of ``laq.checkpoints.deep_container.coders``. weights: in all. kept: that are not pruned.
    entries: these and the fillers. centroids: 0 where weights have values of their own. index_bits:
    of a relative index, 0 where there is none. values: the codebook, or the values. marks: of lines
    that are all zeros. codes, indices: their strings. tables: of the coder for both, before the
    head is deflated. code_entropy,
    index_entropy: of their histograms (Shannon), 0 of what is not there.
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
        """Bits that the code of an entry takes in the mean; of values of their own theirs."""
        own = 0 if self.centroids else self.values
        return 8 * (self.codes + own) / max(1, self.entries)

    @property
    def bits_per_index(self) -> float:
        """Bits that the index of an entry takes in the mean."""
        return 8 * self.indices / max(1, self.entries)

    @property
    def entropy(self) -> float:
        """Bits that codes and indices would take at best, for a weight, pruned ones counted."""
        return self.entries * (self.code_entropy + self.index_entropy) / self.weights


def stored(entry: WeightEntry, weight: PrunedWeight | SharedWeight) -> Stored:
    """What ``weight`` takes in the container whose head says ``entry`` of it."""
    positions = weight.positions.numpy()
    lines = alive(positions, weight.shape) if entry.lines else None
    way = sparse_index.walked(positions, weight.shape, entry.index_bits, entry.columns, lines)
    codes = np.zeros(0, dtype=np.uint16)
    if isinstance(weight, SharedWeight):
        codes, _ = way.symbols(weight.codes.numpy(), len(weight.centroids))
    gaps = way.indices.gaps if way.indices else codes[:0]
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
    huffman, ans: both coded. csr: bytes of compressed sparse rows in the place of indices, at the
    fewest bits that their numbers fit.
    """

    pruned: Stored
    shared: Stored
    huffman: Stored
    ans: Stored
    csr: int

    def row(self) -> dict[str, Any]:
        """A row of a table of layers: numbers by name."""
        plain, coded = self.shared, self.huffman
        return {
            "weights": plain.weights,
            "kept": plain.kept,
            "fillers": plain.entries - plain.kept,
            "code_bits": plain.bits_per_code,
            "code_bits_huffman": coded.bits_per_code,
            "code_bits_ans": self.ans.bits_per_code,
            "code_entropy": coded.code_entropy,
            "index_bits": plain.bits_per_index,
            "index_bits_huffman": coded.bits_per_index,
            "index_bits_ans": self.ans.bits_per_index,
            "index_entropy": coded.index_entropy,
            "codebook_bytes": coded.values,
            "mark_bytes": coded.marks,
            "table_bytes": coded.tables,
            "csr_bytes": self.csr,
            "float_bytes": 4 * plain.weights,
            "pruned_bytes": self.pruned.bytes,
            "shared_bytes": plain.bytes,
            "huffman_bytes": coded.bytes,
            "ans_bytes": self.ans.bytes,
        }


def stages(weight: SharedWeight) -> Stages:
    """What ``weight`` takes at each stage."""
    values = weight.values
    kept = values != 0  # a centroid may be 0, which a sparse weight has no entry for
    bits = weight.index_bits if bool(kept.all()) or weight.index_bits != 0 else None
    alone = PrunedWeight(weight.shape, weight.positions[kept], values[kept], bits)
    return Stages(
        measured(alone, "fixed"),
        *(measured(weight, coder) for coder in ("fixed", "huffman", "ans")),
        csr_bytes(len(weight.positions), weight.shape),
    )


def _entropy(symbols: NDArray[np.uint16]) -> float:
    counts = np.bincount(symbols)
    shares = counts[counts > 0] / max(1, len(symbols))
    return float(-(shares * np.log2(shares)).sum()) + 0.0  # no −0 of a single symbol
