"""The least number of bits that codes could take: their entropy."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from laq.utils.compiling import compiled

# Codes that span fewer values are counted in a table, others are sorted.
_COUNTERS = 2**16


def entropy(codes: Tensor) -> float:
    """Shannon entropy of the histogram of integer ``codes``, any shape, in bits a code.

    It is a lower bound of what a code takes under any coder that treats codes as independent
    draws (Shannon 1948, theorem 9). The histogram itself is not counted. It is 0 where all codes
    are equal, or there are none.
    """
    flat = codes.detach().cpu().reshape(-1).numpy()
    if not flat.size:
        return 0.0
    low, high = int(flat.min()), int(flat.max())
    if high - low < _COUNTERS:
        counts = np.zeros((4, high - low + 1), dtype=np.int64)
        _count(flat, low, counts)
        counts = counts.sum(axis=0)
    else:
        counts = np.unique(flat, return_counts=True)[1]
    probabilities = counts[counts > 0] / flat.size
    return float(-(probabilities * np.log2(probabilities)).sum()) + 0.0  # no −0 for a single value


@compiled()
def _count(codes, low, counts):
    """Count how often each code occurs, in four tables, so that equal neighbours need not wait."""
    unrolled = codes.size - codes.size % 4
    for i in range(0, unrolled, 4):
        counts[0, codes[i] - low] += 1
        counts[1, codes[i + 1] - low] += 1
        counts[2, codes[i + 2] - low] += 1
        counts[3, codes[i + 3] - low] += 1
    for i in range(unrolled, codes.size):
        counts[0, codes[i] - low] += 1
