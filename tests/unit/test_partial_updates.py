"""What a client downloads to update its network: that it is enough, that it is no more."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from laq.checkpoints import packing
from laq.experiments.partial import updates
from laq.quantizers.packed_weight import PackedWeight
from laq.quantizers.uniform import Alphabet
from laq.utils.errors import CheckpointError

SHAPES = {"stem.weight": (3, 5), "norm.bias": (3,), "norm.mean": (3,), "head.weight": (4, 7)}


def state(seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    tensors = {name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}
    return tensors | {"norm.seen": torch.tensor(seed)}


def on_grid(bits: int, weight: Tensor) -> PackedWeight:
    alphabet = Alphabet.of(weight.abs().max() / (2 ** (bits - 1) - 1), bits, "packed")
    return PackedWeight(alphabet.nearest(weight.flatten(1)).view(weight.shape), alphabet)


def stored(path: Path) -> dict[str, list[int]]:
    """Shapes of what a file holds, read without this library."""
    content = path.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + size])
    return {name: row["shape"] for name, row in header.items() if name != "__metadata__"}


@settings(deadline=None, max_examples=20)
@given(st.sets(st.sampled_from([*SHAPES, "norm.seen"])), st.sampled_from([2, 3, 4, 8]))
def test_an_update_holds_what_changed_and_makes_the_new_network(tmp_path_factory, names, bits):
    path = tmp_path_factory.getbasetemp() / "update.safetensors"
    before, other = state(0), state(1)
    weights = {name: (on_grid(bits, other[name]),) for name in ("stem.weight", "head.weight")}
    other |= {name: runs[0].values for name, runs in weights.items()}
    after = {name: other[name] if name in names else x for name, x in before.items()}
    packed = {name: runs for name, runs in weights.items() if name in names}
    float_update, update = updates.sizes(before, after, packed, path.parent)
    assert set(update.changed) == set(float_update.changed) == names
    assert updates.write(path, before, after, packed) == update
    new = updates.apply(before, path)
    assert new.keys() == after.keys() and updates.changed(new, after) == ()
    # Bytes by hand: codes and a step of 4 bytes, 4 bytes a number, a count of 8.
    counts = {"stem.weight": 15, "norm.bias": 3, "norm.mean": 3, "head.weight": 28}
    whole = {name: 4 * count for name, count in counts.items()} | {"norm.seen": 8}
    codes = {name: -(-counts[name] * bits // 8) + 4 for name in packed}
    assert float_update.payload == sum(whole[name] for name in names)
    assert update.payload == sum((whole | codes)[name] for name in names)
    assert update.bytes == path.stat().st_size
    assert update.header == 8 + struct.unpack("<Q", path.read_bytes()[:8])[0]
    assert sum(name.endswith("codes.0") for name in stored(path)) == len(packed)


def test_changes_are_told_bit_for_bit():
    before = {"zero": torch.zeros(2), "nan": torch.full((2,), torch.nan), "one": torch.ones(())}
    assert updates.changed(before, {name: x.clone() for name, x in before.items()}) == ()
    after = {
        "zero": -torch.zeros(2),
        "nan": torch.full((2,), torch.nan),
        "one": torch.ones(1),
        "new": torch.ones(1),
    }
    assert updates.changed(before, after) == ("zero", "one", "new")
    assert updates.changed(after, {"new": torch.ones(1, dtype=torch.float64)}) == ("new",)
    # In another layout the numbers are the same.
    image = torch.rand(2, 3, 4, 4)
    assert updates.changed({"x": image}, {"x": image.to(memory_format=torch.channels_last)}) == ()


def test_updates_of_other_networks_and_other_files_are_refused(tmp_path):
    path = tmp_path / "update.safetensors"
    updates.write(path, state(0), state(1))
    with pytest.raises(CheckpointError, match="updates another network than this one: fetch"):
        updates.apply(state(2), path)
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    with pytest.raises(CheckpointError, match="altered after it was written"):
        updates.apply(state(0), path)
    packing.save(path, state(1), {})
    with pytest.raises(CheckpointError, match="is no update"):
        updates.apply(state(0), path)
