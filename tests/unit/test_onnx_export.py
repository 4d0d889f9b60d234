"""ONNX files hold the checkpoint's codes as integers and compute what torch computes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from laq import data
from laq.checkpoints import inference, packing
from laq.checkpoints.deep_container import file as deep_checkpoint
from laq.checkpoints.deep_container.sparse_weight import SharedWeight
from laq.models import networks
from laq.models.small_resnet import SmallResNet
from laq.onnx.export import OPSET, Export, export
from laq.onnx.runtime import predict, stored
from laq.utils.errors import ConfigError
from tests.configs import ROOT
from tests.onnx_cases import CLASSES, SHAPE, Tiny, quantize, save

IMAGES = np.random.default_rng(0).integers(0, 256, (9, *SHAPE), dtype=np.uint8)


BUILDERS: dict[str, Callable[[int], nn.Module]] = {}


def buildable(build: Callable[[int], nn.Module]) -> Callable[[int], nn.Module]:
    """Let ``networks.create`` build it, by its name."""
    BUILDERS[build.__name__] = build
    return build


buildable(Tiny)


@pytest.fixture(autouse=True, scope="module")
def buildables() -> Iterator[None]:
    """``networks.create`` builds ours too, and all from seed 0."""

    real = networks.create

    def create(name: str, classes: int, **arguments: Any) -> nn.Module:
        torch.manual_seed(0)
        if name in BUILDERS:
            return BUILDERS[name](classes, **arguments)
        return real(name, classes, **arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(networks, "create", create)
        yield


def quantized(folder: Path, build: Callable[[int], nn.Module], **how: Any) -> Path:
    """The checkpoint of a network with quantized weights."""
    network = networks.create(build.__name__, len(CLASSES)).eval()
    return save(folder / "quant.safetensors", build.__name__, network, quantize(network, **how))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Export]:
    """A checkpoint, the ONNX file made of it, and what is said of it; not to be changed."""
    folder = tmp_path_factory.mktemp("exported")
    checkpoint, target = quantized(folder, Tiny), folder / "quant.onnx"
    return checkpoint, target, export(checkpoint, target, SHAPE)


def logits(checkpoint: Path, images: np.ndarray = IMAGES) -> np.ndarray:
    network = packing.load(checkpoint)
    return networks.predict(network, torch.from_numpy(images), torch.device("cpu")).numpy()


def same(found: np.ndarray, wanted: np.ndarray) -> None:
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max())


def nibbles(raw: bytes, count: int) -> np.ndarray:
    """Codes of 4 bits in two's complement, the first of a byte in its lower half."""
    pairs = np.frombuffer(raw, np.uint8)
    codes = np.stack([pairs & 15, pairs >> 4], axis=1).reshape(-1)[:count].astype(np.int64)
    return np.where(codes > 7, codes - 16, codes)


def test_the_codes_in_the_file_are_the_checkpoint_s(exported: Any) -> None:
    checkpoint, target, written = exported
    assert written.counts() == {"int4": 6 * 27 + 6 * 9 + 4 * 6}
    assert written.bytes == target.stat().st_size
    held = {tensor.name: tensor for tensor in onnx.load(target).graph.initializer}
    for name, (run,) in packing.read(checkpoint).packed.items():
        assert name not in held, "the float weight is in the file as well"
        tensor = held[f"{name}.codes.0"]
        assert tensor.data_type == onnx.TensorProto.INT4
        assert list(tensor.dims) == list(run.codes.shape)
        assert len(tensor.raw_data) == -(-run.codes.numel() // 2)
        codes = nibbles(tensor.raw_data, run.codes.numel())
        np.testing.assert_array_equal(codes, run.codes.flatten().numpy())


def test_the_graph_takes_any_number_of_images_and_says_what_it_is(exported: Any) -> None:
    checkpoint, target, _ = exported
    session = onnxruntime.InferenceSession(target)
    (images,), (result,) = session.get_inputs(), session.get_outputs()
    assert (images.name, images.type, images.shape) == (
        "images",
        "tensor(float)",
        ["batch", *SHAPE],
    )
    assert (result.name, result.type, result.shape) == ("logits", "tensor(float)", ["batch", 4])
    for count in (1, 2, 9):
        same(predict(target, IMAGES[:count]), logits(checkpoint, IMAGES[:count]))
    said = session.get_modelmeta().custom_metadata_map
    assert {key: json.loads(value) for key, value in said.items()} == {
        "network": {"name": "Tiny", "classes": 4},
        "classes": CLASSES,
        "variant": "quant",
        "bits": 4,
        "subset": [0, 2],
    }
    model = onnx.load(target)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", OPSET)]


def test_a_network_in_float_is_exported_in_the_shape_that_it_names(tmp_path: Path) -> None:
    network = networks.create("Tiny", 4).eval()
    path, target = tmp_path / "ft.safetensors", tmp_path / "ft.onnx"
    save(path, "Tiny", network, {}, subset=None, images=list(SHAPE))
    assert export(path, target).counts() == {}
    same(predict(target, IMAGES), logits(path))
    said = {entry.key: entry.value for entry in onnx.load(target).metadata_props}
    assert said["subset"] == "[0, 1, 2, 3]"


def test_equal_checkpoints_give_equal_bytes_that_tell_nothing_of_the_machine(
    tmp_path: Path,
) -> None:
    program = (
        "import sys, torch\n"
        "from laq.models import networks; from laq.onnx import export as onnx_export\n"
        "from tests import onnx_cases as cases\n"
        "torch.manual_seed(0)\n"
        "networks.create = lambda name, classes: cases.Tiny(classes)\n"
        "network = cases.Tiny(4).eval()\n"
        "packed = cases.quantize(network, [5, 3])\n"
        "cases.save(sys.argv[1] + '.safetensors', '', network, packed)\n"
        "onnx_export.export(sys.argv[1] + '.safetensors', sys.argv[1] + '.onnx', cases.SHAPE)\n"
    )
    for seed in ("1", "2"):
        (tmp_path / seed).mkdir()
        done = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / seed / "quant")],
            env={
                **os.environ,
                "PYTHONHASHSEED": seed,
                "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")]),
            },
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == "", "the exporter talks"
    one, two = ((tmp_path / seed / "quant.onnx").read_bytes() for seed in ("1", "2"))
    assert one == two
    for telling in (b"site-packages", b".py", str(ROOT).encode(), str(tmp_path).encode()):
        assert telling not in one


