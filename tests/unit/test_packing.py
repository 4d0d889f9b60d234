"""Checkpoints: what is written is what is read, byte for byte, and damage never passes."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from laq import networks, packing
from laq.alphabets import Alphabet
from laq.errors import CheckpointError
from laq.packing import PackedWeight

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
) -> tuple[Tiny, dict[str, PackedWeight]]:
    """A network whose two weights hold alphabet values, and their codes."""
    torch.manual_seed(0)
    network, packed = Tiny(3), {}
    for name in ("conv", "fc"):
        weight = network.get_submodule(name).weight
        rows = weight.detach().flatten(1)
        alphabet = Alphabet.from_weights(rows, bits, scheme, per_channel=per_channel)
        codes = alphabet.codes(rows)
        weight.data = alphabet.values(codes).view_as(weight)
        packed[f"{name}.weight"] = alphabet.pack(codes.view_as(weight))
    return network, packed


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


def rewritten(path: Path, change) -> Path:
    """The checkpoint after ``change(tensors, content)``, with its old digest."""
    content = metadata(path)
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(tensors, content)
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
    assert shapes["conv.weight.codes"] == [5 * 27 * 4 // 8 + 1]  # 67.5 bytes, rounded up
    assert shapes["fc.weight.codes"] == [8]
    assert shapes["conv.weight.step"] == []
    assert "conv.weight" not in shapes
    assert packing.read(checkpoint).packed["conv.weight"] == {
        "shape": [5, 3, 3, 3],
        "bits": 4,
        "scheme": "packed",
        "width": 4,
        "largest": 7,
    }


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
    codes = alphabet.codes(rows)
    path = tmp_path_factory.mktemp("any") / "a.safetensors"
    packed = {"w": alphabet.pack(codes.view(shape))}
    packing.save(path, {"w": weight}, {}, packed)
    assert torch.equal(packing.read(path).state["w"], alphabet.values(codes).view(shape))


def test_the_same_checkpoint_gives_the_same_bytes(checkpoint, tmp_path):
    network, packed = compressed()
    state = dict(reversed(network.state_dict().items()))
    again = tmp_path / "again.safetensors"
    description = dict(reversed(DESCRIPTION.items()))
    packing.save(again, state, description, dict(reversed(packed.items())))
    assert again.read_bytes() == checkpoint.read_bytes()


def test_views_of_one_storage_and_empty_tensors_are_stored(tmp_path):
    base = torch.arange(12.0).view(3, 4)
    state = {"a": base, "b": base.T, "c": base[1], "empty": base[:0], "n": torch.tensor(3)}
    packing.save(tmp_path / "views.safetensors", state, {})
    restored = packing.read(tmp_path / "views.safetensors").state
    assert all(torch.equal(restored[name], tensor) for name, tensor in state.items())


def test_load_gives_a_ready_network(checkpoint, monkeypatch):
    monkeypatch.setattr(networks, "create", lambda name, classes: {"tiny": Tiny}[name](classes))
    loaded, (network, _) = packing.load(checkpoint), compressed()
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert not loaded.training
    with torch.no_grad():
        assert torch.equal(loaded(images), network.eval()(images))


def test_load_refuses_tensors_of_another_network(checkpoint, monkeypatch):
    monkeypatch.setattr(networks, "create", lambda name, classes: Tiny(classes + 1))
    with pytest.raises(CheckpointError, match=r"(?s)quant.safetensors does not fit .*fc\.weight"):
        packing.load(checkpoint)


def test_load_refuses_a_file_that_names_no_network(tmp_path):
    path = tmp_path / "nameless.safetensors"
    packing.save(path, {"w": torch.ones(1)}, {"variant": "quant"})
    with pytest.raises(CheckpointError, match=r"nameless.safetensors does not say which network"):
        packing.load(path)


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
    del tensors["fc.weight.codes"]


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
    tensors["fc.weight.codes"] = tensors["fc.weight.codes"][:-1].clone()


def relabel(tensors, content):
    content["variant"] = "original"


def rescale(tensors, content):
    content["packed"]["fc.weight"]["bits"] = 3


@pytest.mark.parametrize(
    "change", [drop, add, rename, reshape, retype, alter, shorten, relabel, rescale]
)
def test_an_altered_file_is_refused(checkpoint, change):
    with pytest.raises(CheckpointError, match=r"quant.safetensors was altered .* delete it"):
        packing.read(rewritten(checkpoint, change))


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_another_format_version_is_refused(checkpoint, version):
    rewritten(checkpoint, lambda tensors, content: content.update(format=version))
    with pytest.raises(CheckpointError, match=f"has checkpoint format {version!r}"):
        packing.describe(checkpoint)


@pytest.mark.parametrize("key", ["packed", "digest"])
def test_a_description_without_its_own_keys_is_refused(checkpoint, key):
    rewritten(checkpoint, lambda tensors, content: content.pop(key))
    with pytest.raises(CheckpointError, match=f"lacks .*{key}"):
        packing.read(checkpoint)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_a_file_of_another_tool_is_refused(tmp_path, metadata):
    path = tmp_path / "timm.safetensors"
    save_file({"w": torch.ones(2)}, path, metadata=metadata)
    with pytest.raises(CheckpointError, match=r"timm.safetensors .* another tool wrote it"):
        packing.describe(path)


@pytest.mark.parametrize("text", ["{", "[]", "3"])
def test_a_damaged_description_is_refused(tmp_path, text):
    path = tmp_path / "bad.safetensors"
    save_file({"w": torch.ones(2)}, path, metadata={"laq": text})
    with pytest.raises(CheckpointError, match=r"bad.safetensors has"):
        packing.describe(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"none.safetensors does not exist"):
        packing.read(tmp_path / "none.safetensors")
    with pytest.raises(CheckpointError, match=r"no safetensors file"):
        packing.read(tmp_path)


class Malice:
    """Fails the test if anything unpickles it."""

    def __reduce__(self):
        return (pytest.fail, ("unpickled",))


def test_a_pickle_is_refused_unread(tmp_path):
    path = tmp_path / "pickle.safetensors"
    path.write_bytes(pickle.dumps(Malice()))
    with pytest.raises(CheckpointError, match=r"no safetensors file"):
        packing.read(path)


def test_a_failed_save_leaves_the_old_file(checkpoint):
    before = checkpoint.read_bytes()
    with pytest.raises(ValueError, match="not JSON compliant"):
        packing.save(checkpoint, {"w": torch.ones(1)}, {"rate": float("nan")})
    assert checkpoint.read_bytes() == before
    assert [checkpoint] == list(checkpoint.parent.iterdir())


@pytest.mark.parametrize("key", ["format", "packed", "digest"])
def test_a_description_may_not_use_the_formats_keys(tmp_path, key):
    with pytest.raises(ValueError, match=key):
        packing.save(tmp_path / "a.safetensors", {}, {key: 1})


def test_packed_weights_must_be_those_of_the_state(tmp_path):
    alphabet = Alphabet(torch.tensor(1.0), 4, "packed")
    state = {"w": torch.ones(2, 3), "w.step": torch.ones(1)}
    path = tmp_path / "a.safetensors"

    def save(name, shape, state=state, code=1):
        codes = torch.full(shape, code)
        packing.save(path, state, {}, {name: alphabet.pack(codes)})

    with pytest.raises(ValueError, match="packed weight v"):
        save("v", (2, 3))
    with pytest.raises(ValueError, match=r"packed weight w \(3, 2\)"):
        save("w", (3, 2))
    with pytest.raises(ValueError, match=r"w\.step"):
        save("w", (2, 3))
    with pytest.raises(ValueError, match="beyond ±7"):
        save("w", (2, 3), state={"w": torch.ones(2, 3)}, code=-8)
    assert not path.exists()
