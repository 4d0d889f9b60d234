"""The columns that docs/artifacts.yaml documents, by file."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
TABLE = yaml.safe_load((ROOT / "docs/artifacts.yaml").read_text(encoding="utf-8"))


def paths(key: str) -> list[str]:
    """Paths or columns, with commas between them."""
    return key.split(", ")


def columns(path: str) -> set[str] | None:
    """Documented columns of the table at ``path`` below a study's root; None for no table."""
    entries = [
        (each.count("{"), number, entry)
        for number, (key, entry) in enumerate(TABLE["tables"].items())
        for each in paths(key)
        if re.fullmatch(pattern(each), path)
    ]
    if not entries:
        return None
    _, _, entry = min(entries, key=lambda found: found[:2])  # a path without ids goes first
    groups = [*entry.get("columns", {}), *entry.get("as", {}).values()]
    return {name for group in groups for name in paths(group)}


def pattern(path: str) -> str:
    """A regular expression for a path with ids in braces."""
    return re.sub(r"\\\{\w+\\\}", r"[^/.]+", re.escape(path))
