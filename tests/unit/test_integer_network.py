"""A trained network in integers, beside the same simulated in float and in ONNX Runtime."""

from __future__ import annotations

import copy
import platform
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, fx, nn
from torchvision.models.resnet import BasicBlock

from laq import data
from laq.checkpoints import inference, packing
from laq.data import sources
from laq.experiments import compression
from laq.integer import compilation, placement, simulation
from laq.models import networks
from laq.onnx.export import export
from laq.onnx.runtime import predict
from laq.ptq.activation_quantizer import InputQuantizer, InputSettings
from laq.ptq.sequential import QuantizedNetwork, folded, quantize_network
from laq.utils import devices
from laq.utils.errors import ConfigError
from tests.configs import checked, edited
from tests.unit.test_patches import Same

torch.set_num_threads(1)

# ONNX Runtime's kernels for other processors may rescale otherwise.
X86 = platform.machine().lower() in ("x86_64", "amd64")
CPU = Path("/proc/cpuinfo")
# Without VNNI ONNX Runtime's 8-bit kernels on x86 may saturate (docs/deploy.md).
SATURATES = X86 and CPU.exists() and "vnni" not in CPU.read_text(encoding="utf-8")

SPEC = {"name": "small_resnet", "classes": 10, "channels": 1, "widths": [8, 16, 32]}
INTEGER = {
    "bits": 8,
    "granularity": "per_tensor",
    "ridge": 0,
    "activations": {"bits": 8},
    "fold_batchnorm": True,
    "inference": "integer",
}


@dataclass
class Study:
    test: data.Dataset
    original: nn.Module
    result: QuantizedNetwork
    checkpoint: Path


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The digits network, trained, quantized and saved; not to be changed."""
    train, test = sources.make({"kind": "digits", "test_fraction": 0.4}, 0)
    torch.manual_seed(0)
    network = networks.create(**SPEC)
    images, labels = networks.to_input(train.images), torch.from_numpy(train.labels)
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    for _ in range(4):
        for batch in torch.randperm(len(labels)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(images[batch]), labels[batch]).backward()
            optimizer.step()
    result = compressed(network.eval(), train.images[:128], INTEGER)
    path = tmp_path_factory.mktemp("integer") / "int8.safetensors"
    description = {"network": SPEC, "classes": list(test.classes), "transforms": result.transforms}
    packing.save(path, result.network.state_dict(), description, result.packed)
    return Study(test, network, result, path)


def compressed(network: nn.Module, images: np.ndarray, recipe: dict[str, Any]) -> QuantizedNetwork:
    settings = checked(edited({"variants/quant/compress": recipe}))["variants"]["quant"]
    return compression.compress(
        network,
        torch.from_numpy(images),
        settings["compress"],
        devices.generator(0, "patches"),
        devices.generator(0, "rounding"),
    )


def logits(network: nn.Module, images: np.ndarray) -> Tensor:
    return networks.predict(network, torch.from_numpy(images), torch.device("cpu"))


def steps_apart(found: Tensor, wanted: Tensor) -> float:
    """The largest difference in steps of an 8-bit grid over the logits."""
    return float((found - wanted).abs().max() / ((wanted.max() - wanted.min()) / 255))


class Recorder(fx.Interpreter):
    """Runs a graph and keeps all values."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.values: dict[str, Any] = {}

    def run_node(self, node: fx.Node) -> Any:
        self.values[node.name] = super().run_node(node)
        return self.values[node.name]


