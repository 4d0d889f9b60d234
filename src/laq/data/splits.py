"""The choice of test images, for data sets that have none of their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from laq.utils.errors import DataError
from laq.utils.seeds import stream


def testing_counts(counts: np.ndarray, classes: Sequence[str], test_fraction: float) -> np.ndarray:
    """How many images of each class are for testing: ``round(count · test_fraction)``, at least
    one and not all; int64 (classes,).

    counts: images of each class, (classes,). Raises ``DataError`` naming the classes that have
    fewer than two.
    """
    if counts.min() < 2:
        few = [name for name, count in zip(classes, counts, strict=True) if count < 2]
        raise DataError(
            f"classes with fewer than two images cannot be split into train and test: {few}; "
            "add images to them or remove them"
        )
    return np.clip(np.rint(counts * test_fraction), 1, counts - 1).astype(np.int64)


def stratified_split(
    labels: np.ndarray,
    classes: Sequence[str],
    test_fraction: float,
    seed: int,
    groups: np.ndarray | None = None,
) -> np.ndarray:
    """Choose the test images of every class at random.

    labels: int64 (n,), indices into classes; test_fraction: between 0 and 1, both excluded.
    groups: int64 (n,), equal for images that belong into one split, such as copies; each by itself
    where not given.

    Returns bool (n,), true for test. Each class gives as many as ``testing_counts`` says where its
    groups allow it; a class whose images are all of one group is split through it, since no class
    may lack test or training images. Raises ``DataError`` as ``testing_counts``.
    """
    counts = np.bincount(labels, minlength=len(classes))
    wanted = testing_counts(counts, classes, test_fraction)
    rng = stream(seed, "split")
    orders = [rng.permutation(np.flatnonzero(labels == label)) for label in range(len(classes))]
    groups = np.arange(len(labels)) if groups is None else groups
    chosen: dict[int, bool] = {}
    for order, most in zip(orders, wanted, strict=True):
        _choose(groups[order].tolist(), int(most), chosen)
    test = np.array([chosen[group] for group in groups.tolist()])
    for order, most in zip(orders, wanted, strict=True):
        if test[order].all() or not test[order].any():
            test[order] = np.arange(len(order)) < most
    return test


def _choose(groups: Sequence[int], most: int, chosen: dict[int, bool]) -> None:
    """Add to ``chosen`` whether each group of one class is for testing.

    groups: of the class's images, in the order in which they are drawn; ``most``: how many images
    are wanted. Groups that another class has chosen stay as they are.
    """
    sizes = Counter(groups)
    taken = sum(size for group, size in sizes.items() if chosen.get(group))
    free = [group for group in sizes if group not in chosen]
    for group in free:
        chosen[group] = taken + sizes[group] <= most
        taken += sizes[group] * chosen[group]
    if not taken and len(free) > 1:  # every group is larger than what is wanted
        chosen[min(free, key=sizes.__getitem__)] = True
