"""The small vision transformer: what it computes, and every road of the study open to it."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from laq.checkpoints import inference, packing
from laq.distances import features
from laq.experiments import compression
from laq.models import networks
from laq.models.vit import Attention, SmallViT
from laq.onnx import runtime
from laq.onnx.export import export
from laq.ptq import fx_runner, layer_selection
from laq.ptq.calibration import CalibrationImages
from laq.utils import devices
from tests.configs import SCHEMA, checked, edited

IMAGES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (24, 1, 8, 8), np.uint8))
OWN = {"convolutions": [4, 8], "patch": 2, "width": 12, "depth": 2, "heads": 3}
SPEC = networks.specification({"name": "small_vit", **OWN}, None, 5, IMAGES)


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    made = networks.create(**SPEC)
    # As after a training: statistics and scales that are not those of a new network.
    made.train()(networks.to_input(IMAGES))
    return made.eval()


def test_attention_is_a_mean_of_values_weighted_by_keys() -> None:
    torch.manual_seed(0)
    layer, x = Attention(6, 2), torch.randn(3, 5, 6)
    parts = zip(layer.qkv.weight.split(6), layer.qkv.bias.split(6), strict=True)
    q, k, v = (x @ w.T + b for w, b in parts)
    heads = []
    for own in (slice(0, 3), slice(3, 6)):
        scores = torch.einsum("ntc,nsc->nts", q[..., own], k[..., own]) / 3**0.5
        heads.append(torch.einsum("nts,nsc->ntc", scores.softmax(2), v[..., own]))
    expected = torch.cat(heads, 2) @ layer.proj.weight.T + layer.proj.bias
    torch.testing.assert_close(layer(x), expected)


def test_patches_of_a_plain_one_are_cut_row_by_row() -> None:
    torch.manual_seed(0)
    plain = SmallViT(3, 1, 8, convolutions=[], patch=4, width=8, depth=1, heads=2)
    seen: list[Tensor] = []
    plain.blocks.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    x = torch.rand(2, 1, 8, 8)
    plain(x)
    weight = plain.patches.weight.reshape(8, -1)
    for place, (row, column) in enumerate([(0, 0), (0, 4), (4, 0), (4, 4)]):
        patch = plain.normalize(x[:, :, row : row + 4, column : column + 4]).reshape(2, -1)
        token = patch @ weight.T + plain.patches.bias + plain.positions[:, place]
        torch.testing.assert_close(seen[0][:, place], token)


def test_every_layer_is_met_in_forward_order_in_its_trace(network: nn.Module) -> None:
    pool = CalibrationImages.of(IMAGES[:1], network)
    graph, run = layer_selection.graph_of(network, pool)
    met = list(run.inputs)
    block = ("attention.qkv", "attention.proj", "mlp.fc1", "mlp.fc2")
    blocks = [f"blocks.{place}.{name}" for place in range(2) for name in block]
    assert graph is not None
    assert met == ["stem.0.0", "stem.1.0", "patches", *blocks, "head"]
    layers = [n for n, m in network.named_modules() if isinstance(m, fx_runner.QUANTIZABLE)]
    assert sorted(met) == sorted(layers)


def test_it_is_quantized_stored_exported_and_has_features(
    network: nn.Module, tmp_path: Path
) -> None:
    recipe = edited({"variants/quant/compress/bits": 5, "variants/quant/compress/skip_layers": []})
    settings = checked(recipe)["variants"]["quant"]["compress"]
    draws = (devices.generator(0, "patches"), devices.generator(0, "rounding"))
    found = compression.compress(network, IMAGES, settings, *draws)
    assert [layer.bits for layer in found.layers if not layer.reason] == [5] * 12
    path = tmp_path / "vit.safetensors"
    description = {
        "network": SPEC,
        "classes": [*"abcde"],
        "images": [1, 8, 8],
        "variant": "quant",
        "transforms": found.transforms,
    }
    packing.save(path, found.network.state_dict(), description, found.packed)
    read = inference.load(path)
    expected = networks.predict(found.network, IMAGES, torch.device("cpu"))
    assert torch.equal(networks.predict(read, IMAGES, torch.device("cpu")), expected)
    export(path, tmp_path / "vit.onnx")
    result = runtime.predict(tmp_path / "vit.onnx", IMAGES.numpy())
    np.testing.assert_allclose(result, expected, atol=1e-5)
    (seen,) = features.penultimate(read, IMAGES, torch.device("cpu"), 24)
    assert seen.shape == (24, 12)


def test_the_config_s_keys_are_its_arguments() -> None:
    case = next(
        case["then"]["properties"]
        for case in SCHEMA["$defs"]["network"]["allOf"]
        if case["if"].get("properties") == {"architecture": {"enum": ["small_vit"]}}
    )
    given = {key: child["default"] for key, child in case.items() if child is not True}
    known = inspect.signature(SmallViT).parameters
    assert given == {
        key: list(known[key].default) if key == "convolutions" else known[key].default
        for key in given
    }
    assert set(known) == {"classes", "channels", "side", *given}
