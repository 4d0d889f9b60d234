"""Checkpoints: what is written is what is read, byte for byte, and damage never passes."""

from __future__ import annotations

import json
import math
import pickle
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from laq.checkpoints import packing
from laq.quantizers import bitpacking
from laq.quantizers.grids import Uniform
from laq.quantizers.packed_weight import PackedWeight
from laq.quantizers.uniform import Alphabet
from laq.utils.errors import CheckpointError

DESCRIPTION = {
    "network": {"name": "tiny", "classes": 3},
    "variant": "quant",
    "seed": 7,
    "calibration": {"images": 64, "classes": ["é", "b"]},
}


class Tiny(nn.Module):
    """A convolution, BatchNorm with its buffers, and a linear layer."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3)
        self.bn = nn.BatchNorm2d(5)
        self.fc = nn.Linear(5, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.bn(self.conv(x)).relu().mean((2, 3)))


def compressed(
    bits: int = 4, scheme: str = "packed", per_channel: bool = False
) -> tuple[Tiny, dict[str, tuple[PackedWeight, ...]]]:
    """A network whose two weights hold alphabet values, and their codes."""
    torch.manual_seed(0)
    network, packed = Tiny(3), {}
    for name in ("conv", "fc"):
        weight = network.get_submodule(name).weight
        rows = weight.detach().flatten(1)
        alphabet = Alphabet.from_weights(rows, bits, scheme, per_channel=per_channel)
        codes = alphabet.nearest(rows)
        weight.data = alphabet.values(codes).view_as(weight)
        packed[f"{name}.weight"] = (PackedWeight(codes.view_as(weight), alphabet),)
    return network, packed


def packed_weight(
    shape: tuple[int, ...] = (2, 3), code: int = 1, codes: torch.Tensor | None = None, **fields
) -> PackedWeight:
    """A weight of 4 bits, whose codes are all equal."""
    given = {"step": torch.tensor(0.5), "low": -7, "high": 7, "bits": 4, "scheme": "packed"}
    return PackedWeight(
        torch.full(shape, code) if codes is None else codes, Uniform(**(given | fields))
    )


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    network, packed = compressed()
    path = tmp_path / "quant.safetensors"
    packing.save(path, network.state_dict(), DESCRIPTION, packed)
    return path


def metadata(path: Path) -> dict:
    with safe_open(path, framework="pt") as file:
        assert list(file.metadata()) == ["laq"]
        return json.loads(file.metadata()["laq"])


def rewritten(path: Path, change, signed: bool = False) -> Path:
    """The checkpoint after ``change(tensors, content)``, with its old digest or a right one."""
    content = metadata(path)
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(tensors, content)
    if signed:
        content["digest"] = packing._digest(content, tensors)
    save_file(tensors, path, metadata={"laq": json.dumps(content)})
    return path


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("scheme", ["paper", "packed"])
@pytest.mark.parametrize("bits", [2, 4, 8, 32])
def test_a_network_comes_back_bit_for_bit(tmp_path, bits, scheme, per_channel):
    network, packed = compressed(bits, scheme, per_channel)
    path = tmp_path / "new" / "quant.safetensors"
    packing.save(path, network.state_dict(), DESCRIPTION, packed)
    checkpoint = packing.read(path)
    assert checkpoint.description == DESCRIPTION == packing.describe(path)
    assert checkpoint.state.keys() == network.state_dict().keys()
    for name, tensor in network.state_dict().items():
        assert checkpoint.state[name].dtype == tensor.dtype
        assert torch.equal(checkpoint.state[name], tensor), name


def test_the_file_holds_codes_at_their_true_width(checkpoint):
    with safe_open(checkpoint, framework="pt") as file:
        shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    assert shapes["conv.weight.codes.0"] == [5 * 27 * 4 // 8 + 1]  # 67.5 bytes, rounded up
    assert shapes["fc.weight.codes.0"] == [8]
    assert shapes["conv.weight.step.0"] == []
    assert "conv.weight" not in shapes
    assert metadata(checkpoint)["packed"]["conv.weight"] == [
        {
            "shape": [5, 3, 3, 3],
            "width": 4,
            "bits": 4,
            "scheme": "packed",
            "kind": "uniform",
            "grid": {"low": -7, "high": 7, "gap": 0.0, "shift": 0.0},
            "tensors": ["step"],
        }
    ]


def test_codes_come_back_as_they_were_saved(checkpoint):
    _, packed = compressed()
    restored = packing.read(checkpoint).packed
    assert restored.keys() == packed.keys()
    for name, (weight,) in packed.items():
        (found,) = restored[name]
        assert found.codes.dtype == torch.int8
        assert torch.equal(found.codes.long(), weight.codes.long())
        assert torch.equal(found.grid.step, weight.grid.step)
        assert found.values.shape == weight.codes.shape
        fields = ("bits", "scheme", "low", "high", "width", "gap", "shift", "rows", "columns")
        assert all(getattr(found.grid, field) == getattr(weight.grid, field) for field in fields)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_nbytes_are_those_of_the_file(tmp_path, bits, per_channel):
    network, packed = compressed(bits, per_channel=per_channel)
    path = tmp_path / "quant.safetensors"
    packing.save(path, network.state_dict(), {}, packed)
    with safe_open(path, framework="pt") as file:
        sizes = {
            name: file.get_tensor(name).nbytes
            for name in file.keys()  # noqa: SIM118
        }
    for name, (weight,) in packed.items():
        assert weight.nbytes == sizes[f"{name}.codes.0"] + sizes[f"{name}.step.0"]


def test_runs_of_rows_have_their_own_width_step_and_gap(tmp_path):
    generator = torch.Generator().manual_seed(0)
    runs = tuple(
        PackedWeight(
            torch.randint(-largest, largest + 1, (rows, 3, 2), generator=generator, dtype=dtype),
            Uniform(step, -largest, largest, bits, scheme, gap=gap),
        )
        for rows, dtype, step, bits, scheme, largest, gap in [
            (3, torch.int64, torch.tensor(0.1), 5, "packed", 15, 0.0),
            (1, torch.int8, torch.rand(1, 1), 3, "paper", 4, 0.7),
            (4, torch.int32, torch.rand(4, 1), 32, "packed", 2**31 - 1, 0.0),
        ]
    )
    weight = torch.cat([run.values for run in runs])
    path = tmp_path / "mixed.safetensors"
    packing.save(path, {"w": torch.zeros(8, 3, 2), "b": torch.ones(8)}, {}, {"w": runs})
    checkpoint = packing.read(path)
    assert torch.equal(checkpoint.state["w"], weight)
    assert checkpoint.state.keys() == {"w", "b"}
    found = checkpoint.packed["w"]
    assert [run.codes.dtype for run in found] == [torch.int8, torch.int8, torch.int32]
    for before, after in zip(runs, found, strict=True):
        assert torch.equal(before.codes.long(), after.codes.long())
        assert torch.equal(before.grid.step, after.grid.step)
        assert before.nbytes == after.nbytes


@settings(max_examples=25, deadline=None)
@given(
    shape=st.lists(st.integers(1, 5), min_size=2, max_size=4),
    bits=st.integers(2, 32),
    scheme=st.sampled_from(["paper", "packed"]),
    per_channel=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_any_weight_comes_back_bit_for_bit(
    tmp_path_factory, shape, bits, scheme, per_channel, seed
):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(shape, generator=generator)
    rows = weight.flatten(1)
    alphabet = Alphabet.from_weights(rows, bits, scheme, per_channel=per_channel)
    codes = alphabet.nearest(rows)
    path = tmp_path_factory.mktemp("any") / "a.safetensors"
    packed = {"w": [PackedWeight(codes.view(shape), alphabet)]}
    packing.save(path, {"w": weight}, {}, packed)
    assert torch.equal(packing.read(path).state["w"], alphabet.values(codes).view(shape))


def test_the_same_checkpoint_gives_the_same_bytes(checkpoint, tmp_path):
    network, packed = compressed()
    state = dict(reversed(network.state_dict().items()))
    again = tmp_path / "again.safetensors"
    description = dict(reversed(DESCRIPTION.items()))
    packing.save(again, state, description, dict(reversed(packed.items())))
    assert again.read_bytes() == checkpoint.read_bytes()


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
@pytest.mark.parametrize("reader", [packing.read, packing.describe])
def test_a_truncated_file_is_refused(checkpoint, share, reader):
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(CheckpointError, match=r"quant.safetensors is truncated .* delete it"):
        reader(checkpoint)


def test_any_flipped_byte_is_refused(checkpoint):
    whole = bytearray(checkpoint.read_bytes())
    for place in range(0, len(whole), 7):
        whole[place] ^= 1
        checkpoint.write_bytes(whole)
        with pytest.raises(CheckpointError, match=r"quant.safetensors"):
            packing.read(checkpoint)
        whole[place] ^= 1


def drop(tensors, content):
    del tensors["fc.weight.codes.0"]


def add(tensors, content):
    tensors["extra"] = torch.ones(1)


def rename(tensors, content):
    tensors["renamed"] = tensors.pop("bn.bias")


def reshape(tensors, content):
    tensors["bn.weight"] = tensors["bn.weight"].view(5, 1)


def retype(tensors, content):
    tensors["bn.weight"] = tensors["bn.weight"].view(torch.int32)


def alter(tensors, content):
    tensors["fc.bias"][0] += 1


def shorten(tensors, content):
    tensors["fc.weight.codes.0"] = tensors["fc.weight.codes.0"][:-1].clone()


def relabel(tensors, content):
    content["variant"] = "original"


def rescale(tensors, content):
    content["packed"]["fc.weight"][0]["bits"] = 3


def make_unwritable(tensors, content):
    content["note"] = math.inf


@pytest.mark.parametrize(
    "change",
    [drop, add, rename, reshape, retype, alter, shorten, relabel, rescale, make_unwritable],
)
def test_an_altered_file_is_refused(checkpoint, change):
    with pytest.raises(CheckpointError, match=r"quant.safetensors was altered .* delete it"):
        packing.read(rewritten(checkpoint, change))


def lie(**fields):
    def change(tensors, content):
        content["packed"]["fc.weight"][0] |= fields

    return change


def entry(value):
    def change(tensors, content):
        content["packed"]["fc.weight"] = value

    return change


def forget(tensors, content):
    del content["packed"]["fc.weight"][0]["width"]


def mismatch(tensors, content):
    content["packed"]["fc.weight"].append({**content["packed"]["conv.weight"][0]})


def duplicate(tensors, content):
    tensors["fc.weight"] = torch.zeros(3, 5)


def drop_step(tensors, content):
    del tensors["fc.weight.step.0"]


def spread_step(tensors, content):
    tensors["fc.weight.step.0"] = torch.ones(5, 1)


def exceed(tensors, content):
    codes = torch.full((15,), -8)
    tensors["fc.weight.codes.0"] = bitpacking.pack(codes, 4)


WRONG = r"quant.safetensors describes its packed weights wrongly .* delete it"
OTHER = r"quant.safetensors holds other codes or scales of fc.weight than it describes .* delete it"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lie(shape=[3, 4]), OTHER),
        (lie(width=8), OTHER),
        (lie(width="4"), WRONG),
        (lie(grid={"low": -7}), OTHER),
        (lie(kind="magic"), OTHER),
        (lie(tensors=[]), OTHER),
        (lie(color="red"), WRONG),
        (entry({}), WRONG),
        (forget, WRONG),
        (mismatch, WRONG),
        (duplicate, r"holds fc.weight both packed and in float"),
        (drop_step, OTHER),
        (spread_step, OTHER),
        (exceed, r"of fc.weight .*codes from -8 to -8 go beyond -7 to 7"),
    ],
)
def test_metadata_that_lies_is_refused_though_its_digest_is_right(checkpoint, change, message):
    rewritten(checkpoint, change, signed=True)
    with pytest.raises(CheckpointError, match=message):
        packing.read(checkpoint)


@pytest.mark.parametrize("text", ["{", "[]", "3", "[" * 100_000])
def test_a_damaged_description_is_refused(tmp_path, text):
    path = tmp_path / "bad.safetensors"
    save_file({"w": torch.ones(2)}, path, metadata={"laq": text})
    with pytest.raises(CheckpointError, match=r"bad.safetensors has"):
        packing.describe(path)


class Malice:
    """Fails the test if anything unpickles it."""

    def __reduce__(self):
        return (pytest.fail, ("unpickled",))


def test_a_pickle_is_refused_unread(tmp_path):
    path = tmp_path / "pickle.safetensors"
    path.write_bytes(pickle.dumps(Malice()))
    with pytest.raises(CheckpointError, match=r"no safetensors file"):
        packing.read(path)


def test_a_resnet50_of_4_bits_takes_an_eighth_of_its_float_file(tmp_path):
    from torchvision.models import resnet50

    state = resnet50(num_classes=100).state_dict()
    generator = torch.Generator().manual_seed(0)
    packed = {}
    for name, weight in state.items():
        if weight.ndim >= 2:
            codes = torch.randint(-7, 8, weight.shape, generator=generator, dtype=torch.int8)
            packed[name] = [packed_weight(codes=codes, step=torch.tensor(0.01))]
    paths = [tmp_path / "float.safetensors", tmp_path / "packed.safetensors"]
    packing.save(paths[0], state, {})
    packing.save(paths[1], state, {}, packed)
    sizes = [path.stat().st_size for path in paths]
    assert len(packed) == 54
    assert sizes[1] / sizes[0] <= 0.131
    restored = packing.read(paths[1]).state
    assert all(torch.equal(restored[name], run.values) for name, (run,) in packed.items())
