"""Whether a checkpoint is the one that a job is meant to read, and not another of the same shape.

A file in the place of another would load, and its results would get the other's name. So a variant
names its parent by digest. A job that reads it compares the digest, and the rest of the
description, with what the job needs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from laq.checkpoints import metadata
from laq.checkpoints.metadata import REMEDY
from laq.utils.errors import CheckpointError

if TYPE_CHECKING:
    from laq.data import Dataset

Path = str | os.PathLike[str]

_KEYS = ("network", "classes", "variant", "parent", "steps", "seed")


def describe(path: Path) -> dict[str, Any]:
    """The description of a checkpoint of this workflow, with its ``digest``.

    Raises ``CheckpointError`` as ``laq.checkpoints.packing.describe`` does, and for a description
    that lacks a key which every network of a study has.
    """
    with metadata.opened(path) as file:
        content = metadata.content(path, file)
    if missing := [key for key in _KEYS if key not in content]:
        raise CheckpointError(f"{path} does not say {', '.join(missing)} of itself: {REMEDY}")
    return {**metadata.description(content), "digest": content["digest"]}


def of_parent(
    path: Path,
    made: str,
    split: Dataset,
    subset: Sequence[int] | None = None,
    seed: int | None = None,
) -> dict[str, Any]:
    """The description of the network that a job starts from, after ``check``."""
    description = describe(path)
    check(path, description, made, split, subset, seed)
    return description


def of_original(path: Path, names: Sequence[str], seed: int) -> dict[str, Any]:
    """The description of an original network, for a job that has no images beside it.

    names: of the data's classes. Raises ``CheckpointError`` where it is another network, and where
    it does not say what images it takes (``images``: channels, height, width).
    """
    description = describe(path)
    variant, classes, shape = (
        identity(description),
        description["classes"],
        description.get("images"),
    )
    if variant != "original":
        _refuse(path, f"is the variant {variant}, not original")
    if list(names) != classes:
        _refuse(path, f"is of {_classes(classes)}, not of the data's {_classes(names)}")
    if description["seed"] != seed:
        _refuse(path, f"was made from the seed {description['seed']}, not {seed}")
    if not isinstance(shape, list) or len(shape) != 3:
        _refuse(path, "does not say what images it takes")
    return description


def check_all(
    paths: Sequence[Path],
    made: Sequence[tuple[str, int]],
    split: Dataset,
    chosen: Mapping[str, Any],
) -> None:
    """Check the checkpoints of a subset, and that each was made from its parent among them.

    made: variant and repeat of each. chosen: by ``laq.distances.subset_files.read``.
    """
    digests: dict[str, tuple[Path, str]] = {}
    descriptions = {path: describe(path) for path in paths}
    for (path, description), (variant, repeat) in zip(descriptions.items(), made, strict=True):
        variant_id = variant if repeat == 1 else f"{variant}-{repeat}"
        check(path, description, variant_id, split, chosen["indices"], chosen["seed"])
        digests[variant_id] = path, description["digest"]
    for path, description in descriptions.items():
        if description["parent"] in digests:
            parent, digest = digests[description["parent"]]
            check_parent(path, description, parent, digest)


def check(
    path: Path,
    described: Mapping[str, Any],
    made: str,
    split: Dataset,
    subset: Sequence[int] | None = None,
    seed: int | None = None,
) -> None:
    """Raise ``CheckpointError`` where a checkpoint is not the one that the job needs.

    described: by ``describe``. made: id of the variant with its repeat, as ``original`` or
    ``quant-2``. split: has the images and classes that it must be for. subset, where given: indices
    of the classes it was made for, which an original has not. seed, where given: the study's.
    """
    variant, classes, shape = identity(described), described["classes"], described.get("images")
    if variant != made:
        _refuse(path, f"is the variant {variant}, not {made}")
    if list(split.classes) != classes:
        _refuse(path, f"is of {_classes(classes)}, not of the data's {_classes(split.classes)}")
    if shape is not None and shape != list(split.images.shape[1:]):
        _refuse(path, f"is for images of shape {shape}, not {list(split.images.shape[1:])}")
    if subset is not None and made != "original" and described.get("subset") != list(subset):
        _refuse(path, f"was made for the classes {described.get('subset')}, not {list(subset)}")
    if seed is not None and described["seed"] != seed:
        _refuse(path, f"was made from the seed {described['seed']}, not {seed}")


def check_parent(path: Path, described: Mapping[str, Any], parent: Path, digest: str) -> None:
    """Raise ``CheckpointError`` where a checkpoint was made from another than ``parent``.

    digest: of ``parent``, as ``describe`` gives it.
    """
    if described.get("parent_digest") != digest:
        _refuse(path, f"was made from another network than the one in {parent}")


def identity(described: Mapping[str, Any]) -> str:
    """The id of a checkpoint's network: its variant, and from the second repeat on the repeat."""
    repeat = described.get("repeat", 1)
    return described["variant"] if repeat == 1 else f"{described['variant']}-{repeat}"


def _classes(names: Sequence[str]) -> str:
    excerpt = ", ".join(map(str, names[:3])) + ", …" * (len(names) > 3)
    return f"{len(names)} classes ({excerpt})"


def _refuse(path: Path, fault: str) -> None:
    raise CheckpointError(f"{path} {fault}: {REMEDY}")
