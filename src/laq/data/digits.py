"""Handwritten digits, scanned: the UCI test set that scikit-learn brings, 1,797 images of 8 × 8."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from laq.data.dataset import Dataset
from laq.data.splits import stratified_split


def class_names(settings: Mapping[str, Any]) -> list[str]:
    """The ten digits."""
    return [str(digit) for digit in range(10)]


def make(settings: Mapping[str, Any], seed: int) -> tuple[Dataset, Dataset]:
    """Split the digits, the same share of every class; images (n, 1, 8, 8).

    settings: ``test_fraction``, the share of every class kept for testing. The scans' 17 grey
    levels are spread over 0…255.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.rint(digits.images[:, None] * (255 / 16)).astype(np.uint8)
    labels = digits.target.astype(np.int64)
    classes = tuple(class_names(settings))
    test = stratified_split(labels, classes, settings["test_fraction"], seed)
    return (
        Dataset(images[~test], labels[~test], classes),
        Dataset(images[test], labels[test], classes),
    )