def simulated_codes(network: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """The codes of each quantizer of the simulated network, by the node that it is behind."""
    codes, handles = {}, []
    for name, module in network.named_modules():
        if isinstance(module, InputQuantizer):

            def keep(own: nn.Module, _: Any, out: Tensor, name: str = name) -> None:
                codes[name.removeprefix("quantizers.")] = (out / own.step).round() + own.zero

            handles.append(module.register_forward_hook(keep))
    network(images)
    for handle in handles:
        handle.remove()
    return codes


def integer_codes(network: compilation.IntegerNetwork, images: Tensor) -> list[Tensor]:
    """What the operations of an integer network give that make values, in their order."""
    recorder = Recorder(network.body)
    recorder.run(images)
    making = ("Quantize", "IntegerLayer", "Sum", "Mean")
    return [
        recorder.values[node.name]
        for node in network.body.graph.nodes
        if node.op == "call_module"
        and type(network.body.get_submodule(node.target)).__name__ in making
    ]


def alike(integer: compilation.IntegerNetwork, simulated: nn.Module, images: Tensor) -> None:
    """Every code is that of the simulated network, and every logit but for its unit."""
    assert (integer(images) - simulated(images)).abs().max() <= 0.51 * integer.step
    wanted = simulated_codes(simulated, images)
    for mine, (name, codes) in zip(integer_codes(integer, images), wanted.items(), strict=True):
        assert torch.equal(mine.float(), codes), name


def taught(
    network: nn.Module, integer: compilation.IntegerNetwork, images: Tensor
) -> tuple[float, int]:
    """Each operation of ``network`` on what the integer one has there: the share of codes that
    differ, and the largest difference."""
    differences, handles = [], []
    given = iter(integer_codes(integer, images))
    for module in network.modules():
        if isinstance(module, InputQuantizer):

            def replace(own: nn.Module, _: Any, out: Tensor) -> Tensor:
                values = (next(given).float() - own.zero) * own.step
                differences.append(((values - out) / own.step).round().abs().flatten())
                return values

            handles.append(module.register_forward_hook(replace))
    network(images)
    for handle in handles:
        handle.remove()
    apart = torch.cat(differences)
    return float((apart > 0).float().mean()), int(apart.max())


def operators(checkpoint: Path, images: np.ndarray, folder: Path) -> Counter[str]:
    """Export to ``network.onnx``, and count what ONNX Runtime makes of it."""
    file, optimized = folder / "network.onnx", folder / "optimized.onnx"
    export(checkpoint, file, images.shape[1:])
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(optimized)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(optimized).graph.node)


@torch.no_grad()
def test_between_image_and_logits_there_are_integers_alone(study: Study) -> None:
    network = inference.load(study.checkpoint)
    recorder = Recorder(network.body)
    recorder.run(networks.to_input(study.test.images[:8]))
    kinds = [value.dtype for value in recorder.values.values()]
    boundary = kinds.index(torch.int8)
    assert set(kinds[:boundary]) == {torch.float32} and boundary == 3  # image, −, /
    assert set(kinds[boundary:-2]) == {torch.int8}
    assert kinds[-2:] == [torch.int32] * 2
    stored = {name: tensor.dtype for name, tensor in network.state_dict().items()}
    floats = [name for name, dtype in stored.items() if dtype.is_floating_point]
    assert floats == ["body.operations.quantizers_truediv.step"]  # the boundary's
    assert torch.equal(
        network.integers(networks.to_input(study.test.images[:8])), recorder.values["output"]
    )


@torch.no_grad()
def test_it_agrees_with_the_simulated_network(study: Study) -> None:
    simulated, integer = inference.simulated(study.checkpoint), inference.load(study.checkpoint)
    found, wanted = (logits(network, study.test.images) for network in (integer, simulated))
    assert steps_apart(found, wanted) < 0.01
    labels = torch.from_numpy(study.test.labels)
    accuracies = [(each.argmax(1) == labels).float().mean() for each in (found, wanted)]
    assert accuracies[0] == accuracies[1] > 0.9
    in_float = logits(study.original, study.test.images)
    assert abs((in_float.argmax(1) == labels).float().mean() - accuracies[0]) < 0.01
    alike(integer, simulated, networks.to_input(study.test.images[:200]))


@torch.no_grad()
def test_it_agrees_with_the_network_that_torch_computes_in_float32(study: Study) -> None:
    network, integer = packing.load(study.checkpoint), inference.load(study.checkpoint)
    found, wanted = (logits(each, study.test.images) for each in (integer, network))
    assert steps_apart(found, wanted) < 1
    assert int((found.argmax(1) != wanted.argmax(1)).sum()) <= 1
    images = networks.to_input(study.test.images[:200])
    differing, largest = taught(network, integer, images)
    assert largest <= 1 and differing < 1e-4


@torch.no_grad()
def test_it_agrees_with_onnx_runtime_s_integer_kernels(study: Study, tmp_path: Path) -> None:
    counts = operators(study.checkpoint, study.test.images, tmp_path)
    assert counts["QLinearConv"] == 9 and counts["QLinearAdd"] == 3 and counts["Conv"] == 0
    assert counts["QLinearGlobalAveragePool"] == 1 and counts["ReduceMean"] == 0
    found = logits(inference.load(study.checkpoint), study.test.images)
    wanted = torch.from_numpy(predict(tmp_path / "network.onnx", study.test.images))
    if SATURATES:
        pytest.skip("this CPU has no VNNI: ONNX Runtime's 8-bit kernels may saturate")
    assert steps_apart(found, wanted) < (0.01 if X86 else 1)
    labels = torch.from_numpy(study.test.labels)
    accuracies = [(each.argmax(1) == labels).float().mean() for each in (found, wanted)]
    assert abs(accuracies[0] - accuracies[1]) <= 0.003


