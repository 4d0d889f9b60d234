"""Tensors of several names: a module in two places, a parameter in two modules."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

from laq.checkpoints import memory, packing
from laq.checkpoints.deep_container import file as deep_checkpoint
from laq.checkpoints.deep_container.sparse_weight import SharedWeight
from laq.checkpoints.inspection import inspect
from laq.experiments.partial import updates
from laq.models import networks
from laq.onnx.export import export
from laq.ptq.sequential import QuantizedNetwork, quantize_network
from laq.utils.files import write_csv

torch.set_num_threads(1)
SHAPE = (3, 6, 6)


class Net(nn.Module):
    """One module under two names, and one weight in two layers, called before the first of them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3)
        self.norm = self.norm_too = nn.BatchNorm2d(8)
        self.block = self.again = nn.Conv2d(8, 8, 3, padding=1)
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)
        self.first.weight = self.second.weight
        self.fc = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm_too(self.norm(self.stem(x)).relu())
        x = self.again(self.block(x).relu()).relu().mean((2, 3))
        return self.fc(self.first(self.second(x).relu()))


FURTHER = {
    **{f"norm_too.{own}": f"norm.{own}" for own in ("weight", "bias")},
    **{f"norm_too.{own}": f"norm.{own}" for own in ("running_mean", "running_var")},
    "norm_too.num_batches_tracked": "norm.num_batches_tracked",
    "again.weight": "block.weight",
    "again.bias": "block.bias",
    "first.weight": "second.weight",
}


@pytest.fixture(autouse=True)
def built(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def create(name: str, classes: int, **_: Any) -> nn.Module:
        torch.manual_seed(0)
        return Net()

    monkeypatch.setattr(networks, "create", create)
    yield


def images(n: int = 6) -> Tensor:
    return torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(0))


def quantized(**options: Any) -> QuantizedNetwork:
    return quantize_network(networks.create("net", 4).eval(), images(), **options)


def described(result: QuantizedNetwork) -> dict[str, Any]:
    return {
        "network": {"name": "net", "classes": 4},
        "images": list(SHAPE),
        "layers": [layer.row() for layer in result.layers],
        "transforms": result.transforms,
    }


def saved(path: Path, result: QuantizedNetwork) -> Path:
    packing.save(path, result.network.state_dict(), described(result), result.packed)
    return path


def test_a_tensor_of_several_names_is_in_the_file_once_and_loaded_back_by_all(
    tmp_path: Path,
) -> None:
    result = quantized()
    assert result.packed.keys() == {"stem.weight", "block.weight", "second.weight", "fc.weight"}
    path = saved(tmp_path / "quant.safetensors", result)
    with safe_open(path, "pt") as file:
        names = set(file.keys())
    assert not any(name in names for name in FURTHER)
    assert not any(name.startswith(("again", "norm_too", "first.weight")) for name in names)
    read = packing.read(path)
    state = result.network.state_dict()
    assert read.state.keys() == state.keys()
    assert all(torch.equal(read.state[name], state[name]) for name in state)
    assert all(read.state[name] is read.state[first] for name, first in FURTHER.items())
    network = packing.load(path)
    assert network.first.weight is network.second.weight and network.again is network.block
    with torch.no_grad():
        assert torch.equal(network(images()), result.network(images()))
    packing.save(tmp_path / "again.safetensors", read.state, read.description, read.packed)
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


def test_report_file_inspection_and_memory_agree(tmp_path: Path) -> None:
    result = quantized()
    path = saved(tmp_path / "quant.safetensors", result)
    float_path = tmp_path / "float.safetensors"
    original = networks.create("net", 4)
    packing.save(float_path, original.state_dict(), {"network": {"name": "net", "classes": 4}})
    parameters = sum(p.nbytes for p in original.parameters())
    buffers = sum(b.nbytes for b in original.buffers())

    found = inspect(path)
    assert [row["layer"] for row in found["floats"]] == []
    assert found["totals"]["float_bytes"] == parameters + buffers
    assert inspect(float_path)["totals"]["float_bytes"] == parameters + buffers
    reported = {row.layer: row.bytes for row in result.layers}
    assert reported == {**{row["layer"]: row["bytes"] for row in found["packed"]}, "first": None}
    header = 8 + int.from_bytes(path.read_bytes()[:8], "little")
    small = sum(p.nbytes for p in original.parameters() if p.ndim == 1)
    assert path.stat().st_size == header + sum(filter(None, reported.values())) + small + buffers

    import pandas as pd

    write_csv(tmp_path / "layers.csv", pd.DataFrame([layer.row() for layer in result.layers]))
    measured = memory.measure(path, float_path, tmp_path / "layers.csv")
    assert measured.weights == found["totals"]["weights"]
    assert measured.packed_bytes == path.stat().st_size


def test_onnx_has_the_codes_once_and_computes_the_same(tmp_path: Path) -> None:
    from laq.onnx.runtime import predict

    result = quantized()
    written = export(saved(tmp_path / "quant.safetensors", result), tmp_path / "quant.onnx")
    weights = sum(run.codes.numel() for runs in result.packed.values() for run in runs)
    assert sum(written.counts().values()) == weights
    assert set(written.counts()) <= {"int4", "int8"}
    assert {weight.name for weight in written.weights} == set(result.packed)
    graph = onnx.load(tmp_path / "quant.onnx").graph
    codes = [x.name for x in graph.initializer if ".codes." in x.name]
    assert sorted(codes) == sorted(f"{name}.codes.0" for name in result.packed)
    assert max(np.prod(x.dims) for x in graph.initializer if x.name not in codes) <= 8
    whole = (images() * 255).round().to(torch.uint8)
    with torch.no_grad():
        expected = result.network(whole.float() / 255)
    np.testing.assert_allclose(
        predict(tmp_path / "quant.onnx", whole.numpy()), expected, rtol=1e-4, atol=1e-5
    )


def test_an_update_holds_them_once(tmp_path: Path) -> None:
    result, before = quantized(), networks.create("net", 4).state_dict()
    path, after = tmp_path / "update.safetensors", result.network.state_dict()
    update = updates.write(path, before, after, result.packed)
    assert path.stat().st_size == update.bytes
    with safe_open(path, "pt") as file:
        assert not set(FURTHER) & set(file.keys())
    made = updates.apply(before, path)
    assert all(torch.equal(made[name], value) for name, value in after.items())


def test_a_deeply_compressed_file_has_them_once(tmp_path: Path) -> None:
    network = networks.create("net", 4)
    state, weights = network.state_dict(), {}
    for name in ("block.weight", "second.weight"):
        shape = state[name].shape
        weights[name] = SharedWeight.of(
            torch.randint(9, shape), torch.randn(9), torch.rand(shape) < 0.5, 4
        )
    path = tmp_path / "deep.safetensors"
    deep_checkpoint.save(path, state, {"network": {"name": "net", "classes": 4}}, weights)
    listed = deep_checkpoint.contained(path).head
    assert not set(FURTHER) & {entry.name for entry in (*listed.weights, *listed.tensors)}
    loaded = packing.load(path)
    assert torch.equal(loaded.again.weight, weights["block.weight"].weight())
    assert torch.equal(loaded.first.weight, weights["second.weight"].weight())
    assert torch.equal(loaded.stem.weight, network.stem.weight)
