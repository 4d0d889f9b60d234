"""Files of deeply compressed networks: safetensors around one container.

The one tensor, ``deep``, holds the bytes of the container, which include the description. The
metadata's key ``laq`` says ``deep``. ``laq.checkpoints.packing.read`` reads such files through this
module, ``laq.checkpoints.metadata`` through ``laq.checkpoints.deep_container.header``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from laq.checkpoints import metadata
from laq.checkpoints.deep_container import container, size_formula
from laq.checkpoints.deep_container.container import Content, Weights
from laq.checkpoints.deep_container.fixed import width
from laq.checkpoints.deep_container.header import TENSOR, WeightEntry
from laq.checkpoints.deep_container.sparse_weight import SharedWeight
from laq.checkpoints.metadata import REMEDY
from laq.checkpoints.packing import Checkpoint
from laq.quantizers.grids import Codebook
from laq.quantizers.packed_weight import PackedWeight
from laq.utils.errors import CheckpointError, DataError
from laq.utils.files import atomic


def save(
    path: str | os.PathLike[str],
    state: Mapping[str, Tensor],
    description: Mapping[str, Any],
    weights: Weights,
    coder: str = "huffman",
) -> None:
    """Write the network to ``path`` atomically, as
    ``laq.checkpoints.deep_container.container.encode`` codes it.

    Raises ``ValueError`` as that does, and for a description that uses a key of the format's own.
    """
    if clash := metadata.OWN_KEYS & description.keys():
        raise ValueError(f"description uses keys of the format's own: {sorted(clash)}")
    content = torch.frombuffer(
        bytearray(container.encode(state, description, weights, coder)), dtype=torch.uint8
    )
    with atomic(path) as temporary:
        save_file({TENSOR: content}, temporary, metadata={metadata.KEY: metadata.DEEP})


def contained(path: str | os.PathLike[str]) -> Content:
    """The content of the file, weights as they were coded. Raises ``CheckpointError``."""
    with metadata.opened(path, "pt") as file:
        metadata.content(path, file)
        return _decoded(path, file)


def read(path: str | os.PathLike[str], file: Any) -> Checkpoint:
    """The checkpoint in the opened ``file``, which ``laq.checkpoints.metadata.content`` accepted.

    Raises ``CheckpointError``, which names ``path`` and the remedy, for one that was altered.
    """
    content = _decoded(path, file)
    state = content.dense()
    for name, tensor in state.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise CheckpointError(f"{path}: {name} holds NaN or infinite values: {REMEDY}")
    entries = {entry.name: entry for entry in content.head.weights}
    packed = {
        name: (_packed(weight, entries[name]),)
        for name, weight in content.weights.items()
        if isinstance(weight, SharedWeight) and len(weight.shape) > 1
    }
    return Checkpoint(content.description, state, packed)


class SparseCoding:
    """How a weight's codes are stored: ``laq.checkpoints.packing.Coding``."""

    def __init__(self, entry: WeightEntry, weight: SharedWeight) -> None:
        self._entry, self._weight = entry, weight
        self.nbytes = entry.stored
        self.code_bytes = entry.symbols

    @cached_property
    def sizes(self) -> size_formula.Stored:
        return size_formula.stored(self._entry, self._weight)

    @property
    def entropy(self) -> float:
        return self.sizes.entropy


def _decoded(path: str | os.PathLike[str], file: Any) -> Content:
    try:
        return container.decode(memoryview(file.get_tensor(TENSOR).numpy()))
    except ModuleNotFoundError as error:
        raise CheckpointError(
            f"{path} was coded by {error.name}, which is not installed: pip install it"
        ) from error
    except DataError as error:
        raise CheckpointError(
            f"{path} was altered or cannot be read ({error}): {REMEDY}"
        ) from error


def _packed(weight: SharedWeight, entry: WeightEntry) -> PackedWeight:
    """The weight as codes of all its entries. The 0 of pruned entries is one of the levels."""
    levels = torch.cat((torch.zeros(1), weight.centroids))
    table, order = levels.sort(stable=True)
    grid = Codebook(table[None], width(len(weight.centroids)), "shared")
    ranks = order.argsort() + grid.low
    codes = torch.full((entry.weights,), int(ranks[0]), dtype=grid.dtype)
    codes[weight.positions] = ranks[1:].to(grid.dtype)[weight.codes.long()]
    return PackedWeight(codes.view(weight.shape), grid, SparseCoding(entry, weight))
