"""The file of a subset, ``subsets/{subset}.json``, as every later job reads it."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

from laq.utils.errors import DataError
from laq.utils.files import AGAIN, read_json

DISTANCES = ("median_icd", "mean_icd", "min_icd", "max_icd")
KEYS = ("subset", "kind", "target", "seed", "indices", "classes", *DISTANCES)


def read(path: str | os.PathLike[str], names: Sequence[str] | None = None) -> dict[str, Any]:
    """A subset's file, with the keys of results/README.md; ``indices`` ascending, no class twice.

    ``names``: of the data set's classes, by index, where they are known.

    Raises:
        DataError: the file is no subset, lacks a key, contradicts itself, or is of the classes of
            another data set.
    """
    subset = read_json(path)
    if fault := _fault(subset, names):
        raise DataError(f"{path} {fault}: {AGAIN}")
    return subset


def read_all(paths: Sequence[str | os.PathLike[str]]) -> list[dict[str, Any]]:
    """Several subsets. Raises ``DataError`` as ``read``, and where two have one id."""
    subsets = [read(path) for path in paths]
    owners: dict[str, str | os.PathLike[str]] = {}
    for path, subset in zip(paths, subsets, strict=True):
        owner = owners.setdefault(subset["subset"], path)
        if owner != path:
            raise DataError(
                f"{path} and {owner} are both of the subset {subset['subset']}: "
                "delete both and run again"
            )
    return subsets


def _fault(found: Any, names: Sequence[str] | None) -> str:
    """What is wrong, as the rest of a sentence that begins with the file; empty if nothing."""
    if not isinstance(found, dict):
        return "is no subset"
    if missing := [key for key in KEYS if key not in found]:
        return f"lacks {', '.join(missing)}"
    if not isinstance(found["subset"], str) or not found["subset"]:
        return f"has no id but {found['subset']!r} (subset)"
    indices, classes = found["indices"], found["classes"]
    if not isinstance(indices, list) or any(type(i) is not int or i < 0 for i in indices):
        return "does not list positions of classes (indices)"
    if len(indices) < 2 or indices != sorted(set(indices)):
        return f"lists {len(indices)} classes, or one twice, or not in order (indices)"
    are_texts = isinstance(classes, list) and all(isinstance(name, str) for name in classes)
    if not are_texts or len(classes) != len(indices):
        return f"does not name its {len(indices)} classes (classes)"
    for index, name in zip(indices, classes, strict=True) if names is not None else ():
        if index >= len(names) or names[index] != name:
            expected = repr(names[index]) if index < len(names) else "none"
            return f"is of other classes: it calls class {index} {name!r}, the data set {expected}"
    for key in DISTANCES:
        if type(found[key]) not in (int, float) or not 0 <= found[key] < math.inf:
            return f"has no distance but {found[key]!r} ({key})"
    low, high = found["min_icd"], found["max_icd"]
    for key in ("median_icd", "mean_icd"):
        if not low * (1 - 1e-9) <= found[key] <= high * (1 + 1e-9):
            return f"has a {key} of {found[key]:g} outside of {low:g} to {high:g}"
    return ""
