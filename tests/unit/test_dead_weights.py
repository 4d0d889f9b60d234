"""Layers and filters of zeros, and of weights so small that float32 has hardly a digit for them."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from laq.checkpoints.packing import load, save
from laq.config.methods import ALPHABETS, METHODS
from laq.experiments.compression import compress
from laq.models.small_resnet import SmallResNet
from laq.onnx.export import export
from laq.onnx.runtime import predict
from laq.quantizers.granularity import Blocks
from laq.quantizers.uniform import symmetric
from laq.utils.errors import DataError
from tests.unit.test_compression import SETTINGS

torch.set_num_threads(1)

SPEC = {"name": "small_resnet", "classes": 3, "channels": 2, "widths": [4, 6]}
KINDS = (0.0, 1e-44, 1e-41, 1e-37)  # the second and the third are denormal


def network_with(value: float, whole: bool) -> nn.Module:
    """A network in whose second layer a filter, or all of them, is ``value``."""
    torch.manual_seed(0)
    parts = [nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(64, 3)]
    network = nn.Sequential(*parts).eval()
    with torch.no_grad():
        weight = network[2].weight
        (weight if whole else weight[1]).fill_(value)
    return network


def images(count: int = 6) -> Tensor:
    return torch.rand(count, 2, 8, 8, generator=torch.Generator().manual_seed(1))


def settings_of(alphabet: str, granularity: str, **changes) -> dict:
    known = ALPHABETS[alphabet]
    bits = 4 if 4 in known.bits else known.bits[0]
    given = {"alphabet": alphabet, "granularity": granularity, "group": 2, "bits": bits}
    return {**SETTINGS, "fold_batchnorm": False, **given, **changes}


def compressed(network: nn.Module, settings: dict):
    generators = (torch.Generator().manual_seed(seed) for seed in (0, 1))
    return compress(network, images(), settings, *generators)


CASES = [
    (alphabet, granularity, method)
    for alphabet, known in ALPHABETS.items()
    for granularity in known.granularities
    for method in ("rtn", "gpfq", "gptq", "adaround")
    if known.equispaced or not METHODS[method].equispaced
]


@pytest.mark.parametrize(("alphabet", "granularity", "method"), CASES)
def test_any_step_serves_weights_of_nothing(alphabet, granularity, method):
    for value, whole in itertools.product(KINDS, (False, True)):
        network = network_with(value, whole)
        result = compressed(network, settings_of(alphabet, granularity, method=method, steps=10))
        weight = result.network[2].weight
        assert weight.isfinite().all()
        if whole or granularity in (
            "per_channel",
            "per_group",
        ):  # others share the grid of their group
            assert (weight if whole else weight[1]).abs().max() < 1e-36, (value, whole)
        if ALPHABETS[alphabet].equispaced:  # a step that no device takes for 0
            grid = result.packed["2.weight"][0].grid
            assert (grid.step >= torch.finfo(torch.float32).tiny).all()


def test_a_range_without_weights_is_refused_where_there_are_some():
    weight = torch.zeros(1, 100)
    weight[0, 0] = 1
    with pytest.raises(DataError, match=r"no step: their range is 0.* raise the percentile"):
        symmetric(weight, 4, Blocks.of("per_tensor"), "percentile", 50.0)


@pytest.mark.parametrize("inputs", [None, {"bits": 8, "mode": "static"}])
@pytest.mark.parametrize("alphabet", ["packed", "asymmetric", "binary", "kmeans", "powers"])
def test_a_branch_that_training_switched_off_is_folded_and_goes_to_onnx(
    alphabet: str, inputs: dict | None, tmp_path: Path
):
    network = SmallResNet(3, channels=2, widths=(4, 6)).eval()
    with torch.no_grad():
        network.stages[0].bn2.weight.zero_()  # as zero-initialised branches begin
    method = "gpfq" if ALPHABETS[alphabet].equispaced else "rtn"
    changes = {"method": method, "fold_batchnorm": True, "activations": inputs}
    result = compressed(network, settings_of(alphabet, "per_channel", **changes))
    description = {"network": SPEC, "images": [2, 8, 8], "transforms": result.transforms}
    path = tmp_path / "network.safetensors"
    save(path, result.network.state_dict(), description, result.packed)
    export(path, tmp_path / "network.onnx")
    pixels = (images() * 255).round().to(torch.uint8)
    with torch.no_grad():
        wanted = load(path)(pixels.float() / 255)
    found = torch.from_numpy(predict(tmp_path / "network.onnx", pixels.numpy()))
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