def test_the_file_is_a_quarter_and_holds_the_grids(study: Study) -> None:
    state = packing.read(study.checkpoint).state
    grids = [name for name in state if name.endswith(".step")]
    assert len(grids) == len([name for name in state if name.endswith(".zero")]) == 14
    assert not any("bn" in name for name in state)
    rows = study.result.layers
    assert all((row.input_bits, row.bits) == (8, 8) and row.input_step > 0 for row in rows)


class Mobile(nn.Module):
    """What MobileNetV2 and ResNet-18 have beside: ReLU6, depthwise, maxima, work in place."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU6(inplace=True))
        self.pool = nn.MaxPool2d(3, 2, padding=1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
        self.norm, self.point = nn.BatchNorm2d(8), nn.Conv2d(8, 8, 1)
        self.dropout, self.fc = nn.Dropout(0.2), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.stem(x))
        y = nn.functional.relu6(self.norm(self.depthwise(x)))
        y = self.point(y)
        y += x
        y = torch.relu(y) + x
        y = nn.functional.adaptive_avg_pool2d(y, (1, 1)).reshape(y.size(0), -1)
        return self.fc(self.dropout(torch.flatten(y, 1)))


def simulated(network: nn.Module, images: Tensor, bits: int = 8) -> QuantizedNetwork:
    whole, _ = folded(network, images)
    placed = placement.apply(whole, bits)
    placement.in_float(placed)
    result = quantize_network(placed, images, inputs=InputSettings(bits))
    placement.round_biases(result.network, result.packed)
    return result


@torch.no_grad()
@pytest.mark.parametrize("bits", [8, 4])
def test_other_networks_of_known_operations(bits: int) -> None:
    torch.manual_seed(0)
    network, images = Mobile(), torch.rand(32, 3, 16, 16)
    network.train()(images)
    result = simulated(network.eval(), images, bits)
    integer = compilation.compile(result.network, result.packed)
    found, wanted = integer(images), result.network(images)
    alike(integer, simulation.exact(result.network, result.packed), images)
    differing, largest = taught(result.network, integer, images)
    assert largest <= 1 and differing < 1e-3
    if bits == 8:
        assert steps_apart(found, wanted) < 1
        assert steps_apart(found, network(images)) < 40
        assert found.std(dim=0).min() > 0


class Deep(nn.Module):
    """As deep as ResNet-18, and of its blocks, but narrow."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16))
        blocks = [BasicBlock(16, 16) for _ in range(5)]
        down = nn.Sequential(nn.Conv2d(16, 24, 1, stride=2, bias=False), nn.BatchNorm2d(24))
        blocks += [BasicBlock(16, 24, 2, down), BasicBlock(24, 24), BasicBlock(24, 24)]
        self.blocks, self.pool = nn.Sequential(*blocks), nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(24, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(torch.relu(self.stem(x)))
        return self.fc(torch.flatten(self.pool(x), 1))


@torch.no_grad()
@pytest.mark.parametrize("bits", [8, 4])
def test_depth_does_not_add_to_differences(
    bits: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(networks.ARCHITECTURES, "deep", Deep)
    torch.manual_seed(0)
    network, images = Deep(5), np.random.default_rng(0).integers(0, 256, (96, 1, 8, 8), np.uint8)
    for _ in range(3):
        network.train()(networks.to_input(images))
    recipe = {
        **INTEGER,
        "activations": {"bits": bits},
        "granularity": "per_channel",
        "method": "rtn",
    }
    result = compressed(network.eval(), images[:32], {**recipe, "alphabet": "symmetric"})
    path, spec = tmp_path / "deep.safetensors", {"name": "deep", "classes": 5}
    description = {"network": spec, "transforms": result.transforms}
    packing.save(path, result.network.state_dict(), description, result.packed)

    integer, x = inference.load(path), networks.to_input(images)
    alike(integer, inference.simulated(path), x)
    found = integer(x)
    assert found.std(dim=0).min() > 0
    differing, largest = taught(packing.load(path), integer, x)
    assert largest <= 1 and differing < 1e-3

    counts = operators(path, images, tmp_path)
    assert counts["QLinearConv"] == 18 and counts["QLinearAdd"] == 8 and counts["Conv"] == 0
    assert counts["QLinearGlobalAveragePool"] == 1
    of_runtime = torch.from_numpy(predict(tmp_path / "network.onnx", images))
    if X86 and not SATURATES:
        assert steps_apart(found, of_runtime) < 0.05


class Odd(nn.Module):
    def __init__(self, odd: Any) -> None:
        super().__init__()
        self.conv, self.odd, self.fc = nn.Conv2d(3, 4, 3), odd, nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.odd(self.conv(x)).mean((2, 3)))


class Cut(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x[:, :2], x[:, 2:]], 1)


