"""The head of a container: its contents as compressed JSON. Reading it takes no torch.

A container is, with numbers of 7 bits a byte, lowest first and each byte but the last of a number
with its highest bit set:

    "LAQ", 1       magic and version
    number         bytes of the head as it stands here
    number         bytes of the head when inflated
    …              the head, deflated (zlib, RFC 1950) with the preset dictionary ``WORDS``
    …              what the head lists, without gaps
    16 bytes       BLAKE2b (RFC 7693) of all that, the digest

The inflated head is a line of JSON, ``{"d": description, "t": tensors, "w": weights}`` in UTF-8,
with ``"a": {further name: name}`` where tensors have several names. Behind its line break are the
tables of the entropy coders. Entries are the fields of ``WeightEntry`` and ``TensorEntry`` in their
order. A string of symbols is its coder's number and the sizes of table and string in bytes.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np

from laq.checkpoints.deep_container.coders import CODERS
from laq.checkpoints.deep_container.fixed import width
from laq.utils.errors import CheckpointError, DataError

MAGIC = b"LAQ\x01"
DIGEST = 16  # bytes
# Bytes of types that a tensor may have, by safetensors' names.
TYPES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1}
TYPES |= {"BOOL": 1}

# Most bytes of an inflated head.
_LARGEST = 2**24
_DIMENSIONS = 8
_SYMBOLS = tuple(CODERS)

# What descriptions often say, the most frequent last.
WORDS = (
    b'"momentum":0.9,"optimizer":"adamw","sgd","schedule":"one_cycle","cosine","step","constant",'
    b'"weight_decay":0.0005,"warmup":0,"clip_norm":0,"milestones":[],"factor":0.1,"augment":{},'
    b'"label_smoothing":0.0,"decay_norms":true,"precision":"float32","processes":1,"threads":2,'
    b'"shift":2,"flip":false,"policy":"none","erase":0,"seed":0,"epochs":10,"batch_size":64,'
    b'"learning_rate":0.001,"ratios":{},"std":1.0,"target":0.9,"rounds":3,"pruning":{"prune":'
    b'"conv":8,"linear":5,"bits":{"initial":"density","random","linear","index_bits":5,"tuning":'
    b'"coder":"ans","huffman","fixed","images":[1,28,28],[3,32,32],"from":"training",'
    b'"num_batches_tracked","I64",[]],"running_mean","F32",["running_var","downsample","layer1.0.'
    b'"features.0.weight","features.1.bias","classifier.6.weight","classifier.0.bias",'
    b'"conv1.weight","conv2.bias","conv1","conv2","ip1.weight","ip2.bias","ip1","ip2","ip3","fc1.'
    b'weight","fc2.bias","fc3","head.weight","head.bias","network":{"channels":1,"classes":10,'
    b'"name":"lenet_300_100","lenet5","vgg16","alexnet","resnet50"},"widths":[64,128,256],'
    b'"classes":["0","1","2","3","4","5","6","7","8","9"],"subset":[0,1,2,3,4,5,6,7,8,9],'
    b'{"d":{"alphabet":null,"bits":5,"calibration":{"classes":"subset","all","images":null,'
    b'"parent":"original","finetuned","parent_digest":"0123456789abcdef","repeat":1,"seed":0,'
    b'"steps":[{"deep":{"classes":"transforms":[],"variant":"deep","weights":null},"t":[["w":[["'
)


@dataclass(frozen=True)
class String:
    """Symbols that a coder wrote: bytes of its table, in the head, and of the string."""

    coder: str
    table: int
    size: int


@dataclass(frozen=True)
class WeightEntry:
    """A pruned weight: its codebook or values, marks of its lines, its codes, its indices.

    columns: whether it is walked along its first dimension first. lines: whether rows and columns
    of zeros are left out. Each row and column of the matrix then has a bit: whether it is walked.
    kept: number of its weights. entries: these and the fillers. centroids: of the codebook, 0 where
    each entry has a value of its own. half: whether codebook or values are in half precision.
    index_bits: 0 where all are kept.
    """

    name: str
    shape: tuple[int, ...]
    index_bits: int
    columns: bool
    lines: bool
    kept: int
    entries: int
    centroids: int
    half: bool
    codes: String
    indices: String

    def __post_init__(self) -> None:
        size, numbers = self.weights, (self.index_bits, self.kept, self.entries, self.centroids)
        valid = (
            isinstance(self.name, str)
            and all(type(number) is int and number >= 0 for number in numbers)
            and self.index_bits <= 8
            and self.centroids <= 256
            and self.kept <= self.entries <= size
            and (size < self.entries + 1 << (8 if self.lines else self.index_bits)
                 if self.index_bits else size == self.kept and not self.lines
                 and not self.indices.size + self.indices.table)
            and (self.centroids or not self.codes.size + self.codes.table)
        )  # fmt: skip
        if not valid:
            raise DataError(f"a weight that cannot be: {self}")

    @property
    def weights(self) -> int:
        return _count(self.shape)

    @property
    def values(self) -> int:
        """Bytes of codebook or values."""
        return (self.centroids or self.entries) * (2 if self.half else 4)

    @property
    def marks(self) -> int:
        """Bytes of the marks of lines."""
        rows = self.shape[0]
        return -(-(rows + self.weights // rows) // 8) if self.lines else 0

    @property
    def stored(self) -> int:
        """Bytes of all its parts, with tables before they are deflated."""
        return self.values + self.marks + self.symbols

    @property
    def symbols(self) -> int:
        """Bytes of codes and indices, with their tables."""
        return sum(string.size + string.table for string in (self.codes, self.indices))


@dataclass(frozen=True)
class TensorEntry:
    """Any other tensor. half: whether a float32 one is in half precision, which loses no bit."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    half: bool

    def __post_init__(self) -> None:
        valid = isinstance(self.name, str) and self.dtype in TYPES
        if not valid or (self.half and self.dtype != "F32"):
            raise DataError(f"a tensor that cannot be: {self}")

    @property
    def stored(self) -> int:
        """Its bytes in the file."""
        return _count(self.shape) * (2 if self.half else TYPES[self.dtype])


