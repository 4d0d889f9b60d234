"""How a user's folder of images may be laid out."""

from __future__ import annotations

from pathlib import Path

PARTS = ("train", "test")
LAYOUTS = "expected <path>/<class>/* or <path>/train/<class>/* and <path>/test/<class>/*"


def is_split(root: Path) -> bool:
    """Whether the folder has a part for training and one for testing."""
    return all((root / part).is_dir() for part in PARTS)