class Scaled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + 1


@pytest.mark.parametrize(
    ("odd", "named"),
    [
        (nn.Hardswish(), r"odd \(Hardswish\)"),
        (Same(4, 4, 3, 2), r"odd \(Same\)"),
        (nn.Sigmoid(), r"odd \(Sigmoid\)"),
        (nn.BatchNorm2d(4), r"odd \(BatchNorm2d\)"),
        (nn.AdaptiveAvgPool2d(2), r"odd \(AdaptiveAvgPool2d\).*over all pixels"),
        (nn.MaxPool2d(2, ceil_mode=True), r"odd \(MaxPool2d\).*plain maxima"),
        (Cut(), r"getitem"),
        (Scaled(), r"add"),
    ],
)
def test_an_operation_that_is_not_known_is_named(odd: nn.Module, named: str) -> None:
    with pytest.raises(ConfigError, match=rf"(?s)because of its operation {named}.*simulated"):
        placement.apply(Odd(odd).eval())


def dead(network: nn.Module, layer: str, norm: str, values: list[float]) -> nn.Module:
    """``network`` with filters whose weights are about ``values``, and a BatchNorm that has seen
    them: once it is folded they hold its shift alone."""
    conv, batchnorm = network.get_submodule(layer), network.get_submodule(norm)
    for filter, value in enumerate(values):
        conv.weight[filter] *= value
        batchnorm.running_mean[filter], batchnorm.running_var[filter] = 0, value**2
        batchnorm.bias[filter] = 0.7 - filter / 10
    return network


@pytest.mark.parametrize("granularity", ["per_channel", "per_tensor"])
@pytest.mark.parametrize("method", ["rtn", "gpfq"])
@pytest.mark.parametrize("whole", [False, True], ids=["filters", "layer"])
@torch.no_grad()
def test_a_dead_filter_keeps_its_bias(
    study: Study, granularity: str, method: str, whole: bool, tmp_path: Path
) -> None:
    values = [1e-30] * 16 if whole else [0.0, 1e-7, 1e-14, 1e-20, 1e-30, 1e-44]
    network = dead(copy.deepcopy(study.original), "stages.1.conv2", "stages.1.bn2", values)
    train = sources.make({"kind": "digits", "test_fraction": 0.4}, 0)[0]
    recipe = {**INTEGER, "method": method, "granularity": granularity, "patches": "all"}
    result = compressed(network, train.images[:64], recipe)
    path = tmp_path / "dead.safetensors"
    description = {"network": SPEC, "classes": list(study.test.classes)}
    description["transforms"] = result.transforms
    packing.save(path, result.network.state_dict(), description, result.packed)
    images, integer = study.test.images[:200], inference.load(path)
    wanted = logits(network, images)
    assert (logits(integer, images) - wanted).norm() < 0.08 * wanted.norm()
    alike(integer, inference.simulated(path), networks.to_input(images))
    if method == "rtn":  # the file's biases are the same whatever the method
        export(path, tmp_path / "dead.onnx", images.shape[1:])
        found = torch.from_numpy(predict(tmp_path / "dead.onnx", images))
        assert (found - wanted).norm() < 0.1 * wanted.norm()
    bias = result.network.get_parameter("stages.1.conv2.bias")[: len(values)]
    torch.testing.assert_close(bias, 0.7 - torch.arange(len(values)) / 10, rtol=1e-3, atol=0)


@torch.no_grad()
def test_onnx_runtime_keeps_such_a_bias_where_inputs_alone_are_static(
    study: Study, tmp_path: Path
) -> None:
    network = dead(copy.deepcopy(study.original), "stages.1.conv2", "stages.1.bn2", [1e-9, 1e-30])
    images = study.test.images[:64]
    result = compressed(network, images, {**INTEGER, "method": "rtn", "inference": "simulated"})
    path = tmp_path / "static.safetensors"
    description = {"network": SPEC, "transforms": result.transforms}
    packing.save(path, result.network.state_dict(), description, result.packed)
    export(path, tmp_path / "static.onnx", images.shape[1:])
    found = torch.from_numpy(predict(tmp_path / "static.onnx", images))
    wanted = logits(result.network, images)
    assert (found - wanted).norm() < 0.02 * wanted.norm()