@dataclass(frozen=True)
class Header:
    """The head of a container.

    tables: of the coders, in the order of the weights. aliases: further names of tensors, to the
    names that the tensors are listed by.
    """

    description: Mapping[str, Any]
    weights: tuple[WeightEntry, ...]
    tensors: tuple[TensorEntry, ...]
    tables: bytes
    aliases: Mapping[str, str] = field(default_factory=dict)

    @property
    def stored(self) -> int:
        """Bytes behind the head, the digest not among them."""
        weight_bytes = sum(w.values + w.marks + w.codes.size + w.indices.size for w in self.weights)
        return weight_bytes + sum(tensor.stored for tensor in self.tensors)


def written(head: Header) -> bytes:
    """The first bytes of a container, up to what the head lists."""
    content = {
        "d": head.description,
        "t": [[t.name, t.dtype, t.shape, int(t.half)] for t in head.tensors],
        "w": [[*_plain(weight)] for weight in head.weights],
    }
    if head.aliases:
        content["a"] = dict(head.aliases)
    text = json.dumps(
        content, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":")
    )
    inflated = text.encode() + b"\n" + head.tables
    if len(inflated) > _LARGEST:
        raise ValueError(f"a head of {len(inflated)} bytes")
    deflater = zlib.compressobj(9, zlib.DEFLATED, 15, 9, zlib.Z_DEFAULT_STRATEGY, WORDS)
    deflated = deflater.compress(inflated) + deflater.flush()
    return MAGIC + number(len(deflated)) + number(len(inflated)) + deflated


def read(content: bytes) -> tuple[Header, int]:
    """The head of a container that begins with ``content``, and where the head ends.

    Raises ``DataError`` for what is no head, or is cut short.
    """
    if content[: len(MAGIC)] != MAGIC:
        raise DataError("no container of this format")
    deflated_size, offset = _number(content, len(MAGIC))
    inflated_size, offset = _number(content, offset)
    if inflated_size > _LARGEST:
        raise DataError(f"a head of {inflated_size} bytes")
    try:
        inflater = zlib.decompressobj(zdict=WORDS)
        inflated = inflater.decompress(content[offset : offset + deflated_size], inflated_size + 1)
        if not inflater.eof or inflater.unused_data or len(inflated) != inflated_size:
            raise DataError("a head that is cut short, or longer than it says")
        text, _, tables = inflated.partition(b"\n")
        record = json.loads(text)
        head = Header(
            record["d"],
            tuple(_weight(*entry) for entry in record["w"]),
            tuple(_tensor(*entry) for entry in record["t"]),
            tables,
            record.get("a", {}),
        )
    except (zlib.error, ValueError, RecursionError, KeyError, TypeError) as error:
        raise DataError(f"a head that is damaged ({error})") from error
    names = [entry.name for entry in (*head.weights, *head.tensors)]
    table_bytes = sum(string.table for w in head.weights for string in (w.codes, w.indices))
    if not isinstance(head.description, dict) or len({*names}) < len(names):
        raise DataError("a head without a description, or with a name twice")
    if not isinstance(head.aliases, dict) or any(
        name in names or first not in names for name, first in head.aliases.items()
    ):
        raise DataError("a head with further names of what it does not list")
    if table_bytes != len(tables):
        raise DataError(f"{len(tables)} bytes of tables where {table_bytes} belong")
    return head, offset + deflated_size


def longest(content: bytes) -> int:
    """How many bytes ``read`` needs of a container that begins with ``content``, 16 or more."""
    if content[: len(MAGIC)] != MAGIC:
        return len(content)
    deflated_size, offset = _number(content, len(MAGIC))
    return _number(content, offset)[1] + deflated_size


