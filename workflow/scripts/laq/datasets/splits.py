"""The choice of test images, for data sets that have none of their own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from laq.errors import DataError
from laq.seeds import stream


def stratified_split(
    labels: np.ndarray, classes: Sequence[str], test_fraction: float, seed: int
) -> np.ndarray:
    """Choose the test images of every class at random.

    labels: int64 (n,), indices into classes; test_fraction: between 0 and 1, both excluded.
    Returns bool (n,), true for test. Each class gives ``round(count · test_fraction)``
    images, at least one and not all. Raises ``DataError`` naming the classes that have
    fewer than two.
    """
    counts = np.bincount(labels, minlength=len(classes))
    if counts.min() < 2:
        few = [name for name, count in zip(classes, counts, strict=True) if count < 2]
        raise DataError(
            f"classes with fewer than two images cannot be split into train and test: {few}; "
            "add images to them or remove them"
        )
    rng = stream(seed, "split")
    test = np.zeros(len(labels), dtype=bool)
    for label, count in enumerate(counts):
        take = int(np.clip(round(count * test_fraction), 1, count - 1))
        test[rng.permutation(np.flatnonzero(labels == label))[:take]] = True
    return test
