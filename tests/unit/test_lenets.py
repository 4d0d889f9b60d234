"""LeNet-300-100 and LeNet-5: Caffe's shapes, and every road of the study open to them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from laq.checkpoints import inference, packing
from laq.distances import features
from laq.experiments import compression
from laq.models import networks
from laq.onnx.export import export
from laq.onnx.runtime import predict
from laq.utils import devices
from tests.configs import checked, edited

NAMES = ("lenet_300_100", "lenet5")
IMAGES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (24, 1, 28, 28), np.uint8))


def spec(name: str) -> dict[str, object]:
    return networks.specification({"name": name}, None, 10, IMAGES)


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    return networks.create(**spec(name)).eval()


def test_shapes_are_caffes():
    shapes = {
        "lenet_300_100": [(300, 784), (300,), (100, 300), (100,), (10, 100), (10,)],
        "lenet5": [
            *((20, 1, 5, 5), (20,), (50, 20, 5, 5), (50,)),
            *((500, 800), (500,), (10, 500), (10,)),
        ],
    }
    counts = {"lenet_300_100": 266_610, "lenet5": 431_080}
    for name in NAMES:
        made = networks.create(name, 10)
        assert [tuple(p.shape) for p in made.parameters()] == shapes[name]
        assert sum(p.numel() for p in made.parameters()) == counts[name]


def test_lenet_300_100_is_two_rectified_layers_and_a_third():
    network = networks.create("lenet_300_100", 10)
    x = torch.rand(3, 1, 28, 28)
    y = x.reshape(3, -1)
    for layer in (network.fc1, network.fc2):
        y = (y @ layer.weight.T + layer.bias).clamp(min=0)
    torch.testing.assert_close(network(x), y @ network.fc3.weight.T + network.fc3.bias)


def test_lenet_5_has_one_relu_as_caffes():
    network = networks.create("lenet5", 10)
    x = torch.rand(2, 1, 28, 28)

    def stage(x: torch.Tensor, layer: nn.Conv2d) -> torch.Tensor:
        """Patches times filters, and the largest of each 2 × 2."""
        n, _, side, _ = x.shape
        patches = nn.functional.unfold(x, 5)
        y = layer.weight.flatten(1) @ patches + layer.bias[:, None]
        y = y.reshape(n, -1, (side - 4) // 2, 2, (side - 4) // 2, 2)
        return y.amax(dim=(3, 5))

    y = stage(stage(x, network.conv1), network.conv2).reshape(2, -1)
    y = (y @ network.fc1.weight.T + network.fc1.bias).clamp(min=0)
    torch.testing.assert_close(network(x), y @ network.fc2.weight.T + network.fc2.bias)


def test_features_are_what_enters_the_last_layer(network, name):
    (found,) = features.penultimate(network, IMAGES, torch.device("cpu"), 24)
    assert found.shape == (24, {"lenet_300_100": 100, "lenet5": 500}[name])
    last = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
    with torch.inference_mode():
        torch.testing.assert_close(
            network(networks.to_input(IMAGES)), last(torch.from_numpy(found))
        )


def checkpoint(network: nn.Module, name: str, path: Path, **recipe: object) -> Path:
    """The network compressed with GPFQ on the images."""
    settings = checked(edited({"variants/quant/compress": recipe}))["variants"]["quant"]
    draws = (devices.generator(0, purpose) for purpose in ("patches", "rounding"))
    result = compression.compress(network, IMAGES, settings["compress"], *draws)
    assert all(layer.bits == recipe["bits"] for layer in result.layers), result.layers
    description = {
        "network": spec(name),
        "classes": [*"0123456789"],
        "images": [1, 28, 28],
        "variant": "quant",
        "transforms": result.transforms,
    }
    packing.save(path, result.network.state_dict(), description, result.packed)
    return path


def test_every_layer_is_quantized_and_comes_back_and_goes_to_onnx(network, name, tmp_path):
    path = checkpoint(network, name, tmp_path / "quant.safetensors", bits=4)
    loaded = packing.load(path)
    for layer, module in loaded.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            assert all(len(row.unique()) <= 15 for row in module.weight.detach()), layer
    wanted = networks.predict(loaded, IMAGES, torch.device("cpu")).numpy()
    export(path, tmp_path / "quant.onnx")
    found = predict(tmp_path / "quant.onnx", IMAGES.numpy())
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_integers_agree_with_the_simulated_network(network, name, tmp_path):
    recipe = {"bits": 8, "activations": {"bits": 8}, "fold_batchnorm": True, "inference": "integer"}
    path = checkpoint(network, name, tmp_path / "int8.safetensors", **recipe)
    found, wanted = (
        networks.predict(made, IMAGES, torch.device("cpu"))
        for made in (inference.load(path), packing.load(path))
    )
    step = (wanted.max() - wanted.min()) / 255
    assert (found - wanted).abs().max() < 1.5 * step
