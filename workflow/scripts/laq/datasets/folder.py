"""A user's own images, one folder a class.

Either ``path/train/<class>/*`` and ``path/test/<class>/*``, or ``path/<class>/*``, which is
split here. Hidden files and files without an image's extension are left out, as are files
and folders beside the classes' own; whatever is an image by its name has to be one.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from laq import origins
from laq.datasets.dataset import Dataset
from laq.datasets.splits import stratified_split
from laq.errors import DataError
from laq.files import expanded

EXTENSIONS = frozenset(
    (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
)
LAYOUTS = "expected <path>/<class>/* or <path>/train/<class>/* and <path>/test/<class>/*"
WORKERS = 2  # the threads that the workflow gives to the making of a data set


@dataclass(frozen=True)
class _Tree:
    """What the folders hold: test is true for test images, None where they are not split."""

    root: Path
    classes: tuple[str, ...]
    files: list[Path]
    labels: np.ndarray
    test: np.ndarray | None


def class_names(settings: Mapping[str, Any]) -> list[str]:
    """Names of the class folders, sorted. Raises ``DataError`` as ``make`` does for folders."""
    return list(_scan(settings).classes)


def fingerprint(settings: Mapping[str, Any]) -> str:
    """Digest of the images' relative names, sizes and times of modification.

    It is asked for at every plan of the workflow, when reading all contents would take too
    long. Sizes alone would miss a replaced image where the format fixes them (.bmp, .ppm).
    With times, a copy of the folder that does not keep them counts as another data set: a
    study made anew is better than one that is stale.
    """
    tree = _scan(settings)
    digest = hashlib.sha256()
    for file in tree.files:
        digest.update(os.fsencode(file.relative_to(tree.root)))
        status = file.stat()
        digest.update(f"\0{status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def make(settings: Mapping[str, Any], seed: int) -> tuple[Dataset, Dataset]:
    """Read the train and test split: RGB images (n, 3, size, size), ordered by class and name.

    settings: ``path``; ``size``: the shorter side is resized to it, antialiased, and the
    centre cut out; ``test_fraction``: for folders that are not split already.
    Raises ``DataError`` naming the folder that is missing or without classes, the classes
    that are empty or in one split only, and the files that cannot be read.
    """
    tree = _scan(settings)
    test = tree.test
    if test is None:
        test = stratified_split(tree.labels, tree.classes, settings["test_fraction"], seed)
    images = _read_all(tree.files, settings["size"])
    return (
        Dataset(images[~test], tree.labels[~test], tree.classes),
        Dataset(images[test], tree.labels[test], tree.classes),
    )


def origin(settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All images that ``make`` reads, as one."""
    tree = _scan(settings)
    return [origins.of_folder(tree.root, tree.files)]


def _scan(settings: Mapping[str, Any]) -> _Tree:
    try:
        return _scanned(expanded(settings["path"]))
    except (OSError, ValueError) as error:  # ValueError: a name that no system takes
        raise DataError(
            f"{settings['path']} cannot be read ({error}): set dataset: path to a folder that can"
        ) from error


def _scanned(root: Path) -> _Tree:
    if not root.is_dir():
        fault = "is not a folder" if root.exists() else "does not exist"
        raise DataError(
            f"{_located(root)} {fault}: set dataset: path to the folder of the classes; "
            "a relative path begins at the working directory"
        )
    if (root / "train").is_dir() and (root / "test").is_dir():
        train, test = _class_folders(root / "train"), _class_folders(root / "test")
        if train.keys() != test.keys():
            raise DataError(
                f"{root}/train and {root}/test have different classes: "
                f"{sorted(train.keys() - test.keys())} only in train, "
                f"{sorted(test.keys() - train.keys())} only in test; give both the same folders"
            )
        parts = [train, test]
    else:
        parts = [_class_folders(root)]
    classes = tuple(parts[0])
    triples = [
        (file, label, bool(part))
        for part, folders in enumerate(parts)
        for label, name in enumerate(classes)
        for file in folders[name]
    ]
    files, labels, in_test = zip(*triples, strict=True)
    test_mask = np.array(in_test) if len(parts) == 2 else None
    return _Tree(root, classes, list(files), np.array(labels, dtype=np.int64), test_mask)


