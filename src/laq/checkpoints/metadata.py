"""The description of a checkpoint: one JSON object in the header of a safetensors file.

It is under one key, ``laq``: safetensors writes several keys in random order, and the same
checkpoint must give the same bytes. It holds

    format    3
    packed    {name of a quantized weight: [its runs of rows, each the fields of ``PackedRun``]}
    aliases   {further name of a tensor: the name that it is stored by}, where there are any
    digest    sha256 over the rest of the metadata and every tensor's name, dtype, shape, bytes
    …         the description as given: network, variant, calibration, seed, parent

Reading it takes neither torch nor a tensor. ``laq.checkpoints.packing`` has the tensors of a run.
Where the value of the key is ``deep``, the file is of ``laq.checkpoints.deep_container.file``, and
the description is inside the container.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from laq.utils import disks
from laq.utils.errors import CheckpointError

FORMAT = 3
KEY = "laq"
# The key's value in the file of a deeply compressed network.
DEEP = "deep"
_REQUIRED = frozenset({"format", "packed", "digest"})
OWN_KEYS = _REQUIRED | {"aliases"}
REMEDY = "delete it and run the rule that makes it again"


def _counts(value: Any, least: int = 0) -> bool:
    return isinstance(value, list) and all(type(n) is int and n >= least for n in value)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _rows(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(row, dict) and isinstance(row.get("layer"), str) for row in value
    )


def _kinds(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(entry, dict) and isinstance(entry.get("kind"), str) for entry in value
    )


# The keys of a description that code relies on: a check of the value, and what it must be.
_KEYS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "network": (lambda value: isinstance(value, dict), "a mapping"),
    "classes": (lambda value: value is None or _texts(value), "a list of names"),
    "images": (
        lambda value: value is None or (_counts(value, 1) and len(value) == 3),
        "channels, height and width",
    ),
    "subset": (lambda value: value is None or _counts(value), "a list of classes' positions"),
    "variant": (lambda value: isinstance(value, str), "a name"),
    "parent": (lambda value: value is None or isinstance(value, str), "a name"),
    "steps": (
        lambda value: isinstance(value, list) and all(isinstance(step, dict) for step in value),
        "a list of steps",
    ),
    "seed": (lambda value: type(value) is int, "a whole number"),
    "repeat": (lambda value: type(value) is int and value >= 1, "a whole number from 1 on"),
    "layers": (_rows, "a list of layers"),
    "transforms": (_kinds, "a list of mappings with a kind each"),
    "aliases": (
        lambda value: isinstance(value, dict) and _texts(list(value.values())),
        "a mapping of names to names",
    ),
}


@dataclass(frozen=True)
class PackedRun:
    """Consecutive rows of a quantized weight that have one grid.

    shape: of these rows, (n, …). width: bits a code. bits, scheme: nominal bits and name of the
    grid, as documentation. kind, grid: which of ``laq.quantizers.grids`` it is, and its ``fields``.
    tensors: names of the run's tensors in the file beside the codes. stored: bytes of the codes
    where they are not a string of bits of one width.

    Raises ``ValueError`` for fields that no weight can have.
    """

    shape: Sequence[int]
    width: int
    bits: int
    scheme: str
    kind: str
    grid: Mapping[str, Any]
    tensors: Sequence[str]
    stored: int | None = None

    def __post_init__(self) -> None:
        sizes = [*self.shape]
        if any(type(size) is not int or size < 1 for size in sizes) or len(sizes) < 2:
            raise ValueError(f"shape {sizes}")
        if type(self.width) is not int or not 1 <= self.width <= 64:
            raise ValueError(f"width {self.width!r}")
        if type(self.bits) is not int or not _texts([self.scheme, self.kind]):
            raise ValueError(f"bits {self.bits!r}, {self.kind!r} grid {self.scheme!r}")
        if not isinstance(self.grid, Mapping) or not _texts(self.tensors):
            raise ValueError(f"grid {self.grid!r}, tensors {self.tensors!r}")
        if self.stored is not None and (type(self.stored) is not int or self.stored < 0):
            raise ValueError(f"stored {self.stored!r}")

    @property
    def weights(self) -> int:
        return math.prod(self.shape)

    @property
    def code_bytes(self) -> int:
        """Bytes that the packed codes take."""
        if self.stored is not None:
            return self.stored
        return -(-self.weights * self.width // 8)


@contextmanager
def opened(path: str | os.PathLike[str], framework: str = "numpy") -> Iterator[Any]:
    """Open a safetensors file, to be read as tensors of ``framework``.

    Raises ``CheckpointError``, also from within the block, for a file that is missing, truncated
    or no safetensors.
    """
    try:
        with safe_open(path, framework=framework) as file:
            yield file
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} does not exist: run the rule that makes it") from error
    except (SafetensorError, OSError) as error:
        disks.check_reading(error, path)
        remedy = REMEDY if Path(path).suffix == ".safetensors" else "give a .safetensors file"
        raise CheckpointError(
            f"{path} is truncated or no safetensors file ({error}): {remedy}"
        ) from error


def content(path: str | os.PathLike[str], file: Any) -> dict[str, Any]:
    """The JSON object in the metadata of the opened ``file``; ``path`` is for messages.

    Raises ``CheckpointError`` if it is missing, damaged, or of a format that this code does not
    know.
    """
    text = (file.metadata() or {}).get(KEY)
    if text is None:
        raise CheckpointError(
            f"{path} holds no description of this workflow, so another tool wrote it: "
            "give a checkpoint made here"
        )
    if text == DEEP:
        from laq.checkpoints.deep_container import header

        deep_fields = header.content(path, file, REMEDY)
        return _checked(path, {**deep_fields, "format": FORMAT})
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} has a damaged description ({error}): {REMEDY}") from error
    version = fields.get("format") if isinstance(fields, dict) else None
    if version != FORMAT:
        raise CheckpointError(
            f"{path} has checkpoint format {version!r}, this version of the workflow reads "
            f"{FORMAT}: {REMEDY}"
        )
    return _checked(path, fields)


def is_deep(file: Any) -> bool:
    """Whether the opened ``file`` is of ``laq.checkpoints.deep_container.file``."""
    return (file.metadata() or {}).get(KEY) == DEEP


def _checked(path: str | os.PathLike[str], found: dict[str, Any]) -> dict[str, Any]:
    """``found``, if it has all required keys, and valid values.

    Raises ``CheckpointError`` otherwise.
    """
    if missing := _REQUIRED - found.keys():
        raise CheckpointError(f"{path} lacks {sorted(missing)} in its description: {REMEDY}")
    for key, (check, kind) in _KEYS.items():
        if key in found and not check(found[key]):
            raise CheckpointError(f"{path} describes itself wrongly: {key} is not {kind}: {REMEDY}")
    classes, members = found.get("classes"), found.get("subset")
    if classes is not None and members and max(members) >= len(classes):
        raise CheckpointError(
            f"{path} describes itself wrongly: subset has class {max(members)}, where there are "
            f"{len(classes)}: {REMEDY}"
        )
    return found


def description(found: Mapping[str, Any]) -> dict[str, Any]:
    """The description as it was given to ``laq.checkpoints.packing.save``."""
    return {key: value for key, value in found.items() if key not in OWN_KEYS}


def subset(described: Mapping[str, Any]) -> list[int]:
    """Positions of the classes that a checkpoint was made for; all where it has no subset."""
    return sorted(described.get("subset") or range(len(described["classes"])))


def runs(
    path: str | os.PathLike[str], found: Mapping[str, Any]
) -> dict[str, tuple[PackedRun, ...]]:
    """The runs of rows of each quantized weight, in the order of their rows.

    Raises ``CheckpointError`` for an entry that describes no weight.
    """
    weights = {}
    try:
        for name, entries in found["packed"].items():
            packed_runs = tuple(PackedRun(**entry) for entry in entries)
            if len({tuple(run.shape[1:]) for run in packed_runs}) != 1:
                raise ValueError(f"{name} has no runs, or rows of several shapes")
            weights[name] = packed_runs
    except (AttributeError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path} describes its packed weights wrongly ({error}): {REMEDY}"
        ) from error
    return weights
