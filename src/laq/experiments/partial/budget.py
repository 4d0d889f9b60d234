"""Images of an arm's training: as many for any set of classes, so that all take equal steps."""

from __future__ import annotations

import numpy as np

from laq.data import Dataset
from laq.utils import seeds


def drawn(dataset: Dataset, count: int | None, seed: int, *purpose: str | int) -> Dataset:
    """``count`` images of ``dataset``, evenly of its classes; all, once each, where it is None.

    Where there are fewer, each is taken as often as any other, give or take one. Drawn for
    ``purpose`` (see ``laq.utils.seeds``).
    """
    if count is None:
        return dataset
    times, left = divmod(count, len(dataset.labels))
    order = seeds.stream(seed, "partial", *purpose).permutation(len(dataset.labels))
    labels = dataset.labels[order]
    # The first of every class, then the second of every class, and so on.
    place = np.zeros(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        own = labels == label
        place[own] = np.arange(own.sum())
    order = order[np.argsort(place, kind="stable")]
    chosen = np.concatenate([np.arange(len(labels))] * times + [np.sort(order[:left])])
    return Dataset(dataset.images[chosen], dataset.labels[chosen], dataset.classes)
