"""MNIST (LeCun et al. 1998) and Fashion-MNIST (Xiao et al. 2017): four IDX files, gzipped or not.

Images do not depend on the time or place of a file: what is read has the official checksums or the
one that the config gives. There is therefore no fingerprint. ``PLACE`` lists the settings that only
say where the files are. URLs and checksums are torchvision's. torchvision is slow to import, so
only the job imports it here.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from laq.data.dataset import Dataset
from laq.utils import downloads
from laq.utils.errors import DataError

# IDX, the format of MNIST's files: a magic number, the lengths of all axes, and the values.
#
# http://yann.lecun.com/exdb/mnist/ describes it; numbers are big-endian. Only unsigned bytes are
# read, the type of every file of MNIST's kind.


# The limit of a file's content in bytes. The largest official one has 47 million. A few kilobytes
# of gzip may unpack to any number.
LARGEST = 2**30

_UNSIGNED_BYTES = 0x08
_MOST = {1: "labels", 3: "images"}


def content(path: Path) -> bytes:
    """A file's content, unpacked if it is gzipped. Its first bytes say so, not its name.

    Raises ``DataError`` for a damaged gzip file or one of more than ``LARGEST`` bytes, ``OSError``
    for one that cannot be read.
    """
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    try:
        with (gzip.open if zipped else open)(path, "rb") as file:
            data = file.read(LARGEST + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(
            f"{path} is cut short or damaged ({error}): delete it and fetch it anew"
        ) from error
    if len(data) > LARGEST:
        raise DataError(f"{path} holds more than {LARGEST:,} bytes: take the official file")
    return data


def parse(found: bytes, axes: int, path: Path) -> np.ndarray:
    """The array in an IDX file's content: uint8 with so many axes, 1 of labels and 3 of images.

    path: the file's, for messages. Raises ``DataError`` for anything else, and for content that is
    shorter or longer than it says.
    """
    expected = struct.pack(">HBB", 0, _UNSIGNED_BYTES, axes)
    start = 4 * (1 + axes)
    if found[:4] != expected:
        raise DataError(
            f"{path} begins with {found[:4].hex() or 'nothing'}, and an IDX file of {_MOST[axes]} "
            f"with {expected.hex()}: {_meant(found[:4], path)}"
        )
    if len(found) < start:
        raise DataError(f"{path} is cut short in its header: delete it and fetch it anew")
    shape = struct.unpack(f">{axes}I", found[4:start])
    if len(found) - start != math.prod(shape):
        sizes = " × ".join(f"{length:,}" for length in shape)
        raise DataError(
            f"{path} says that it has {sizes} values, and has {len(found) - start:,}: it was cut "
            "short or altered; delete it and fetch it anew"
        )
    return np.frombuffer(found, np.uint8, offset=start).reshape(shape)


def _meant(magic: bytes, path: Path) -> str:
    kind = next(
        (name for axes, name in _MOST.items() if magic == struct.pack(">HBB", 0, 8, axes)), None
    )
    if kind is not None:
        return f"it holds {kind}; give each file its own name back"
    return (
        f"delete it and fetch it anew, or, if {path.name} is of another format, take image_folder"
    )


PLACE = ("path", "download", "otherwise")
SIDE = 28

_FASHION = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
_CLASSES = {"mnist": tuple("0123456789"), "fashion_mnist": _FASHION}
_FILES = {"train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")}
_FILES["test"] = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
_NAMES = (*_FILES["train"], *_FILES["test"])
# Where torchvision keeps them, below a root.
_FOLDERS = {"mnist": "MNIST/raw", "fashion_mnist": "FashionMNIST/raw"}
# sha256 of the official files' unpacked content. For Fashion-MNIST nobody publishes them.
_UNPACKED = {
    ("mnist", name): digest
    for name, digest in zip(
        _NAMES,
        (
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
        strict=True,
    )
}


@dataclass(frozen=True)
class OfficialFile:
    """Where the gzipped files are published, and their md5 by name, by torchvision's account."""

    mirrors: tuple[str, ...]
    md5: Mapping[str, str]

    def urls(self, name: str) -> list[str]:
        return [f"{mirror}{name}.gz" for mirror in self.mirrors]


def official(kind: str) -> OfficialFile:
    """The files of ``mnist`` or ``fashion_mnist``."""
    from torchvision import datasets

    published = {"mnist": datasets.MNIST, "fashion_mnist": datasets.FashionMNIST}[kind]
    md5 = {name.removesuffix(".gz"): md5 for name, md5 in published.resources}
    return OfficialFile(tuple(published.mirrors), md5)


def class_names(settings: Mapping[str, Any]) -> list[str]:
    """The ten digits, or the ten articles of clothing."""
    return list(_CLASSES[settings["kind"]])


def instead(settings: Mapping[str, Any]) -> str | None:
    """The kind of data set that replaces files that are absent and not to be fetched; else None."""
    if settings["otherwise"] is None or settings["download"]:
        return None
    return None if len(_found(settings)[1]) == len(_NAMES) else settings["otherwise"]


