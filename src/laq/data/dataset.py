"""Labelled images in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from laq.utils.errors import DataError

# What is known of a data set before an image of it is read.


@dataclass(frozen=True, eq=False)
class Survey:
    """classes: names, in label order. training, testing: images of each class, int64 (classes,);
    None where only the files say. image_bytes: of one image in memory.

    remarks: warnings about it. fingerprint: see ``laq.data.sources.fingerprint``.
    """

    classes: Sequence[str]
    training: np.ndarray | None = None
    testing: np.ndarray | None = None
    image_bytes: int = 0
    remarks: Sequence[str] = ()
    fingerprint: str = ""

    @property
    def megabytes(self) -> int:
        """Megabytes of all images together, rounded up; 0 where that is not known."""
        if self.training is None or self.testing is None:
            return 0
        return -(-int(self.training.sum() + self.testing.sum()) * self.image_bytes // 10**6)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images with one label each.

    images: uint8 (n, channels, height, width), 0…255; labels: int64 (n,), indices into
    classes; classes: distinct names. Raises ``DataError`` where this does not hold.
    """

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        images, labels, classes = self.images, self.labels, self.classes
        if images.dtype != np.uint8 or images.ndim != 4 or 0 in images.shape:
            raise DataError(
                f"images are {images.dtype} {images.shape}; "
                "expected non-empty uint8 (n, channels, height, width)"
            )
        if labels.dtype != np.int64 or labels.shape != images.shape[:1]:
            raise DataError(
                f"labels are {labels.dtype} {labels.shape}; expected int64 {images.shape[:1]}"
            )
        if len(set(classes)) != len(classes):
            repeated = sorted({name for name in classes if classes.count(name) > 1})
            raise DataError(f"class names occur more than once: {repeated}")
        if labels.min() < 0 or labels.max() >= len(classes):
            raise DataError(
                f"labels run from {labels.min()} to {labels.max()}, "
                f"but there are {len(classes)} classes"
            )


def of_classes(dataset: Dataset, indices: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of the classes with these indices, in the data set's order.

    Labels stay indices into all classes. Raises ``DataError`` for an index that is no class.
    """
    unknown = sorted(set(indices) - set(range(len(dataset.classes))))
    if unknown:
        raise DataError(
            f"class indices {unknown} are outside 0…{len(dataset.classes) - 1}: "
            "they belong to another data set"
        )
    mask = np.isin(dataset.labels, np.asarray(indices, dtype=np.int64))
    return dataset.images[mask], dataset.labels[mask]


def only(dataset: Dataset, indices: Sequence[int]) -> Dataset:
    """The data set without images of other classes, which remain among its classes.

    It is the same object where the indices are all classes. Raises as ``of_classes``.
    """
    if set(indices) == set(range(len(dataset.classes))):
        return dataset
    return Dataset(*of_classes(dataset, indices), dataset.classes)
