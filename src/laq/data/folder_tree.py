"""The files of a user's folder of images: their classes, and what is left out.

Nothing is opened here, since the workflow scans the folder at every plan, whatever its size. Files
whose names leave it to their content are opened only when the images are read.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from laq.data import names
from laq.utils.errors import DataError
from laq.utils.files import expanded

# Which files are images by their names: those that Pillow decodes, and those without a suffix.
#
# The table is this project's and not Pillow's registry. The same folder is then the same data set
# whatever plug-ins are installed, and planning need not import Pillow.


# Pillow's formats and their suffixes, without those that it hands to other programs (EPS, WMF,
# GRIB, BUFR, HDF5), only recognises (MPEG) or only writes (PDF, PALM). A file's content is tried in
# this order. TGA comes last, since it has no magic number.
FORMATS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png", ".apng"),
    "GIF": (".gif",),
    "WEBP": (".webp",),
    "AVIF": (".avif", ".avifs"),
    "JPEG2000": (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    "QOI": (".qoi",),
    "PSD": (".psd",),
    "ICO": (".ico",),
    "ICNS": (".icns",),
    "BLP": (".blp",),
    "CUR": (".cur",),
    "DCX": (".dcx",),
    "DDS": (".dds",),
    "DIB": (".dib",),
    "FITS": (".fit", ".fits"),
    "FLI": (".fli", ".flc"),
    "FTEX": (".ftc", ".ftu"),
    "GBR": (".gbr",),
    "IM": (".im",),
    "IPTC": (".iim",),
    "MSP": (".msp",),
    "PCD": (".pcd",),
    "PCX": (".pcx",),
    "PIXAR": (".pxr",),
    "SGI": (".sgi", ".rgb", ".rgba", ".bw"),
    "SUN": (".ras",),
    "XBM": (".xbm",),
    "XPM": (".xpm",),
    "TGA": (".tga", ".icb", ".vda", ".vst"),
}
# Formats that a file without a suffix may have: each begins with a magic number that no text has.
MARKED = ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "JPEG2000", "TIFF", "BMP", "PPM", "QOI", "PSD")

SUFFIXES = frozenset(suffix for suffixes in FORMATS.values() for suffix in suffixes)


_SUFFIX = re.compile(r"\.\w*[^\W\d_]\w*")


def suffix(name: str) -> str:
    """The suffix of a file's name in lower case, such as ``.jpg``; "" where it has none.

    The text behind the last dot is a suffix if it is a word with a letter in it. There is none in
    ``at 10.15.32``, ``photo.jpg.1`` or ``photo.jpg?width=100``.
    """
    ending = f".{name.rpartition('.')[2].lower()}" if "." in name else ""
    return ending if ending in SUFFIXES or _SUFFIX.fullmatch(ending) else ""


def may_be_image(name: str) -> bool:
    """Whether a file's name is an image's, or says nothing, so that the content decides."""
    ending = suffix(name)
    return not ending or ending in SUFFIXES


# How a user's folder of images may be laid out.


PARTS = ("train", "test")
# Other names for a part that is kept from training. Such a folder is no part here.
VALIDATION = ("val", "valid", "validation")
LAYOUTS = "expected <path>/<class>/* or <path>/train/<class>/* and <path>/test/<class>/*"


def is_split(root: Path) -> bool:
    """Whether the folder has a part for training and one for testing."""
    return all((root / part).is_dir() for part in PARTS)


def unread(folders: Iterable[str]) -> str:
    """What to do with a validation part, by the names of all folders; "" where there is none."""
    parts = sorted(name for name in folders if name.casefold() in VALIDATION)
    if not parts:
        return ""
    return (
        f"{', '.join(parts)} is not read as a split: rename it to test where its images are to be "
        "tested on"
    )


# The number of files that are no images, by folder and suffix.
LeftOut = dict[str, Counter[str]]


@dataclass(frozen=True)
class Tree:
    """Images below ``root``, by class and name.

    files: names below root, n of them; labels: int64 (n,); test: bool (n,), None where the folder
    is not split.
    """

    root: Path
    classes: tuple[str, ...]
    files: list[str]
    labels: np.ndarray
    test: np.ndarray | None
    left_out: LeftOut

    def paths(self) -> list[str]:
        """Where the files are, in their order."""
        return [f"{self.root}/{file}" for file in self.files]

    def fingerprint(self) -> str:
        """Digest of the images' relative names, sizes and times of modification."""
        digest = hashlib.sha256()
        for file in self.files:
            digest.update(os.fsencode(file))
            status = Path(self.root, file).stat()
            digest.update(f"\0{status.st_size} {status.st_mtime_ns}\n".encode())
        return digest.hexdigest()

    def only(self, kept: np.ndarray) -> Tree:
        """The tree with these images alone, bool (n,); others are counted as left out.

        Raises ``DataError`` naming the classes that then lack images.
        """
        if kept.all():
            return self
        left_out = {folder: Counter(kinds) for folder, kinds in self.left_out.items()}
        for index in np.flatnonzero(~kept):
            folder = names.composed(self.files[index].rpartition("/")[0])
            left_out.setdefault(folder, Counter())["without suffix"] += 1
        files = [file for file, keep in zip(self.files, kept, strict=True) if keep]
        test = None if self.test is None else self.test[kept]
        tree = replace(self, files=files, labels=self.labels[kept], test=test, left_out=left_out)
        parts = [("", tree.labels)]
        if test is not None:
            parts = [("train", tree.labels[~test]), ("test", tree.labels[test])]
        _refuse_empty(
            [
                str(self.root / part / name)
                for part, labels in parts
                for label, name in enumerate(self.classes)
                if label not in labels
            ],
            left_out,
        )
        return tree


