"""A data set's files: images and labels as npz, class names as a JSON list beside them."""

from __future__ import annotations

import os
import zipfile

import numpy as np

from laq.datasets.dataset import Dataset
from laq.errors import DataError
from laq.files import atomic, read_json

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
