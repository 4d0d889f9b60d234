"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009) as published: 32 × 32 RGB images in pickles.

Images depend on no file's time or place: what is read has the official checksum or the one
that the config names, so there is no fingerprint, and ``PLACE`` says which settings only say
where the files are. To move or fetch them makes no other data set.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from laq.data import cifar_names
from laq.data.cifar_files import Official, locate, official, read
from laq.data.dataset import Dataset
from laq.data.unpickling import unpickle
from laq.utils import checksums
from laq.utils.errors import DataError

PLACE = ("path", "download")

_CLASSES = {"cifar10": cifar_names.CIFAR10, "cifar100": cifar_names.CIFAR100}
_LABELS = {"cifar10": "labels", "cifar100": "fine_labels"}
_NAMES = {"cifar10": "label_names", "cifar100": "fine_label_names"}
_PIXELS = 3 * 32 * 32


def class_names(settings: Mapping[str, Any]) -> list[str]:
    """The 10 or 100 classes; of CIFAR-100 the fine ones."""
    return list(_CLASSES[settings["kind"]])


def superclasses(settings: Mapping[str, Any]) -> dict[str, list[str]]:
    """CIFAR-100's 20 superclasses with their classes; none of CIFAR-10."""
    if settings["kind"] != "cifar100":
        return {}
    return {name: list(classes) for name, classes in cifar_names.SUPERCLASSES.items()}


def make(settings: Mapping[str, Any], seed: int) -> tuple[Dataset, Dataset]:
    """Read the train and test split in the files' order: images (n, 3, 32, 32).

    settings: ``kind``; ``path``: the archive, the extracted folder, or the folder of either;
    ``download``: fetch the archive where nothing is there; ``md5``: of files that are not the
    official ones. Raises ``DataError`` for files that are missing, of another checksum, or not
    in the format.
    """
    kind = settings["kind"]
    files = official(kind)
    source, contents = read(settings, files)
    _check_names(source, contents, files, kind)
    return tuple(_split(source, contents, members, kind) for members in (files.train, files.test))


def origin(settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The archive, or the members of its folder, that ``make`` reads."""
    files = official(settings["kind"])
    found = locate(Path(settings["path"]).expanduser(), files)
    if found is None:
        raise DataError(f"{settings['path']} was there and is gone: put the data set back")
    members = [found / name for name in files.members] if found.is_dir() else [found]
    return [checksums.of_file(member) for member in members]


def _check_names(source: Path, contents: Mapping[str, bytes], files: Official, kind: str) -> None:
    """The file numbers the classes as this module does."""
    (member,) = files.meta
    named = {_NAMES[kind]: _CLASSES[kind]}
    if kind == "cifar100":
        named["coarse_label_names"] = tuple(cifar_names.SUPERCLASSES)
    meta = _mapping(source, member, contents[member], named)
    for key, expected in named.items():
        given = meta[key]
        if not isinstance(given, Sequence) or tuple(map(_text, given)) != expected:
            raise DataError(
                f"{key} in {member} of {source} is not the {len(expected)} names of {kind}, from "
                f"{expected[0]} to {expected[-1]}: take the official files, or make yours an "
                "image_folder"
            )


def _split(
    source: Path, contents: Mapping[str, bytes], members: Iterable[str], kind: str
) -> Dataset:
    parts = [_batch(source, name, contents[name], kind) for name in members]
    images, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    classes = _CLASSES[kind]
    if empty := [name for i, name in enumerate(classes) if not (labels == i).any()]:
        raise DataError(
            f"{', '.join(members)} of {source} hold no image of {len(empty)} classes: "
            f"{', '.join(empty[:10])}{', …' * (len(empty) > 10)}; take the official files"
        )
    return Dataset(images, labels, classes)


def _batch(source: Path, name: str, content: bytes, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (n, 3, 32, 32) and labels int64 (n,) of one member."""
    wanted = ["data", _LABELS[kind]] + ["coarse_labels"] * (kind == "cifar100")
    batch = _mapping(source, name, content, wanted)
    data = batch["data"]
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.shape[1:] != (_PIXELS,):
        what = f"{data.dtype} {data.shape}" if isinstance(data, np.ndarray) else type(data).__name__
        raise DataError(
            f"data in {name} of {source} is {what}; expected uint8 (n, {_PIXELS}): "
            "take the official files"
        )
    labels = _labels(source, name, _LABELS[kind], batch, len(data), len(_CLASSES[kind]))
    if kind == "cifar100":
        coarse = _labels(source, name, "coarse_labels", batch, len(data), 20)
        if (_COARSE[labels] != coarse).any():
            row = int(np.flatnonzero(_COARSE[labels] != coarse)[0])
            raise DataError(
                f"image {row} in {name} of {source} is of class "
                f"{cifar_names.CIFAR100[labels[row]]}, but of superclass "
                f"{list(cifar_names.SUPERCLASSES)[coarse[row]]}: take the official files"
            )
    return data.reshape(-1, 3, 32, 32), labels


def _labels(
    source: Path, name: str, key: str, batch: Mapping[str, Any], n: int, classes: int
) -> np.ndarray:
    given = batch[key]
    try:
        labels = np.asarray(given)
    except ValueError:  # lists of different lengths in it
        labels = np.empty(0, dtype=object)
    whole = np.issubdtype(labels.dtype, np.integer)
    if not whole or labels.shape != (n,) or not ((labels >= 0) & (labels < classes)).all():
        raise DataError(
            f"{key} in {name} of {source} are not {n} whole numbers from 0 to {classes - 1}, one "
            "an image: take the official files"
        )
    return labels.astype(np.int64)


def _mapping(source: Path, name: str, content: bytes, keys: Iterable[str]) -> dict[str, Any]:
    """A member's pickle, which has to be a mapping with these keys, as text or as bytes."""
    try:
        found = unpickle(content)
    except DataError as error:
        raise DataError(f"{name} of {source}: {error}") from error
    if not isinstance(found, dict):
        raise DataError(f"{name} of {source} is no mapping: take the official files")
    found = {_text(key): value for key, value in found.items()}
    if missing := [key for key in keys if key not in found]:
        raise DataError(f"{name} of {source} lacks {', '.join(missing)}: take the official files")
    return found


def _text(value: Any) -> Any:
    return value.decode("latin1") if isinstance(value, bytes) else value


# The superclass of each class of CIFAR-100, as the files number both.
_COARSE = np.array(
    [
        next(i for i, members in enumerate(cifar_names.SUPERCLASSES.values()) if name in members)
        for name in cifar_names.CIFAR100
    ]
)