def make(settings: Mapping[str, Any], seed: int) -> tuple[Dataset, Dataset]:
    """Read the train and test split in the files' order: images (n, 1, 28, 28).

    settings: ``kind``; ``path``: the folder of the four files, or the root that torchvision was
    given; ``download``: fetch what is missing; ``md5``: of files that are not the official ones.
    Raises ``DataError`` for files that are missing, of another checksum, or not in the format.
    """
    files = official(settings["kind"])
    try:
        paths = _there(settings, files)
        contents = {name: content(path) for name, path in paths.items()}
    # RuntimeError: ~ with an unknown user. ValueError: a name that no system allows.
    except (OSError, RuntimeError, ValueError) as error:
        raise DataError(f"{settings['path']} cannot be read or written: {error}") from error
    classes = _CLASSES[settings["kind"]]
    splits = [_split(paths, contents, *names, classes) for names in _FILES.values()]
    _verify(settings, paths, contents, files)
    train, test = splits
    return train, test


def origin(settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The four files that ``make`` reads."""
    paths = _there({**settings, "download": False}, official(settings["kind"]))
    return [downloads.of_file(path) for path in paths.values()]


def _there(settings: Mapping[str, Any], files: OfficialFile) -> dict[str, Path]:
    """The four files' paths by name. Missing files are fetched where the settings ask for it."""
    folder, paths = _found(settings)
    missing = [name for name in _NAMES if name not in paths]
    if missing and not settings["download"]:
        names = ", ".join(f"{name}.gz" for name in missing)
        raise DataError(
            f"{folder.absolute()} lacks {names}: set dataset.download: true, or fetch "
            f"{'them' if len(missing) > 1 else 'it'} from {files.mirrors[0]} and put "
            f"{'them' if len(missing) > 1 else 'it'} there, packed or unpacked"
        )
    if missing and settings["md5"] is not None:
        raise DataError(
            f"{folder.absolute()} lacks {', '.join(missing)}, and files with the md5 of "
            "dataset.md5 cannot be downloaded: put yours there, or leave dataset.md5 out"
        )
    for name in missing:
        target = folder / f"{name}.gz"
        downloads.fetch(files.urls(name), target, files.md5[name], target.name)
        paths[name] = target
    return {name: paths[name] for name in _NAMES}


def _found(settings: Mapping[str, Any]) -> tuple[Path, dict[str, Path]]:
    """The folder with most of the four files, and their paths by name."""
    root = Path(settings["path"]).expanduser()
    if root.is_file():
        raise DataError(f"{root.absolute()} is a file: dataset.path is the folder of all four")
    folders = [root, root / _FOLDERS[settings["kind"]], root / "raw"]
    matches = [{name: p for name in _NAMES if (p := _file(folder, name))} for folder in folders]
    return max(zip(folders, matches, strict=True), key=lambda pair: len(pair[1]))


def _file(folder: Path, name: str) -> Path | None:
    """The file of this name. A packed one comes first; a dot in place of the hyphen is allowed."""
    dotted = name.replace("-idx", ".idx")
    candidates = (folder / variant for variant in (f"{name}.gz", name, f"{dotted}.gz", dotted))
    return next((path for path in candidates if path.is_file()), None)


def _split(
    paths: Mapping[str, Path],
    contents: Mapping[str, bytes],
    images_name: str,
    labels_name: str,
    classes: tuple[str, ...],
) -> Dataset:
    images = parse(contents[images_name], 3, paths[images_name])
    labels = parse(contents[labels_name], 1, paths[labels_name])
    if images.shape[1:] != (SIDE, SIDE):
        raise DataError(
            f"{paths[images_name]} holds images of {images.shape[1]} × {images.shape[2]} pixels, "
            f"not {SIDE} × {SIDE}: take the official files, or make yours an image_folder"
        )
    if len(images) != len(labels):
        raise DataError(
            f"{paths[labels_name]} holds {len(labels):,} labels for the {len(images):,} images of "
            f"{paths[images_name]}: they are of different data sets; fetch both anew"
        )
    absent = sorted(set(range(len(classes))) - set(labels.tolist()))
    if labels.size and labels.max() >= len(classes):
        raise DataError(
            f"{paths[labels_name]} holds the label {labels.max()}, and labels run from 0 to "
            f"{len(classes) - 1}: take the official files"
        )
    if absent:
        raise DataError(
            f"{paths[labels_name]} holds no label {', '.join(map(str, absent))}: take the official "
            "files, or make yours an image_folder"
        )
    # A copy: an array on the file's content is read-only, and keeps all of it in memory.
    return Dataset(images[:, None].copy(), labels.astype(np.int64), classes)


def _verify(
    settings: Mapping[str, Any],
    paths: Mapping[str, Path],
    contents: Mapping[str, bytes],
    files: OfficialFile,
) -> None:
    """Check that the files are the official ones, or that their content has the config's md5."""
    digest = _md5(b"".join(contents.values()))
    if settings["md5"] is not None:
        if digest != settings["md5"].lower():
            raise DataError(
                f"what the four files in {paths[_NAMES[0]].parent} hold has the md5 "
                f"{digest}, and dataset.md5 says {settings['md5']}: if the files are as "
                "you mean them, write the former, else bring those that you mean; without "
                "dataset.md5 the official ones are expected"
            )
        return
    for name, path in paths.items():
        sha256 = hashlib.sha256(contents[name]).hexdigest()
        is_official = sha256 == _UNPACKED.get((settings["kind"], name))
        if not is_official and _md5(path.read_bytes()) != files.md5[name]:
            raise DataError(
                f"{path} is not the official file. If it is damaged, delete it and fetch "
                f"{files.urls(name)[0]} (dataset.download: true does so where nothing is there); "
                f"if these are files of your own, set dataset.md5: {digest}"
            )


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
