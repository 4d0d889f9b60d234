"""One byte string that holds a whole compressed network, and describes itself.

``laq.checkpoints.deep_container.header`` says how it begins and ends. In between come the weights
in the order of their names, and then all other tensors. A weight is its codebook or its values,
marks of its lines, its codes and its indices (``laq.checkpoints.deep_container.coders``). Numbers
are little-endian.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from laq.checkpoints.deep_container import coders, sparse_index
from laq.checkpoints.deep_container import header as head
from laq.checkpoints.deep_container.coders import CodedSymbols
from laq.checkpoints.deep_container.header import (
    DIGEST,
    Header,
    String,
    TensorEntry,
    WeightEntry,
)
from laq.checkpoints.deep_container.sparse_index import absolute, by_rows, sides, spread
from laq.checkpoints.deep_container.sparse_weight import PrunedWeight, SharedWeight
from laq.checkpoints.packing import aliases
from laq.utils.errors import DataError

# Tensors as bytes: float32 in half precision where that loses no bit.


_TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


def halved(tensor: Tensor) -> bool:
    """Whether a float32 ``tensor`` is the same in half precision, bit for bit."""
    if tensor.dtype != torch.float32:
        return False
    restored = tensor.half().float()
    return bool((restored.view(torch.int32) == tensor.view(torch.int32)).all())


def packed(tensor: Tensor, half: bool) -> tuple[str, bytes]:
    """The name of a tensor's type, and its bytes, row-major.

    Raises ``ValueError`` for a type that has no name.
    """
    names = [name for name, dtype in _TYPES.items() if dtype == tensor.dtype]
    if not names:
        raise ValueError(f"tensors of type {tensor.dtype}")
    if not tensor.numel():
        return names[0], b""
    flat = (tensor.half() if half else tensor).contiguous().reshape(-1)
    return names[0], flat.view(torch.uint8).numpy().tobytes()


def unpacked(content: memoryview, dtype: str, shape: Sequence[int], half: bool) -> Tensor:
    """The tensor that ``packed`` was given."""
    if not math.prod(shape):
        return torch.zeros(shape, dtype=_TYPES[dtype])
    stored_dtype = torch.float16 if half else _TYPES[dtype]
    flat = torch.frombuffer(bytearray(content), dtype=stored_dtype)
    return (flat.float() if half else flat).view(shape)


Weights = Mapping[str, PrunedWeight | SharedWeight]


@dataclass(frozen=True, eq=False)
class Content:
    """What a container holds: arguments of ``encode``, and its digest in hexadecimal digits.

    state: all others than weights, each by one name. head: as it was read.
    """

    state: dict[str, Tensor]
    description: dict[str, Any]
    weights: dict[str, PrunedWeight | SharedWeight]
    digest: str
    head: Header

    def dense(self) -> dict[str, Tensor]:
        """Name to tensor, with weights as float32. A tensor of several names has all of them."""
        dense = self.state | {name: weight.weight() for name, weight in self.weights.items()}
        return dense | {alias: dense[name] for alias, name in self.head.aliases.items()}


def encode(
    state: Mapping[str, Tensor],
    description: Mapping[str, Any],
    weights: Weights,
    coder: str = "huffman",
) -> bytes:
    """The network as bytes; equal arguments give equal bytes.

    state: name to tensor. A name that ``weights`` has too is stored as ``weights`` has it. All
    others are stored as they are, but float32 in half precision where that loses no bit. A tensor
    is stored once where several names are of the same memory. weights: may be lazy, as weights are
    asked for one after the other. coder: ``huffman``, ``ans``, or ``fixed`` for codes and indices
    of fixed width.

    Raises ``ValueError`` for tensors of a type that no file has, and for a description that is not
    JSON: defects of the caller.
    """
    entries, tables, strings = [], [], []
    for name in sorted(weights):
        entry, table, weight_strings = encoded(name, weights[name], coder)
        entries.append(entry)
        tables.append(table)
        strings += weight_strings
    tensors = []
    duplicates = aliases(state, weights)
    for name in sorted(state.keys() - weights.keys() - duplicates.keys()):
        tensor = state[name].detach().cpu()
        half = halved(tensor)
        dtype, content = packed(tensor, half)
        tensors.append(TensorEntry(name, dtype, tuple(tensor.shape), half))
        strings.append(content)
    header = head.written(
        Header(description, tuple(entries), tuple(tensors), b"".join(tables), duplicates)
    )
    return b"".join([header, *strings, head.digest([header, *strings])])


def decode(content: bytes | memoryview) -> Content:
    """What ``encode`` was given, bit for bit.

    Raises ``DataError`` for bytes that ``encode`` cannot have written. The digest is checked before
    anything else, and no memory is taken for more than so many bytes can hold.
    """
    content = memoryview(content)
    body, digest = content[:-DIGEST], bytes(content[-DIGEST:])
    if head.digest([body]) != digest:
        raise DataError("its digest is of other bytes")
    header, offset = head.read(bytes(body[: head.longest(bytes(body[:16]))]))
    if offset + header.stored != len(body):
        raise DataError(f"{len(body) - offset} bytes where {header.stored} belong")
    bodies, tables = _Parts(body[offset:]), _Parts(memoryview(header.tables))
    weights = {}
    for entry in header.weights:
        try:
            weights[entry.name] = _restored(entry, bodies, tables)
        except (ValueError, DataError) as error:
            raise DataError(f"{entry.name}: {error}") from error
    state = {
        tensor.name: unpacked(bodies.take(tensor.stored), tensor.dtype, tensor.shape, tensor.half)
        for tensor in header.tensors
    }
    return Content(state, dict(header.description), weights, digest.hex(), header)


def encoded(
    name: str, weight: PrunedWeight | SharedWeight, coder: str
) -> tuple[WeightEntry, bytes, list[bytes]]:
    """A weight's entry in the head, the tables of its codes and indices, and its byte strings."""
    shared = isinstance(weight, SharedWeight)
    codes = weight.codes.numpy() if shared else None
    counts = np.bincount(codes, minlength=len(weight.centroids)) if shared else None
    layout = sparse_index.chosen(
        weight.positions.numpy(), weight.shape, weight.index_bits, counts, coder
    )
    if shared:
        values = weight.centroids
        symbols = coders.encode(*layout.symbols(codes, len(values)), coder)
    else:
        values = torch.zeros(layout.entries)
        kept = layout.indices.kept if layout.indices else layout.order
        values[torch.from_numpy(kept)] = weight.values[torch.from_numpy(layout.order)]
        symbols = CodedSymbols(coder, b"", b"")
    indices = CodedSymbols(coder, b"", b"")
    if layout.indices:
        indices = coders.encode(layout.indices.gaps, 1 << layout.indices.bits, coder)
    half = halved(values)
    entry = WeightEntry(
        name,
        tuple(weight.shape),
        layout.indices.bits if layout.indices else 0,
        layout.columns,
        layout.lines is not None,
        len(layout.order),
        layout.entries,
        len(values) if shared else 0,
        half,
        *(String(coded.coder, len(coded.table), len(coded.string)) for coded in (symbols, indices)),
    )
    marks = b"" if layout.lines is None else np.packbits(layout.lines).tobytes()
    strings = [packed(values, half)[1], marks, symbols.string, indices.string]
    return entry, symbols.table + indices.table, strings


