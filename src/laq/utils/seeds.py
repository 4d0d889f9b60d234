"""Independent random streams from the study's one seed."""

from __future__ import annotations

import zlib

import numpy as np


def key(seed: int, *purpose: str | int) -> list[int]:
    """Entropy for numpy's ``SeedSequence``: equal for equal arguments, unrelated otherwise.

    ``purpose`` says what is drawn (``"split"``) and, in numbers or names, for what. Two draws of
    one purpose share a stream by design, since variants of a subset are compared in pairs.
    """
    entropy = [item if isinstance(item, int) else zlib.crc32(item.encode()) for item in purpose]
    # The length is part of the key: SeedSequence treats (1,) and (1, 0) alike.
    return [seed, len(entropy), *entropy]


def stream(seed: int, *purpose: str | int) -> np.random.Generator:
    """A numpy generator for ``purpose``."""
    return np.random.default_rng(key(seed, *purpose))


def of_repeat(seed: int, repeat: int) -> int:
    """The seed of a variant's n-th repeat: the study's own first, then others derived from it."""
    if repeat == 1:
        return seed
    return int(np.random.SeedSequence(key(seed, "repeat", repeat)).generate_state(1)[0])
