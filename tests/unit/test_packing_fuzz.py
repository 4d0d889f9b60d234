"""Checkpoints that were cut, patched, spliced or signed anew: refused, or what they were."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from laq.checkpoints import inspection, lineage, packing
from laq.models import networks
from laq.quantizers.packed_weight import PackedWeight
from laq.quantizers.uniform import Alphabet
from laq.utils.errors import CheckpointError, LaqError

SPEC = {"name": "small_resnet", "classes": 3, "channels": 1, "widths": [2, 3]}
QUICK = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def written(path: Path, seed: int) -> Path:
    """A quantized network as a study writes it."""
    torch.manual_seed(seed)
    network, packed = networks.create(**SPEC), {}
    for name in ("head", "stages.1.conv1"):
        weight = network.get_submodule(name).weight
        rows = weight.detach().flatten(1)
        alphabet = Alphabet.from_weights(rows, 4, "packed")
        packed[f"{name}.weight"] = (PackedWeight(alphabet.nearest(rows).view_as(weight), alphabet),)
    facts = {"variant": "quant", "parent": "original", "steps": [], "seed": 0, "repeat": 1}
    facts |= {"subset": [0, 2], "classes": ["a", "b", "c"], "images": [1, 8, 8], "bits": 4}
    packing.save(path, network.state_dict(), {"network": SPEC, **facts}, packed)
    return path


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    folder = tmp_path_factory.mktemp("two")
    first, second = (written(folder / f"{seed}.safetensors", seed) for seed in (1, 2))
    return first.read_bytes(), second.read_bytes()


def header(content: bytes) -> int:
    """Bytes before the tensors."""
    return 8 + int.from_bytes(content[:8], "little")


def state_of(path: Path) -> dict[str, torch.Tensor]:
    return packing.read(path).state


def test_whatever_is_done_to_the_bytes_no_other_weights_are_read(
    two: tuple[bytes, bytes], tmp_path: Path
) -> None:
    first, second = two
    path = tmp_path / "quant.safetensors"
    path.write_bytes(first)
    own = state_of(path)

    @QUICK
    @given(st.data())
    def tried(data: st.DataObject) -> None:
        content = bytearray(first)
        action = data.draw(st.sampled_from(["flip", "cut", "insert", "splice", "body", "grow"]))
        place = data.draw(st.integers(0, len(content) - 1))
        match action:
            case "flip":
                for _ in range(data.draw(st.integers(1, 4))):
                    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << place % 8
            case "cut":
                del content[place : place + data.draw(st.integers(1, len(content)))]
            case "insert":
                content[place:place] = data.draw(st.binary(min_size=1, max_size=20))
            case "splice":
                content[place:] = second[place:]
            case "body":
                content[header(first) :] = second[header(second) :]
            case "grow":
                size = data.draw(st.integers(0, 2**64 - 1))
                content[:8] = size.to_bytes(8, "little")
        path.write_bytes(content)
        try:
            found = state_of(path)
        except CheckpointError as error:
            assert str(path) in str(error) and "delete it" in str(error)
        else:
            assert bytes(content) in (first, second) or all(
                torch.equal(found[name], own[name]) for name in own
            )

    tried()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**65), 2**65) | st.floats(allow_nan=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)  # fmt: skip


def places(node: Any) -> list[tuple[Any, Any]]:
    keys = list(node) if isinstance(node, dict) else range(len(node))
    inner = [node[key] for key in keys if isinstance(node[key], dict | list)]
    return [(node, key) for key in keys] + [place for child in inner for place in places(child)]


def test_lies_that_are_signed_crash_no_reader(two: tuple[bytes, bytes], tmp_path: Path) -> None:
    path = tmp_path / "quant.safetensors"
    path.write_bytes(two[0])
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        whole = json.loads(file.metadata()["laq"])
    readers = (packing.load, packing.classes, lineage.describe, inspection.inspect)

    @QUICK
    @given(st.data())
    def tried(data: st.DataObject) -> None:
        content = copy.deepcopy(whole)
        container, key = data.draw(st.sampled_from(places(content)))
        value = data.draw(JSON | st.sampled_from([2**40, -1, 0, "timm/x", "", []]))
        container[key] = value
        try:
            content["digest"] = packing._digest(content, tensors)
        except ValueError:  # no JSON
            return
        path.unlink()
        save_file(tensors, path, metadata={"laq": json.dumps(content)})
        for reader in readers:
            try:
                reader(path)
            except LaqError as error:
                assert str(path) in str(error)

    tried()


def exchanged(path: Path, name: str, value: torch.Tensor) -> None:
    """The checkpoint with another tensor, and a digest that is right."""
    with safe_open(path, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        content = json.loads(file.metadata()["laq"])
    tensors[name] = value
    content["digest"] = packing._digest(content, tensors)
    path.unlink()
    save_file(tensors, path, metadata={"laq": json.dumps(content)})


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("name", ["head.bias", "stem.1.running_var", "head.weight.step.0"])
def test_what_is_not_finite_is_refused_by_its_tensor(tmp_path: Path, name: str, value: float):
    path = written(tmp_path / "quant.safetensors", 1)
    with safe_open(path, framework="pt") as file:
        tensor = file.get_tensor(name)
    exchanged(path, name, torch.full_like(tensor, value))
    with pytest.raises(CheckpointError, match=rf"{name} holds NaN or infinite values: delete it"):
        packing.read(path)
