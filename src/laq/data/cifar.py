"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009) as published: 32 × 32 RGB images in pickles.

Images do not depend on the time or place of a file: what is read has the official checksum or the
one that the config gives. There is therefore no fingerprint. ``PLACE`` lists the settings that only
say where the files are. Moving or fetching the files makes no other data set.
"""

from __future__ import annotations

import hashlib
import posixpath
import tarfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from laq.data.dataset import Dataset
from laq.data.unpickling import unpickle
from laq.utils import downloads
from laq.utils.errors import DataError

# The published files of CIFAR: found, fetched, verified, and read without extracting.
#
# URLs, checksums and the members' names are torchvision's. torchvision is slow to import, so only
# the job imports it here.


# The limit of a member in bytes. The largest official one has 155 million. A few kilobytes of an
# archive may unpack to any number.
LARGEST = 2**30


@dataclass(frozen=True)
class Official:
    """What the data set's authors published, by torchvision's account."""

    url: str
    archive: str
    md5: str
    folder: str
    train: Mapping[str, str]  # member to md5
    test: Mapping[str, str]
    meta: Mapping[str, str]

    @property
    def members(self) -> dict[str, str]:
        return {**self.train, **self.test, **self.meta}


def official(kind: str) -> Official:
    """The files of ``cifar10`` or ``cifar100``."""
    from torchvision import datasets

    published = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[kind]
    return Official(
        published.url,
        published.filename,
        published.tgz_md5,
        published.base_folder,
        dict(published.train_list),
        dict(published.test_list),
        {published.meta["filename"]: published.meta["md5"]},
    )


def read(settings: Mapping[str, Any], files: Official) -> tuple[Path, dict[str, bytes]]:
    """The archive or folder at ``path``, and its members' contents, verified.

    settings: ``path``, ``md5`` (None for the official files), ``download``: fetch the archive
    where nothing is there. Raises ``DataError`` naming the file, what is wrong, and the remedy.
    """
    path = Path(settings["path"])
    try:
        path = path.expanduser()
        source = locate(path, files)
        if source is None:
            source = _target(path, files)
            _fetch(source, settings, files)
        if source.is_dir():
            return source, _from_folder(source, settings["md5"], files)
        return source, _from_archive(source, settings["md5"], files)
    # RuntimeError: ~ with an unknown user. ValueError: a name that no system allows.
    except (OSError, RuntimeError, ValueError) as error:
        raise DataError(f"{path.absolute()} cannot be read or written: {error}") from error


def locate(path: Path, files: Official) -> Path | None:
    """The archive or the folder of members that ``path`` is or contains, if there is one."""
    if path.is_file():
        return path
    candidates = (path / files.archive, path / files.folder)
    if any((path / name).exists() for name in files.members):
        return path
    return next((candidate for candidate in candidates if candidate.exists()), None)


def _target(path: Path, files: Official) -> Path:
    """Where the archive belongs: ``path`` itself where it has an archive's name."""
    return path if path.name.endswith((".tar.gz", ".tgz")) else path / files.archive


def _fetch(target: Path, settings: Mapping[str, Any], files: Official) -> None:
    """Download the official archive: ``target`` appears whole and verified or not at all."""
    if not settings["download"]:
        raise DataError(
            f"neither {target.absolute()} nor a folder {files.folder} is there: set "
            f"dataset.download: true, or fetch {files.url} and put it at {target.absolute()}"
        )
    if settings["md5"] not in (None, files.md5):
        raise DataError(
            f"there is no file at {target.absolute()}, and dataset.md5 is not the official "
            f"archive's ({files.md5}), the one that can be downloaded: put your archive there, "
            "or leave dataset.md5 out"
        )
    downloads.fetch([files.url], target, files.md5, "the archive")


def _from_archive(archive: Path, md5: str | None, files: Official) -> dict[str, bytes]:
    """Members of a tar archive whose md5 is right, read in memory."""
    from torchvision.datasets.utils import calculate_md5

    _verify(archive, calculate_md5(archive), md5, files.md5, files)
    contents = {}
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                folder, name = posixpath.split(posixpath.normpath(member.name))
                if folder == files.folder and name in files.members and member.isfile():
                    if member.size > LARGEST:
                        raise DataError(
                            f"{name} in {archive} is of {member.size:,} bytes, where the largest "
                            f"has {LARGEST:,} at most: take the official files"
                        )
                    contents[name] = tar.extractfile(member).read()
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise DataError(f"{archive} is no readable tar archive: {error}") from error
    _complete(contents, f"{archive} has no {files.folder}/", files)
    return contents


