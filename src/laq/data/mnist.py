"""MNIST (LeCun et al. 1998) and Fashion-MNIST (Xiao et al. 2017), read by torchvision.

Images do not depend on the time or place of a file: every file has its published checksum. There is
therefore no fingerprint. ``PLACE`` lists the settings that only say where the files are.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from laq.data.dataset import Dataset
from laq.utils import disks, downloads
from laq.utils.errors import DataError
from laq.utils.files import expanded

PLACE = ("path", "download", "otherwise")

_FASHION = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
_CLASSES = {"mnist": tuple("0123456789"), "fashion_mnist": _FASHION}
# Where torchvision keeps the files, below a root.
_FOLDERS = {"mnist": "MNIST/raw", "fashion_mnist": "FashionMNIST/raw"}
# md5 of MNIST's files unpacked. torchvision has those of gzipped files; for Fashion-MNIST nobody
# publishes others.
_UNPACKED = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


def class_names(settings: Mapping[str, Any]) -> list[str]:
    """The ten digits, or the ten articles of clothing."""
    return list(_CLASSES[settings["kind"]])


def instead(settings: Mapping[str, Any]) -> str | None:
    """The kind of data set that replaces files that are absent and not to be fetched; else None."""
    if settings["download"] or len(_found(settings)[1]) == len(_UNPACKED):
        return None
    return settings["otherwise"]


def make(settings: Mapping[str, Any], seed: int) -> tuple[Dataset, Dataset]:
    """Read the train and test split in the files' order: images (n, 1, 28, 28).

    settings: ``kind``; ``path``: the folder of the four files, or torchvision's root; ``download``:
    fetch the files that are missing. torchvision reads them from a temporary folder, since it takes
    none that are gzipped or elsewhere than below its root.

    Raises:
        DataError: a file is missing, of another checksum, or cannot be downloaded.
        StorageError: the disk has no room for them.
    """
    from torchvision import datasets
    from torchvision.datasets.utils import check_integrity, extract_archive

    kind = settings["kind"]
    published = {"mnist": datasets.MNIST, "fashion_mnist": datasets.FashionMNIST}[kind]
    checksums = {**_UNPACKED, **dict(published.resources)}
    with disks.folder(Path(tempfile.gettempdir()), "laq-data") as root, disks.writing(root):
        raw = root / _FOLDERS[kind]
        raw.mkdir(parents=True)
        for path in _files(settings, published):
            if not check_integrity(path, checksums[path.name]):
                raise DataError(
                    f"{path} is not the published file (md5 {checksums[path.name]}): delete it, "
                    f"and set dataset.download: true or fetch it from {published.mirrors[0]}; "
                    "images of your own come as kind: image_folder"
                )
            if path.suffix == ".gz":
                extract_archive(path, raw)
            else:
                shutil.copy(path, raw)
        splits = [published(root, train=train) for train in (True, False)]
    train, test = (
        Dataset(split.data.numpy()[:, None], split.targets.numpy(), _CLASSES[kind])
        for split in splits
    )
    return train, test


def origin(settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The four files that ``make`` reads."""
    return [downloads.of_file(path) for path in _found(settings)[1].values()]


def _files(settings: Mapping[str, Any], published: Any) -> list[Path]:
    """The four files. Missing ones are fetched where the settings ask for it."""
    folder, paths = _found(settings)
    missing = [f"{name}.gz" for name in _UNPACKED if name not in paths]
    if missing and not settings["download"]:
        raise DataError(
            f"{folder.absolute()} lacks {', '.join(missing)}: set dataset.download: true, or fetch "
            f"what is missing from {published.mirrors[0]} and put it there"
        )
    for name in missing:
        urls = [f"{mirror}{name}" for mirror in published.mirrors]
        downloads.fetch(urls, folder / name, dict(published.resources)[name])
    return list(_found(settings)[1].values())


def _found(settings: Mapping[str, Any]) -> tuple[Path, dict[str, Path]]:
    """The folder with most of the four files, and their paths by name; gzipped ones come first."""
    kind, root = settings["kind"], expanded(settings["path"])
    suffixes = ("", ".gz") if kind == "mnist" else (".gz",)
    folders = [root, root / _FOLDERS[kind]]
    found = [
        {
            name: path
            for name in _UNPACKED
            for suffix in suffixes
            if (path := folder / f"{name}{suffix}").is_file()
        }
        for folder in folders
    ]
    return max(zip(folders, found, strict=True), key=lambda pair: len(pair[1]))
