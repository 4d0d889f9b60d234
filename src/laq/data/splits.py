"""The choice of test images, for data sets that have none of their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from laq.utils.errors import DataError
from laq.utils.seeds import stream


def testing_counts(counts: np.ndarray, classes: Sequence[str], test_fraction: float) -> np.ndarray:
    """How many images of each class are for testing, int64 (classes,).

    It is ``round(count · test_fraction)``, but at least one and not all. counts: images of each
    class, (classes,). Raises ``DataError`` naming the classes that have fewer than two.
    """
    if counts.min() < 2:
        names = [name for name, count in zip(classes, counts, strict=True) if count < 2]
        raise DataError(
            f"classes with fewer than two images cannot be split into train and test: {names}; "
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

    labels: int64 (n,), indices into classes; test_fraction: between 0 and 1, both excluded. groups:
    int64 (n,), equal for images that belong into one split, such as copies; each by itself where
    not given.

    Returns bool (n,), true for test. Each class gives as many as ``testing_counts`` says where its
    groups allow it. A class whose images are all of one group is split through it, since no class
    may lack test or training images. Raises ``DataError`` as ``testing_counts``.
    """
    counts = np.bincount(labels, minlength=len(classes))
    test_counts = testing_counts(counts, classes, test_fraction)
    rng = stream(seed, "split")
    orders = [rng.permutation(np.flatnonzero(labels == label)) for label in range(len(classes))]
    groups = np.arange(len(labels)) if groups is None else groups
    chosen: dict[int, bool] = {}
    for order, count in zip(orders, test_counts, strict=True):
        _choose(groups[order].tolist(), int(count), chosen)
    test = np.array([chosen[group] for group in groups.tolist()])
    for order, count in zip(orders, test_counts, strict=True):
        if test[order].all() or not test[order].any():
            test[order] = np.arange(len(order)) < count
    return test


def _choose(groups: Sequence[int], most: int, chosen: dict[int, bool]) -> None:
    """Add to ``chosen`` whether each group of one class is for testing.

    groups: of the class's images, in the order in which they are drawn. ``most``: how many images
    are to be for testing. Groups that another class has chosen stay as they are.
    """
    sizes = Counter(groups)
    total = sum(size for group, size in sizes.items() if chosen.get(group))
    undecided = [group for group in sizes if group not in chosen]
    for group in undecided:
        chosen[group] = total + sizes[group] <= most
        total += sizes[group] * chosen[group]
    if not total and len(undecided) > 1:  # every group is larger than ``most``
        chosen[min(undecided, key=sizes.__getitem__)] = True