def _from_folder(folder: Path, md5: str | None, files: Official) -> dict[str, bytes]:
    """Members in a folder: each has the official md5, or all together have the given one."""
    names = [name for name in files.members if (folder / name).is_file()]
    _complete(names, f"{folder} lacks ", files)
    contents = {name: (folder / name).read_bytes() for name in names}
    if md5 is None:
        for name, expected in files.members.items():
            if (digest := _md5(contents[name])) != expected:
                raise DataError(
                    f"{folder / name} is not the official file: its md5 is {digest}, not "
                    f"{expected}. If it is damaged, take the folder away and {_again(files)}; if "
                    f"these are files of your own, set dataset.md5: {_of_all(contents, files)}"
                )
    else:
        _verify(folder, _of_all(contents, files), md5, "", files)
    return contents


def _verify(path: Path, found: str, md5: str | None, expected: str, files: Official) -> None:
    if md5 is None and found != expected:
        raise DataError(
            f"{path} is not the official archive: its md5 is {found}, not {expected}. If it is "
            f"cut short or damaged, delete it and {_again(files)}; if it is an archive of your "
            f"own, set dataset.md5: {found}"
        )
    if md5 is not None and found != md5.lower():
        raise DataError(
            f"the md5 of {path} is {found}, and dataset.md5 says {md5}: if the file is as you "
            "mean it, write the former, else bring the file that you mean; without dataset.md5 "
            "the official one is expected"
        )


def _complete(there: Any, lacking: str, files: Official) -> None:
    if missing := [name for name in files.members if name not in there]:
        raise DataError(
            f"{lacking}{', '.join(missing)}: take all members, {', '.join(files.members)}, "
            f"or take it away and {_again(files)}"
        )


def _again(files: Official) -> str:
    return f"fetch {files.url} anew (dataset.download: true does so where nothing is there)"


def _of_all(contents: Mapping[str, bytes], files: Official) -> str:
    """The md5 of all members in the official order, as ``cat`` and ``md5sum`` give it."""
    return _md5(b"".join(contents[name] for name in files.members))


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


# Class names of CIFAR-10 and CIFAR-100 (Krizhevsky 2009), in label order.
#
# The workflow needs them while it plans, when the files may not exist yet.


CIFAR10 = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)

SUPERCLASSES = {
    name: tuple(classes.split())
    for name, classes in {
        "aquatic_mammals": "beaver dolphin otter seal whale",
        "fish": "aquarium_fish flatfish ray shark trout",
        "flowers": "orchid poppy rose sunflower tulip",
        "food_containers": "bottle bowl can cup plate",
        "fruit_and_vegetables": "apple mushroom orange pear sweet_pepper",
        "household_electrical_devices": "clock keyboard lamp telephone television",
        "household_furniture": "bed chair couch table wardrobe",
        "insects": "bee beetle butterfly caterpillar cockroach",
        "large_carnivores": "bear leopard lion tiger wolf",
        "large_man-made_outdoor_things": "bridge castle house road skyscraper",
        "large_natural_outdoor_scenes": "cloud forest mountain plain sea",
        "large_omnivores_and_herbivores": "camel cattle chimpanzee elephant kangaroo",
        "medium_mammals": "fox porcupine possum raccoon skunk",
        "non-insect_invertebrates": "crab lobster snail spider worm",
        "people": "baby boy girl man woman",
        "reptiles": "crocodile dinosaur lizard snake turtle",
        "small_mammals": "hamster mouse rabbit shrew squirrel",
        "trees": "maple_tree oak_tree palm_tree pine_tree willow_tree",
        "vehicles_1": "bicycle bus motorcycle pickup_truck train",
        "vehicles_2": "lawn_mower rocket streetcar tank tractor",
    }.items()
}

CIFAR100 = tuple(sorted(name for classes in SUPERCLASSES.values() for name in classes))


PLACE = ("path", "download")

_CLASSES = {"cifar10": CIFAR10, "cifar100": CIFAR100}
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
    return {name: list(classes) for name, classes in SUPERCLASSES.items()}


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
    source = locate(Path(settings["path"]).expanduser(), files)
    if source is None:
        raise DataError(f"{settings['path']} was there and is gone: put the data set back")
    members = [source / name for name in files.members] if source.is_dir() else [source]
    return [downloads.of_file(member) for member in members]