def scan(settings: Mapping[str, Any]) -> Tree:
    """The images of ``path`` with their classes in ``class_order``.

    Raises ``DataError`` naming a folder that is missing or without classes, and broken links. Also
    for classes whose folders are empty, in one split only, not named by text, or hold folders.
    """
    try:
        return _scanned(expanded(settings["path"]), settings.get("class_order", "alphabetical"))
    except (OSError, ValueError) as error:  # ValueError: a name that no system takes
        raise DataError(
            f"{settings['path']} cannot be read ({error}): set dataset: path to a folder that can"
        ) from error


def said(left_out: Mapping[str, Mapping[str, int]]) -> str:
    """How many files are left out, in all and by folder and suffix."""
    total = sum(sum(kinds.values()) for kinds in left_out.values())
    lines = []
    for folder, kinds in sorted(left_out.items()):
        counts = (f"{count} × {kind}" for kind, count in sorted(kinds.items()))
        lines.append(f"folder {folder}: {', '.join(counts)}")
    hint = unread(folder for folder, kinds in left_out.items() if "folder" in kinds)
    header = f"{total} left out, as no images by name, content or place:"
    return "\n".join(filter(None, [header, listed(lines), hint]))


def listed(items: Sequence[str], most: int = 10) -> str:
    """Items as lines, the first ``most`` of them."""
    more = [f"… and {len(items) - most} more"] if len(items) > most else []
    return "\n".join(f"  {item}" for item in [*items[:most], *more])


def _scanned(root: Path, class_order: str) -> Tree:
    if not root.is_dir():
        fault = "is not a folder" if root.exists() else "does not exist"
        raise DataError(
            f"{_located(root)} {fault}: set dataset: path to the folder of the classes; "
            "a relative path begins at the working directory"
        )
    split = is_split(root)
    left_out: LeftOut = _beside(root) if split else {}
    parts = PARTS if split else ("",)
    folders = [_class_folders(root, part, class_order, left_out) for part in parts]
    if folders[0].keys() != folders[-1].keys():
        train, test = folders
        raise DataError(
            f"{root}/train and {root}/test have different classes: "
            f"{sorted(train.keys() - test.keys())} only in train, "
            f"{sorted(test.keys() - train.keys())} only in test; give both the same folders"
        )
    classes = tuple(folders[0])  # in the order of train, on which networks were trained
    triples = [
        (file, label, bool(part))
        for part, images in enumerate(folders)
        for label, name in enumerate(classes)
        for file in images[name]
    ]
    files, labels, in_test = zip(*triples, strict=True)
    test_mask = np.array(in_test) if split else None
    return Tree(root, classes, list(files), np.array(labels, np.int64), test_mask, left_out)