# Networks as they are in the libraries


@buildable
def densenet(classes: int) -> nn.Module:
    """As torchvision has it, with fewer layers: exporting takes as long as the network is deep."""
    from torchvision.models import DenseNet

    return DenseNet(8, (2, 2, 2, 2), 16, num_classes=classes)


@pytest.mark.long
@pytest.mark.parametrize(
    "spec",
    [
        {"name": "densenet"},
        {"name": "resnet18", "channels": 1, "stem": "standard", "resize": 48},
        {"name": "mobilenet_v2"},
        {"name": "timm/vit_tiny_patch16_224"},
    ],
    ids=lambda spec: spec["name"],
)
def test_every_weight_of_a_published_network_is_an_integer(
    tmp_path: Path, spec: dict[str, Any]
) -> None:
    spec = {**spec, "classes": len(CLASSES)}
    network = networks.create(**spec).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_var.uniform_(0.5, 2)
    packed = quantize(network, 4, per_channel=True)
    path, target = tmp_path / "quant.safetensors", tmp_path / "quant.onnx"
    save(path, "", network, packed, network=spec)
    shape = (spec.get("channels", 3), 32, 32)
    written = export(path, target, shape)
    total = sum(run.codes.numel() for (run,) in packed.values())
    assert written.counts() == {"int4": total}
    assert stored(target)["int4"] == total
    images = np.random.default_rng(0).integers(0, 256, (5, *shape), dtype=np.uint8)
    same(predict(target, images), logits(path, images))


def test_a_deeply_compressed_network_runs_from_its_codes_and_shared_values(tmp_path: Path) -> None:
    state, weights = networks.create("Tiny", len(CLASSES)).state_dict(), {}
    for name, count in (("conv.weight", 60), ("fc.weight", 7)):
        codes = torch.randint(count, state[name].shape)
        weights[name] = SharedWeight.of(codes, torch.randn(count), torch.rand(codes.shape) < 0.6, 4)
        state[name] = weights[name].weight()
    described = {"network": {"name": "Tiny", "classes": len(CLASSES)}, "images": list(SHAPE)}
    described |= {"classes": CLASSES, "variant": "deep", "subset": [0, 2]}
    checkpoint, target = tmp_path / "deep.safetensors", tmp_path / "deep.onnx"
    deep_checkpoint.save(checkpoint, state, described, weights)
    written = export(checkpoint, target)
    assert written.counts() == {"int8": 6 * 27, "int4": 4 * 6}
    same(predict(target, IMAGES), logits(checkpoint))
    images = torch.from_numpy(IMAGES).float() / 255
    assert torch.equal(inference.load(checkpoint)(images), packing.load(checkpoint)(images))


# What cannot be exported


@buildable
class Branching(Tiny):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if x.sum() > 0 else super().forward(-x)


@pytest.mark.parametrize(("build", "shape"), [(Tiny, (1, 8, 8)), (Branching, SHAPE)])
def test_what_cannot_be_traced_is_refused_and_nothing_is_lost(
    tmp_path: Path, build: Callable[[int], nn.Module], shape: tuple[int, ...]
) -> None:
    path = quantized(tmp_path, build)
    (tmp_path / "quant.onnx").write_text("what was there")
    with pytest.raises(
        ConfigError, match=r"quant\.safetensors cannot be exported .*laq\.checkpoints\.packing"
    ):
        export(path, tmp_path / "quant.onnx", shape)
    assert (tmp_path / "quant.onnx").read_text() == "what was there"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["quant.onnx", "quant.safetensors"]


# The check of the written file sees each way to be wrong


# A network that was trained


@buildable
def small_resnet(classes: int) -> nn.Module:
    return SmallResNet(classes, channels=1, widths=[8, 16, 32])


def trained(classes: int, train: data.Dataset) -> nn.Module:
    network = networks.create("small_resnet", classes)
    images, labels = networks.to_input(train.images), torch.from_numpy(train.labels)
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    for _ in range(4):
        for batch in torch.randperm(len(labels)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(images[batch]), labels[batch]).backward()
            optimizer.step()
    return network.eval()
