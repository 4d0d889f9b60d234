"""What a client downloads to update a network that it has: the tensors that changed, no others.

An update is a file as ``laq.checkpoints.packing`` writes it, without the tensors that the client
already has, bit for bit. ``apply`` makes the new network from the old one and this file alone.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor

from laq.checkpoints import packing
from laq.quantizers.packed_weight import PackedWeight
from laq.utils import disks
from laq.utils.errors import CheckpointError

State = Mapping[str, Tensor]
Packed = Mapping[str, Sequence[PackedWeight]]

NOTHING: Packed = MappingProxyType({})


@dataclass(frozen=True)
class Update:
    """An update file.

    changed: names of the tensors in it. removed: names of tensors that the new network lacks.
    payload: bytes of its tensors, computed from their shapes, bits and grids. header: bytes of the
    file before the tensors, as the file's own first number states.
    """

    changed: tuple[str, ...]
    removed: tuple[str, ...]
    payload: int
    header: int

    @property
    def bytes(self) -> int:
        """Of the whole file."""
        return self.header + self.payload


def changed(before: State, after: State) -> tuple[str, ...]:
    """Names of the tensors of ``after`` that ``before`` does not have, bit for bit."""
    return tuple(name for name, tensor in after.items() if not _same(before.get(name), tensor))


def write(
    path: str | os.PathLike[str], before: State, after: State, packed: Packed = NOTHING
) -> Update:
    """Write the update from ``before`` to ``after`` to ``path``, atomically.

    packed: weights of ``after`` that are sent as codes and grids, as in
    ``laq.checkpoints.packing.save``; of these too only those that changed. Raises ``ValueError``
    for codes of other values than those of ``after``: a defect of the caller.
    """
    for name, runs in packed.items():
        values = torch.cat([run.values for run in runs])
        if not torch.equal(values, after[name].cpu()):
            raise ValueError(f"{name}: the codes are of other values than the network's")
        others = [other for other, first in packing.aliases(after, packed).items() if first == name]
        # To the bit: −0 may have become 0.
        after = {**after, **dict.fromkeys((name, *others), values)}
    names = changed(before, after)
    removed = tuple(name for name in before if name not in after)
    sent = {name: after[name] for name in names}
    codes = {name: runs for name, runs in packed.items() if name in sent}
    facts = {"of": _digest(before), "makes": _digest(after), "removed": list(removed)}
    packing.save(path, sent, {"update": facts}, codes)
    with Path(path).open("rb") as file:
        header = 8 + int.from_bytes(file.read(8), "little")
    return Update(names, removed, payload(sent, codes), header)


def payload(state: State, packed: Packed = NOTHING) -> int:
    """Bytes of the tensors of ``state``, computed: those in ``packed`` as codes and grids."""
    coded = sum(run.nbytes for runs in packed.values() for run in runs)
    others = packed.keys() | packing.aliases(state, packed).keys()
    return coded + sum(tensor.nbytes for name, tensor in state.items() if name not in others)


def apply(before: State, path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The new network's tensors from those that a client has and an update, checked bit for bit.

    Raises ``CheckpointError`` for a file that is no update, is damaged, or is one of another
    network than ``before``.
    """
    update = packing.read(path)
    facts = update.description.get("update")
    if not isinstance(facts, dict):
        raise CheckpointError(
            f"{path} is no update: give one that laq.experiments.partial.updates wrote"
        )
    if facts.get("of") != _digest(before):
        raise CheckpointError(
            f"{path} updates another network than this one: fetch the update for the version that "
            "is here, or the whole network"
        )
    after = {
        name: tensor for name, tensor in before.items() if name not in facts["removed"]
    } | update.state
    if facts.get("makes") != _digest(after):
        raise CheckpointError(f"{path} does not make the network it says: fetch it again")
    return after


def sizes(before: State, after: State, packed: Packed, place: Path) -> tuple[Update, Update]:
    """The update with all in float, and the one with ``packed`` weights as codes, in this order.

    Both files are written in the folder ``place``, and removed.
    """
    with disks.folder(place, ".update") as folder:
        path = folder / "update.safetensors"
        return write(path, before, after), write(path, before, after, packed)


def _same(one: Tensor | None, other: Tensor) -> bool:
    if one is None or one.dtype != other.dtype or one.shape != other.shape:
        return False
    return torch.equal(_bits(one), _bits(other))


def _bits(x: Tensor) -> Tensor:
    """As bytes, since NaN differs from itself, and −0 does not from 0."""
    return x.detach().cpu().contiguous().reshape(-1).view(torch.uint8)


def _digest(state: State) -> str:
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name]
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(_bits(tensor).numpy())
    return digest.hexdigest()
