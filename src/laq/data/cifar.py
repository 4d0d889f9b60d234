"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009), read by torchvision: 32 × 32 RGB images in pickles.

torchvision loads no pickle whose md5 is not the published one. Images therefore do not depend on
the time or place of a file, and there is no fingerprint. ``PLACE`` lists the settings that only say
where the files are.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from laq.data.dataset import Dataset
from laq.utils import disks, downloads
from laq.utils.errors import DataError
from laq.utils.files import expanded

PLACE = ("path", "download")

# Class names in label order. The workflow needs them while it plans, when there may be no file.
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

_CLASSES = {"cifar10": CIFAR10, "cifar100": CIFAR100}


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

    settings: ``kind``; ``path``: the archive, the folder extracted from it, or the folder of
    either; ``download``: fetch the archive where neither is there. Without the extracted folder the
    archive is extracted to a temporary one, 190 MB.

    Raises:
        DataError: files are missing, of another checksum, or cannot be downloaded.
        StorageError: the disk has no room for them.
    """
    from torchvision.datasets.utils import check_integrity, extract_archive

    published = _published(settings)
    again = (
        f"fetch {published.url} (dataset.download: true does so where nothing is there); images of "
        "your own come as kind: image_folder"
    )
    archive, folder = _paths(settings, published)
    if not folder.exists() and not archive.exists():
        if not settings["download"]:
            raise DataError(
                f"neither {archive.absolute()} nor a folder {folder.name} is there: set "
                f"dataset.download: true, or fetch {published.url} and put it there"
            )
        downloads.fetch([published.url], archive, published.tgz_md5)
    with (
        disks.folder(Path(tempfile.gettempdir()), "laq-data") as temporary,
        disks.writing(temporary),
    ):
        root = folder.parent
        if not folder.exists():
            if not check_integrity(archive, published.tgz_md5):
                raise DataError(
                    f"{archive} is not the published archive (md5 {published.tgz_md5}): delete it "
                    f"and {again}"
                )
            root = temporary
            extract_archive(archive, root)
        try:
            splits = [published(root, train=train) for train in (True, False)]
        except RuntimeError as error:  # torchvision does not say which file it is
            members = _members(published).items()
            wrong = [name for name, md5 in members if not check_integrity(folder / name, md5)]
            raise DataError(
                f"{folder} has no {', '.join(wrong)} of the published checksum, and others are not "
                f"unpickled: take the folder away and {again}"
            ) from error
    classes = _CLASSES[settings["kind"]]
    train, test = (
        Dataset(split.data.transpose(0, 3, 1, 2), np.array(split.targets, np.int64), classes)
        for split in splits
    )
    return train, test


def origin(settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The archive, or the members of its folder, that ``make`` reads."""
    published = _published(settings)
    archive, folder = _paths(settings, published)
    files = [folder / name for name in _members(published)] if folder.exists() else [archive]
    return [downloads.of_file(file) for file in files]


def _published(settings: Mapping[str, Any]) -> Any:
    """torchvision's class, with URL, names and checksums. It is slow to import."""
    from torchvision import datasets

    return {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[settings["kind"]]


def _paths(settings: Mapping[str, Any], published: Any) -> tuple[Path, Path]:
    """The archive and the folder extracted from it: below ``path``, or ``path`` itself."""
    path = expanded(settings["path"])
    root = path.parent if path.name in (published.filename, published.base_folder) else path
    return root / published.filename, root / published.base_folder


def _members(published: Any) -> dict[str, str]:
    """The md5 of each member of the archive, by name."""
    meta = published.meta
    return dict([*published.train_list, *published.test_list, (meta["filename"], meta["md5"])])
