"""A user's own images, one folder a class.

The layout is ``path/train/<class>/*`` and ``path/test/<class>/*``, or ``path/<class>/*``, which is
split here. Left out are files that are no images by their names, files without a suffix that are
none by their content, hidden files, and what lies beside the classes' folders. A file that is an
image by its name has to be one.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from laq.data import copies, folder_tree, pictures
from laq.data.dataset import Dataset, Survey
from laq.data.folder_tree import Tree, listed, suffix
from laq.data.pictures import Remarks
from laq.data.splits import stratified_split, testing_counts
from laq.utils import downloads
from laq.utils.errors import DataError

logger = logging.getLogger(__name__)

WORKERS = 2  # the threads that the workflow gives to the making of a data set


def class_names(settings: Mapping[str, Any]) -> list[str]:
    """Names of the class folders, composed (NFC), in ``class_order``.

    Raises ``DataError`` as ``folder_tree.scan`` does.
    """
    return list(folder_tree.scan(settings).classes)


def fingerprint(settings: Mapping[str, Any]) -> str:
    """Digest of the images' relative names, sizes and times of modification.

    The workflow computes it at every plan, when reading all contents would take too long. Sizes
    alone would miss a replaced image where the format fixes them (.bmp, .ppm). With times, a copy
    of the folder that does not keep them counts as another data set. A study that is made again is
    better than one that is stale.
    """
    return folder_tree.scan(settings).fingerprint()


def survey(settings: Mapping[str, Any]) -> Survey:
    """All that the workflow needs while it plans, from one scan of the folders.

    Raises ``DataError`` as ``folder_tree.scan`` does, and for classes too small to be split.
    """
    tree = folder_tree.scan(settings)
    counts = np.bincount(tree.labels)
    if tree.test is None:
        testing = testing_counts(counts, tree.classes, settings["test_fraction"])
    else:
        testing = np.bincount(tree.labels[tree.test])
    return Survey(
        tree.classes,
        training=counts - testing,
        testing=testing,
        image_bytes=3 * settings["size"] ** 2,
        remarks=[folder_tree.said(tree.left_out)] if tree.left_out else [],
        fingerprint=tree.fingerprint(),
    )


def make(settings: Mapping[str, Any], seed: int) -> tuple[Dataset, Dataset]:
    """The splits of ``made``, without its record."""
    return made(settings, seed)[:2]


def made(settings: Mapping[str, Any], seed: int) -> tuple[Dataset, Dataset, list[dict[str, Any]]]:
    """Read the train and test split: RGB images (n, 3, size, size), ordered by class and name.

    Also returns what they were read from, all images as one entry.

    settings: ``path``; ``class_order``; ``size``: the shorter side is resized to it, antialiased,
    and the centre cut out; ``transparency`` and ``orientation`` as ``pictures.read`` has them;
    ``test_fraction``: for folders that are not split already, where copies come into one split.

    Images that are left out, transparent, to be turned, or copies are logged, and counted in the
    entry. Raises ``DataError`` as ``folder_tree.scan`` does, and naming the files that cannot be
    read.
    """
    tree = _with_pictures(settings)
    if tree.left_out:
        logger.warning("%s: %s", settings["path"], folder_tree.said(tree.left_out))
    images, remarks = _read_all(tree.paths(), settings)
    groups = copies.groups(images)
    test = tree.test
    if test is None:
        fraction = settings["test_fraction"]
        test = stratified_split(tree.labels, tree.classes, fraction, seed, groups)
    counts = {**_passed_over(remarks, settings), "copies": copies.told(tree, groups, test)}
    return (
        Dataset(images[~test], tree.labels[~test], tree.classes),
        Dataset(images[test], tree.labels[test], tree.classes),
        [{**_origin(tree), **counts}],
    )


def origin(settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All images that ``made`` reads, as one, and what it leaves out."""
    return [_origin(_with_pictures(settings))]


def _origin(tree: Tree) -> dict[str, Any]:
    left_out = {folder: dict(kinds) for folder, kinds in tree.left_out.items()}
    return {**downloads.of_folder(tree.root, map(Path, tree.paths())), "left_out": left_out}


def _with_pictures(settings: Mapping[str, Any]) -> Tree:
    """The tree of files that are pictures. Files without a suffix are opened to find out."""
    tree = folder_tree.scan(settings)
    mask = [bool(suffix(path)) or pictures.is_picture(path) for path in tree.paths()]
    return tree.only(np.array(mask))


def _read_all(paths: list[str], settings: Mapping[str, Any]) -> tuple[np.ndarray, list[Remarks]]:
    """Read images in threads, since Pillow decodes outside the interpreter's lock.

    Returns uint8 (n, 3, size, size) and remarks, both in the order of ``paths``. One message names
    all files that cannot be read, so that a folder is mended in one go.
    """
    from tqdm import tqdm

    size = settings["size"]
    options = {key: settings.get(key, "ignored") for key in ("transparency", "orientation")}
    images = np.empty((len(paths), 3, size, size), dtype=np.uint8)

    def read(index: int) -> Remarks | str:
        try:
            images[index], remarks = pictures.read(paths[index], size, **options)
        # Decoders of damaged files raise OSError, SyntaxError, ValueError, struct.error and more.
        # Whatever the error is, the message has to name the file.
        except Exception as error:
            return f"{paths[index]}: {error}"
        return remarks

    with ThreadPoolExecutor(WORKERS) as pool:
        results = pool.map(read, range(len(paths)))
        outcomes = list(tqdm(results, total=len(paths), desc="image_folder", unit=" images"))
    if faults := [message for message in outcomes if isinstance(message, str)]:
        raise DataError(
            f"{len(faults)} of {len(paths)} images cannot be read; replace or remove them:\n"
            f"{listed(faults)}"
        )
    return images, outcomes


def _passed_over(remarks: list[Remarks], settings: Mapping[str, Any]) -> dict[str, int]:
    """How many images are transparent, to be turned, or one of several. Logs what there is."""
    counts = {key: sum(getattr(remark, key) for remark in remarks) for key in Remarks._fields}
    for key, setting, phrase in (
        ("transparent", "transparency", "have transparent pixels"),
        ("oriented", "orientation", "are to be turned or mirrored by their EXIF"),
    ):
        if counts[key]:
            logger.info(
                "%d of %d images %s: dataset.%s is %s. A network whose weights come from outside "
                "wants what it was trained with (torchvision's ImageFolder and timm: ignored)",
                *(counts[key], len(remarks), phrase, setting, settings.get(setting, "ignored")),
            )
    if counts["frames"]:
        logger.info("%d images are the first of several in their files", counts["frames"])
    return counts
