"""Whether a checkpoint is the one that a job is meant to read, and not another of the same shape.

A file in the place of another would load, and its numbers stand under the other's name. So a
variant names its parent by digest, and who reads it compares that, and what else it says of
itself, with what the job is about.
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

    Raises ``CheckpointError`` as ``laq.checkpoints.packing.describe`` does, and for one that lacks
    what every network of a study says of itself.
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
    """The description of the network that a job sets out from, after ``check``."""
    described = describe(path)
    check(path, described, made, split, subset, seed)
    return described


def of_original(path: Path, names: Sequence[str], seed: int) -> dict[str, Any]:
    """The description of an original network, for a job that has no images beside it.

    names: of the data's classes. Raises ``CheckpointError`` where it is another network, and where
    it does not say what images it takes (``images``: channels, height, width).
    """
    described = describe(path)
    own, classes, shape = identity(described), described["classes"], described.get("images")
    if own != "original":
        _refuse(path, f"is the variant {own}, not original")
    if list(names) != classes:
        _refuse(path, f"is of {_classes(classes)}, not of the data's {_classes(names)}")
    if described["seed"] != seed:
        _refuse(path, f"was made from the seed {described['seed']}, not {seed}")
    if not isinstance(shape, list) or len(shape) != 3:
        _refuse(path, "does not say what images it takes")
    return described


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
    found = {path: describe(path) for path in paths}
    for (path, described), (variant, repeat) in zip(found.items(), made, strict=True):
        own = variant if repeat == 1 else f"{variant}-{repeat}"
        check(path, described, own, split, chosen["indices"], chosen["seed"])
        digests[own] = path, described["digest"]
    for path, described in found.items():
        if described["parent"] in digests:
            parent, digest = digests[described["parent"]]
            check_parent(path, described, parent, digest)


def check(
    path: Path,
    described: Mapping[str, Any],
    made: str,
    split: Dataset,
    subset: Sequence[int] | None = None,
    seed: int | None = None,
) -> None:
    """Raise ``CheckpointError`` where a checkpoint is not what the job is about.

    described: by ``describe``. made: id of the variant with its repeat, ``original`` or
    ``quant-2``. split: images and classes it has to be for. Where given, subset: indices of the
    classes it was made for, which an original has not; seed: the study's.
    """
    own, classes, shape = identity(described), described["classes"], described.get("images")
    if own != made:
        _refuse(path, f"is the variant {own}, not {made}")
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
    """The id of what a checkpoint holds: its variant, from the second making on with the repeat."""
    repeat = described.get("repeat", 1)
    return described["variant"] if repeat == 1 else f"{described['variant']}-{repeat}"


def _classes(names: Sequence[str]) -> str:
    shown = ", ".join(map(str, names[:3])) + ", …" * (len(names) > 3)
    return f"{len(names)} classes ({shown})"


def _refuse(path: Path, fault: str) -> None:
    raise CheckpointError(f"{path} {fault}: {REMEDY}")
