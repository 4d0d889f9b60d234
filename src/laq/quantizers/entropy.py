"""How few bits codes could take."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from laq.utils.compiling import compiled

# Codes that span fewer values are counted, others sorted.
_COUNTERS = 2**16


def entropy(codes: Tensor) -> float:
    """Shannon entropy of the histogram of integer ``codes``, any shape, in bits a code.

    It bounds from below what a code takes under any coder that treats codes as independent
    draws (Shannon 1948, theorem 9), the histogram itself not counted; 0 for codes all equal,
    or none.
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
    shares = counts[counts > 0] / flat.size
    return float(-(shares * np.log2(shares)).sum()) + 0.0  # no −0 for a single value


@compiled()
def _count(codes, low, counts):
    """Add up how often each code occurs, in four tables: equal neighbours need not wait."""
    fours = codes.size - codes.size % 4
    for i in range(0, fours, 4):
        counts[0, codes[i] - low] += 1
        counts[1, codes[i + 1] - low] += 1
        counts[2, codes[i + 2] - low] += 1
        counts[3, codes[i + 3] - low] += 1
    for i in range(fours, codes.size):
        counts[0, codes[i] - low] += 1