def digest(parts: Sequence[bytes | memoryview]) -> bytes:
    """The digest of ``parts``, which are all bytes before it."""
    hasher = blake2b(digest_size=DIGEST)
    for part in parts:
        hasher.update(part)
    return hasher.digest()


def number(value: int) -> bytes:
    """A whole number from 0 on, 7 bits a byte."""
    octets = bytearray()
    while value > 127:
        octets.append(value & 127 | 128)
        value >>= 7
    octets.append(value)
    return bytes(octets)


def _number(content: bytes, place: int) -> tuple[int, int]:
    """A number, of at most 5 bytes, and where it ends."""
    value = 0
    for shift in range(0, 35, 7):
        if place >= len(content):
            break
        octet = content[place]
        place += 1
        value |= (octet & 127) << shift
        if octet < 128:
            return value, place
    raise DataError("a number that does not end")


def _plain(weight: WeightEntry) -> Sequence[Any]:
    strings = [[_SYMBOLS.index(s.coder), s.table, s.size] for s in (weight.codes, weight.indices)]
    walk = int(weight.columns) + 2 * int(weight.lines)
    flags = (walk, weight.kept, weight.entries, weight.centroids, int(weight.half))
    return weight.name, weight.shape, weight.index_bits, *flags, *strings


def _weight(*fields: Any) -> WeightEntry:
    name, shape, bits, walk, kept, entries, centroids, half, codes, indices = fields
    if type(walk) is not int or not 0 <= walk < 4:
        raise DataError(f"walk {walk!r}")
    strings = (_string(*codes), _string(*indices))
    scalars = bits, walk % 2 == 1, walk > 1, kept, entries, centroids, _flag(half)
    return WeightEntry(name, _shape(shape, 1), *scalars, *strings)


def _tensor(name: Any, dtype: Any, shape: Any, half: Any) -> TensorEntry:
    return TensorEntry(name, dtype, _shape(shape, 0), _flag(half))


def _string(coder: Any, table: Any, size: Any) -> String:
    if any(type(n) is not int or n < 0 for n in (coder, table, size)) or coder >= len(_SYMBOLS):
        raise DataError(f"a string that cannot be: {coder}, {table}, {size}")
    return String(_SYMBOLS[coder], table, size)


def _flag(value: Any) -> bool:
    if value not in (0, 1):
        raise DataError(f"{value!r} where 0 or 1 belongs")
    return bool(value)


def _shape(value: Any, least: int) -> tuple[int, ...]:
    if not isinstance(value, list) or not least <= len(value) <= _DIMENSIONS:
        raise DataError(f"shape {value!r}")
    if any(type(side) is not int or side < least for side in value):
        raise DataError(f"shape {value!r}")
    return tuple(value)


def _count(shape: Sequence[int]) -> int:
    return math.prod(shape)


# The description of a deeply compressed checkpoint, from its container's head.
#
# Like ``laq.checkpoints.metadata``, which calls it, this takes no torch and reads no weight.


TENSOR = "deep"


def content(path: str | os.PathLike[str], file: Any, remedy: str) -> dict[str, Any]:
    """What ``laq.checkpoints.metadata.content`` gives of other files, without the format's version.

    file: opened safetensors. ``packed`` has a run for each weight that shares values; its codes
    and indices count as the run's codes. The digest is not checked. Raises ``CheckpointError``.
    """
    container = file.get_slice(TENSOR)
    shape, dtype = container.get_shape(), container.get_dtype()
    if dtype != "U8" or len(shape) != 1 or shape[0] < 16 + DIGEST:
        raise CheckpointError(f"{path} holds no container ({dtype} {shape}): {remedy}")

    def part(first: int, last: int) -> bytes:
        return np.asarray(container[first:last]).tobytes()

    try:
        size = longest(part(0, 16))
        header, _ = read(part(0, min(size, shape[0])))
    except DataError as error:
        raise CheckpointError(f"{path} has a damaged description ({error}): {remedy}") from error
    digest = part(shape[0] - DIGEST, shape[0]).hex()
    return {**header.description, "packed": packed(header), "digest": digest}


def packed(found: Header) -> dict[str, list[dict[str, Any]]]:
    """The fields of ``laq.checkpoints.metadata.PackedRun`` of each weight of two dimensions that
    shares values.
    """
    return {
        entry.name: [
            {
                "shape": list(entry.shape),
                "width": max(1, entry.centroids.bit_length()),  # with the 0 of what is pruned
                "bits": width(entry.centroids),
                "scheme": "shared",
                "kind": "codebook",
                "grid": {"rows": None},
                "tensors": ["table"],
                "stored": entry.symbols,
            }
        ]
        for entry in found.weights
        if entry.centroids and len(entry.shape) > 1
    }
