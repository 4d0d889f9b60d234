"""Labelled images: what a data set is, the kinds there are, and its files.

A kind is one module with ``make(settings, seed)``, ``class_names(settings)`` and, where
the images depend on more than settings and code, ``fingerprint(settings)``. Only NumPy is
imported here and at the top of those modules: the workflow asks for class names while it
plans, before any job.
"""

from __future__ import annotations

import importlib
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from laq.errors import ConfigError, DataError
from laq.files import atomic, read_json

KINDS = {
    "glyphs": "laq.datasets.glyphs",
    "digits": "laq.datasets.digits",
    "image_folder": "laq.datasets.folder",
}

Settings = Mapping[str, Any]

# What NumPy and zipfile raise on damaged archives; TypeError comes of a bare array in place of
# an archive.
_UNREADABLE = (
    DataError,
    OSError,
    EOFError,
    ValueError,
    TypeError,
    RuntimeError,
    zipfile.BadZipFile,
)


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
            twice = sorted({name for name in classes if classes.count(name) > 1})
            raise DataError(f"class names occur more than once: {twice}")
        if labels.min() < 0 or labels.max() >= len(classes):
            raise DataError(
                f"labels run from {labels.min()} to {labels.max()}, "
                f"but there are {len(classes)} classes"
            )


def _module(settings: Settings) -> ModuleType:
    kind = settings.get("kind")
    if kind not in KINDS:
        raise ConfigError(f"dataset: kind is {kind!r}; allowed: {', '.join(KINDS)}")
    return importlib.import_module(KINDS[kind])


def make(settings: Settings, seed: int) -> tuple[Dataset, Dataset]:
    """Make the train and test split; the same settings and seed give the same bytes.

    Raises ``ConfigError`` for settings that cannot be, ``DataError`` for files that cannot
    be used.
    """
    return _module(settings).make(settings, seed)


def class_names(settings: Settings) -> list[str]:
    """Names of the classes, in label order, without making an image."""
    return _module(settings).class_names(settings)


def fingerprint(settings: Settings) -> str:
    """What the images depend on besides settings and code: "" where that is nothing."""
    module = _module(settings)
    return module.fingerprint(settings) if hasattr(module, "fingerprint") else ""


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
    chosen = np.isin(dataset.labels, np.asarray(indices, dtype=np.int64))
    return dataset.images[chosen], dataset.labels[chosen]


def stratified_split(
    labels: np.ndarray, classes: Sequence[str], test_fraction: float, seed: int
) -> np.ndarray:
    """Choose the test images of every class at random.

    Returns bool (n,), true for test. Each class gives ``round(count · test_fraction)``
    images, at least one and not all. Raises ``DataError`` naming the classes that have
    fewer than two.
    """
    if not 0 < test_fraction < 1:
        raise ConfigError(
            f"dataset: test_fraction is {test_fraction!r}; allowed: a number between 0 and 1"
        )
    counts = np.bincount(labels, minlength=len(classes))
    if counts.min() < 2:
        few = [name for name, count in zip(classes, counts, strict=True) if count < 2]
        raise DataError(
            f"classes with fewer than two images cannot be split into train and test: {few}; "
            "add images to them or remove them"
        )
    rng = np.random.default_rng(seed)
    test = np.zeros(len(labels), dtype=bool)
    for label, count in enumerate(counts):
        take = int(np.clip(round(count * test_fraction), 1, count - 1))
        test[rng.permutation(np.flatnonzero(labels == label))[:take]] = True
    return test


def integer(settings: Settings, key: str, default: int, low: int, high: int | None = None) -> int:
    """Read a whole number between ``low`` and ``high``; raise ``ConfigError`` otherwise."""
    value = settings.get(key, default)
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or value < low or (high is not None and value > high):
        allowed = f"from {low} to {high}" if high is not None else f"of at least {low}"
        raise ConfigError(f"dataset: {key} is {value!r}; allowed: a whole number {allowed}")
    return value


def save(dataset: Dataset, path: str | os.PathLike[str]) -> None:
    """Write images and labels as npz, atomically; equal data sets give equal bytes.

    Stored without compression: noisy images do not shrink, and plain ones load at once.
    NumPy dates every member 1980-01-01, so no clock enters the file.
    """
    with atomic(path) as temporary, temporary.open("wb") as file:
        np.savez(file, images=dataset.images, labels=dataset.labels)


def load(path: str | os.PathLike[str], classes_path: str | os.PathLike[str]) -> Dataset:
    """Read what ``save`` wrote, and the class names beside it (a JSON list).

    Raises ``DataError`` naming the file that is truncated, altered or of another content.
    """
    classes = read_json(classes_path)
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise DataError(f"{classes_path} is not a list of class names: delete it and run again")
    try:
        with np.load(path, allow_pickle=False) as archive:
            if set(archive.files) != {"images", "labels"}:
                raise DataError(f"it holds {sorted(archive.files)}, expected images and labels")
            return Dataset(archive["images"], archive["labels"], tuple(classes))
    except FileNotFoundError:
        raise
    except _UNREADABLE as error:
        raise DataError(
            f"{path} does not hold this data set ({error}): delete it and run again"
        ) from error
