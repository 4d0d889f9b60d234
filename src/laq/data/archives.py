"""A data set's files: images and labels as npz, class names as a JSON list beside them."""

from __future__ import annotations

import os
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from laq.data.dataset import Dataset
from laq.utils import disks
from laq.utils.errors import DataError
from laq.utils.files import AGAIN, atomic, read_json

_MEMBERS = {"images.npy", "labels.npy"}

# What NumPy and zipfile raise on damaged archives; TypeError comes of a bare array in place of
# an archive. A header that claims more numbers than there are gives MemoryError.
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


def load(
    path: str | os.PathLike[str], classes_path: str | os.PathLike[str], whole: bool = True
) -> Dataset:
    """Read what ``save`` wrote, and the class names beside it (a JSON list).

    whole: check that every class has an image, as in a data set. Images made for some classes do
    not have that.

    Raises ``DataError`` naming the file that is missing, truncated, altered or of another content.
    """
    classes = load_names(classes_path)
    with _opened(path) as archive:
        dataset = Dataset(archive["images"], archive["labels"], tuple(classes))
        missing = sorted(set(range(len(classes))) - set(np.unique(dataset.labels).tolist()))
        if whole and missing:
            raise DataError(f"no image is of the class {classes[missing[0]]!r} of {classes_path}")
        return dataset


def load_labels(path: str | os.PathLike[str]) -> NDArray[np.int64]:
    """The labels alone (n,). Raises ``DataError`` as ``load`` does."""
    with _opened(path) as archive:
        labels = archive["labels"]
        if labels.dtype != np.int64 or labels.ndim != 1 or not len(labels):
            raise DataError(f"labels are {labels.dtype} {labels.shape}; expected int64 (n,)")
        return labels


def load_names(path: str | os.PathLike[str]) -> list[str]:
    """Names of the classes, by index. Raises ``DataError`` for a file that is no such list."""
    names = read_json(path)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{path} is not a list of class names: {AGAIN}")
    if repeated := sorted(name for name, count in Counter(names).items() if count > 1):
        raise DataError(f"{path} names a class more than once ({', '.join(repeated)}): {AGAIN}")
    return names


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[np.lib.npyio.NpzFile]:
    """Open the archive. An error from it, also while the block reads its arrays, names the file."""
    try:
        # This project writes no compressed members. They could unpack to any size.
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
        if {member.filename for member in members} != _MEMBERS or len(members) != len(_MEMBERS):
            names = sorted(member.filename for member in members)
            raise DataError(f"it holds {names}, expected images and labels")
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise DataError("its arrays are compressed, and this workflow does not write them so")
        with np.load(path, allow_pickle=False) as archive:
            yield archive
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist: run the rule that makes it") from error
    except MemoryError as error:
        raise DataError(
            f"{path} does not hold this data set, or memory is short ({error}): give the job more "
            f"memory, or {AGAIN}"
        ) from error
    except _UNREADABLE as error:
        disks.check_reading(error, path)
        raise DataError(f"{path} does not hold this data set ({error}): {AGAIN}") from error
