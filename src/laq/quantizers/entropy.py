"""The least number of bits that codes could take: their entropy."""

from __future__ import annotations

import numpy as np
from torch import Tensor

# Codes that span fewer values are counted in a table, others are sorted.
_COUNTERS = 2**16
_PIECE = 2**20  # codes that are counted at a time


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
        counts = sum(
            np.bincount(piece.astype(np.int64) - low, minlength=high - low + 1)
            for piece in np.array_split(flat, -(-flat.size // _PIECE))
        )
    else:
        counts = np.unique(flat, return_counts=True)[1]
    probabilities = counts[counts > 0] / flat.size
    return float(-(probabilities * np.log2(probabilities)).sum()) + 0.0  # no −0 for a single value