def _class_folders(
    root: Path, part: str, class_order: str, left_out: LeftOut
) -> dict[str, list[str]]:
    """Images of every class folder of a part, by class: classes in order, images by name."""
    with os.scandir(root / part) as entries:
        visible = [entry for entry in entries if _visible(entry)]
    classes = names.in_order((entry.name for entry in visible if entry.is_dir()), class_order)
    names.check_folders(classes, _located(root / part))
    if len(classes) < 2:
        raise DataError(
            f"{_located(root / part)} has {len(classes)} class folders {classes}; "
            f"at least 2 are needed: {LAYOUTS}"
        )
    _count(left_out, part or ".", _loose(visible))
    folders = {name: _images(root, f"{part}/{name}".lstrip("/"), left_out) for name in classes}
    _refuse_empty([str(root / part / n) for n in classes if not folders[n]], left_out)
    return {names.composed(name): files for name, files in folders.items()}


def _images(root: Path, folder: str, left_out: LeftOut) -> list[str]:
    """Images directly in a class folder, by their names below root, sorted."""
    with os.scandir(root / folder) as entries:
        children = sorted(entries, key=lambda entry: entry.name)
    images, kinds = [], []
    for entry in children:
        name = entry.name
        if not _visible(entry):
            # ._photo.jpg is what macOS leaves beside photo.jpg.
            if suffix(name) in SUFFIXES and not name.startswith("._"):
                kinds.append(f"hidden {suffix(name)}")
        elif entry.is_dir():
            raise DataError(
                f"class folder {root / folder} holds a folder, {name!r}, and not images alone: "
                f"{LAYOUTS}{_hint(root)}"
            )
        elif not may_be_image(name):
            kinds.append(suffix(name))
        elif entry.is_file():
            images.append(f"{folder}/{name}")
        else:
            raise DataError(f"{entry.path} is a broken link: mend or remove it")
    _count(left_out, folder, kinds)
    return images


def _beside(root: Path) -> LeftOut:
    """Folders and files beside train and test."""
    with os.scandir(root) as entries:
        visible = [entry for entry in entries if _visible(entry)]
    folders = [entry.name for entry in visible if entry.is_dir() and entry.name not in PARTS]
    left_out: LeftOut = {names.shown(name): Counter(folder=1) for name in folders}
    _count(left_out, ".", _loose(visible))
    return left_out


def _loose(entries: Iterable[os.DirEntry[str]]) -> list[str]:
    """Suffixes of the files among entries that are in no class folder."""
    return [suffix(entry.name) or "without suffix" for entry in entries if entry.is_file()]


def _hint(root: Path) -> str:
    """The end of a message where a part has a name that is not read; empty otherwise."""
    with os.scandir(root) as entries:
        hint = unread(entry.name for entry in entries if entry.is_dir())
    return f"; {hint}" if hint else ""


def _count(left_out: LeftOut, folder: str, kinds: Iterable[str]) -> None:
    if counts := Counter(kinds):
        left_out[names.composed(folder)] = counts


def _refuse_empty(folders: Sequence[str], left_out: LeftOut) -> None:
    if folders:
        details = f"\n{said(left_out)}" if left_out else ""
        raise DataError(
            f"{len(folders)} class folders hold no image ({', '.join(sorted(SUFFIXES))}); "
            f"add images to them or remove them:\n{listed(folders)}{details}"
        )


def _located(folder: Path) -> str:
    """Name a folder as it is configured and, where that differs, by its absolute path."""
    absolute = folder.resolve()
    return str(folder) if folder == absolute else f"{folder} ({absolute})"


def _visible(entry: os.DirEntry[str]) -> bool:
    return not entry.name.startswith(".")
