"""How a user's folder of images may be laid out."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

PARTS = ("train", "test")
# What others call a part that is kept from training. Such a folder is no part here.
VALIDATION = ("val", "valid", "validation")
LAYOUTS = "expected <path>/<class>/* or <path>/train/<class>/* and <path>/test/<class>/*"


def is_split(root: Path) -> bool:
    """Whether the folder has a part for training and one for testing."""
    return all((root / part).is_dir() for part in PARTS)


def unread(folders: Iterable[str]) -> str:
    """What to do with a validation part, by the names of all folders; "" where there is none."""
    found = sorted(name for name in folders if name.casefold() in VALIDATION)
    if not found:
        return ""
    return (
        f"{', '.join(found)} is not read as a split: rename it to test where its images are to be "
        "tested on"
    )