def _restored(entry: WeightEntry, bodies: _Parts, tables: _Parts) -> PrunedWeight | SharedWeight:
    shared = entry.centroids > 0
    count = entry.centroids if shared else entry.entries
    values = unpacked(bodies.take(entry.values), "F32", (count,), entry.half)
    marks = np.frombuffer(bodies.take(entry.marks), dtype=np.uint8)
    strings = [
        CodedSymbols(
            string.coder, bytes(tables.take(string.table)), bytes(bodies.take(string.size))
        )
        for string in (entry.codes, entry.indices)
    ]
    fillers = entry.entries > entry.kept
    if shared:
        symbols = coders.decode(strings[0], entry.entries, entry.centroids + fillers)
        mask = symbols > 0 if fillers else np.ones(entry.entries, dtype=bool)
    else:
        mask = values.numpy() != 0
    indices, order = np.arange(entry.entries), np.arange(entry.kept)
    if entry.index_bits:
        gaps = coders.decode(strings[1], entry.entries, 1 << entry.index_bits)
        indices = absolute(gaps)[mask]
        sizes = sides(entry.shape)
        if entry.lines:
            lines = np.unpackbits(marks, count=sum(sizes)).astype(bool)
            sizes = int(lines[: sizes[0]].sum()), int(lines[sizes[0] :].sum())
        if len(indices) and indices[-1] >= math.prod(sizes):
            raise DataError(f"a weight at {indices[-1]} of {sizes}")
        if entry.columns:
            indices, order = by_rows(indices, sizes)
        if entry.lines:
            indices = spread(indices, entry.shape, lines)
    if len(order) != entry.kept or len(indices) != entry.kept:
        raise DataError(f"{int(mask.sum())} weights are kept, not {entry.kept}")
    bits = entry.index_bits
    shape, positions = entry.shape, torch.from_numpy(indices)
    if not shared:
        nonzero = values[torch.from_numpy(np.flatnonzero(mask)[order])]
        return PrunedWeight(shape, positions, nonzero, bits)
    codes = (symbols[mask] - fillers)[order].astype(np.uint8)
    return SharedWeight(shape, positions, torch.from_numpy(codes), values, bits)


class _Parts:
    """Bytes that are taken one part after the other."""

    def __init__(self, content: memoryview) -> None:
        self.content, self.place = content, 0

    def take(self, size: int) -> memoryview:
        self.place += size
        return self.content[self.place - size : self.place]