def _class_folders(root: Path) -> dict[str, list[Path]]:
    """Images of every class folder, both sorted by name."""
    with os.scandir(root) as entries:
        names = sorted(entry.name for entry in entries if _visible(entry) and entry.is_dir())
    if len(names) < 2:
        raise DataError(
            f"{_located(root)} has {len(names)} class folders {names}; "
            f"at least 2 are needed: {LAYOUTS}"
        )
    folders = {name: _images(root / name) for name in names}
    empty = [str(root / name) for name, files in folders.items() if not files]
    if empty:
        raise DataError(
            f"{len(empty)} class folders hold no image ({', '.join(sorted(EXTENSIONS))}); "
            f"add images to them or remove them:\n{_listed(empty)}"
        )
    return folders


def _images(folder: Path) -> list[Path]:
    """Images directly in a class folder, sorted by name."""
    with os.scandir(folder) as entries:
        visible = sorted(filter(_visible, entries), key=lambda entry: entry.name)
    for entry in visible:
        if entry.is_dir():
            raise DataError(
                f"class folder {folder} holds a folder, {entry.name!r}, and not images alone: "
                f"{LAYOUTS}"
            )
    images = [Path(entry) for entry in visible if Path(entry).suffix.lower() in EXTENSIONS]
    for image in images:
        if not image.is_file():
            raise DataError(f"{image} is a broken link: mend or remove it")
    return images


def _located(folder: Path) -> str:
    """Name a folder as it is configured and, where that differs, by its absolute path."""
    absolute = folder.resolve()
    return str(folder) if folder == absolute else f"{folder} ({absolute})"


def _visible(entry: os.DirEntry[str]) -> bool:
    return not entry.name.startswith(".")


def _read_all(files: Sequence[Path], size: int) -> np.ndarray:
    """Read images in threads, since Pillow decodes outside the interpreter's lock.

    Returns uint8 (n, 3, size, size) in the order of ``files``. All files that cannot be read
    are named together, so that a folder is mended in one go.
    """
    from tqdm import tqdm

    images = np.empty((len(files), 3, size, size), dtype=np.uint8)

    def read(index: int) -> str | None:
        try:
            images[index] = _read(files[index], size)
        # Decoders of damaged files raise OSError, SyntaxError, ValueError, struct.error and
        # more: whatever it is, the file is to be named.
        except Exception as error:
            return f"{files[index]}: {error}"
        return None

    with ThreadPoolExecutor(WORKERS) as pool:
        results = pool.map(read, range(len(files)))
        progress = tqdm(results, total=len(files), desc="image_folder", unit=" images")
        broken = [message for message in progress if message]
    if broken:
        raise DataError(
            f"{len(broken)} of {len(files)} images cannot be read; replace or remove them:\n"
            f"{_listed(broken)}"
        )
    return images


def _read(file: Path, size: int) -> np.ndarray:
    """Read one image as it is meant to be seen: uint8 (3, size, size)."""
    from PIL import Image, ImageOps

    if file.stat().st_size == 0:
        raise DataError("the file is empty")
    with _opened(file) as image:
        if image.mode.startswith(("I", "F")):
            # Pillow would clip such pixels to 255, most often to plain white.
            raise DataError(f"pixels of mode {image.mode}, convert the image to 8 bits a channel")
        # Cameras store how they were held; transparent pixels have an arbitrary colour.
        upright = ImageOps.exif_transpose(image)
        if upright.has_transparency_data:
            paper = Image.new("RGBA", upright.size, "white")
            upright = Image.alpha_composite(paper, upright.convert("RGBA"))
        square = ImageOps.fit(upright.convert("RGB"), (size, size), Image.Resampling.BICUBIC)
    return np.asarray(square).transpose(2, 0, 1)


def _opened(file: Path) -> Any:
    """A picture that is not decoded yet; ``DataError`` for one that would fill the memory."""
    from PIL import Image

    try:
        return Image.open(file)
    except Image.DecompressionBombError as error:
        size = 2 * Image.MAX_IMAGE_PIXELS
        raise DataError(f"it claims more than {size:,} pixels: shrink it") from error


def _listed(items: Sequence[str], most: int = 10) -> str:
    rest = [f"… and {len(items) - most} more"] if len(items) > most else []
    return "\n".join(f"  {item}" for item in [*items[:most], *rest])