def _check_names(source: Path, contents: Mapping[str, bytes], files: Official, kind: str) -> None:
    """Check that the file numbers the classes as this module does."""
    (member,) = files.meta
    fields = {_NAMES[kind]: _CLASSES[kind]}
    if kind == "cifar100":
        fields["coarse_label_names"] = tuple(SUPERCLASSES)
    meta = _mapping(source, member, contents[member], fields)
    for key, expected in fields.items():
        names = meta[key]
        if not isinstance(names, Sequence) or tuple(map(_text, names)) != expected:
            raise DataError(
                f"{key} in {member} of {source} is not the {len(expected)} names of {kind}, from "
                f"{expected[0]} to {expected[-1]}: take the official files, or make yours an "
                "image_folder"
            )


def _split(
    source: Path, contents: Mapping[str, bytes], members: Iterable[str], kind: str
) -> Dataset:
    batches = [_batch(source, name, contents[name], kind) for name in members]
    images, labels = (np.concatenate(arrays) for arrays in zip(*batches, strict=True))
    classes = _CLASSES[kind]
    if missing := [name for i, name in enumerate(classes) if not (labels == i).any()]:
        raise DataError(
            f"{', '.join(members)} of {source} hold no image of {len(missing)} classes: "
            f"{', '.join(missing[:10])}{', …' * (len(missing) > 10)}; take the official files"
        )
    return Dataset(images, labels, classes)


def _batch(source: Path, name: str, content: bytes, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (n, 3, 32, 32) and labels int64 (n,) of one member."""
    keys = ["data", _LABELS[kind]] + ["coarse_labels"] * (kind == "cifar100")
    batch = _mapping(source, name, content, keys)
    data = batch["data"]
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.shape[1:] != (_PIXELS,):
        form = f"{data.dtype} {data.shape}" if isinstance(data, np.ndarray) else type(data).__name__
        raise DataError(
            f"data in {name} of {source} is {form}; expected uint8 (n, {_PIXELS}): "
            "take the official files"
        )
    labels = _labels(source, name, _LABELS[kind], batch, len(data), len(_CLASSES[kind]))
    if kind == "cifar100":
        coarse = _labels(source, name, "coarse_labels", batch, len(data), 20)
        if (_COARSE[labels] != coarse).any():
            row = int(np.flatnonzero(_COARSE[labels] != coarse)[0])
            raise DataError(
                f"image {row} in {name} of {source} is of class "
                f"{CIFAR100[labels[row]]}, but of superclass "
                f"{list(SUPERCLASSES)[coarse[row]]}: take the official files"
            )
    return data.reshape(-1, 3, 32, 32), labels


def _labels(
    source: Path, name: str, key: str, batch: Mapping[str, Any], n: int, classes: int
) -> np.ndarray:
    values = batch[key]
    try:
        labels = np.asarray(values)
    except ValueError:  # lists of different lengths in it
        labels = np.empty(0, dtype=object)
    integral = np.issubdtype(labels.dtype, np.integer)
    if not integral or labels.shape != (n,) or not ((labels >= 0) & (labels < classes)).all():
        raise DataError(
            f"{key} in {name} of {source} are not {n} whole numbers from 0 to {classes - 1}, one "
            "an image: take the official files"
        )
    return labels.astype(np.int64)


def _mapping(source: Path, name: str, content: bytes, keys: Iterable[str]) -> dict[str, Any]:
    """A member's pickle, which has to be a mapping with these keys, as text or as bytes."""
    try:
        mapping = unpickle(content)
    except DataError as error:
        raise DataError(f"{name} of {source}: {error}") from error
    if not isinstance(mapping, dict):
        raise DataError(f"{name} of {source} is no mapping: take the official files")
    mapping = {_text(key): value for key, value in mapping.items()}
    if missing := [key for key in keys if key not in mapping]:
        raise DataError(f"{name} of {source} lacks {', '.join(missing)}: take the official files")
    return mapping


def _text(value: Any) -> Any:
    return value.decode("latin1") if isinstance(value, bytes) else value


# The superclass of each class of CIFAR-100, as the files number both.
_COARSE = np.array(
    [
        next(i for i, members in enumerate(SUPERCLASSES.values()) if name in members)
        for name in CIFAR100
    ]
)
