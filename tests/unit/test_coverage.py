"""Published networks through the quantizer: every layer is found, and what comes out is near."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import nn

from laq.checkpoints import packing
from laq.config import architectures
from laq.models import networks
from tests.coverage import BITS, HEAD, ROOT, measured

pytestmark = pytest.mark.long

PAGE = ROOT / "docs/networks.md"


@pytest.mark.parametrize("name", architectures.TESTED)
def test_every_convolution_and_linear_layer_is_quantized_and_the_output_near(name: str) -> None:
    found = measured(name)
    layers = {
        layer
        for layer, module in found.network.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    }
    assert {row.layer for row in found.result.layers if not row.reason} == layers
    assert found.result.packed.keys() == {f"{layer}.weight" for layer in layers}
    assert found.result.bits == BITS
    assert found.error < 0.15
    with torch.no_grad():
        assert found.result.network(found.images).isfinite().all()


@pytest.mark.parametrize("name", architectures.TESTED)
def test_every_weight_of_two_dimensions_is_reported(name: str) -> None:
    found = measured(name)
    weights = {
        parameter.removesuffix(".weight")
        for parameter, value in found.network.named_parameters()
        if value.ndim >= 2
    }
    assert {row.layer for row in found.result.layers} == weights
    assert all(row.reason for row in found.result.layers if row.bits == 32)


@pytest.mark.parametrize("name", architectures.TESTED)
def test_the_page_has_the_table_that_is_measured(name: str) -> None:
    text = PAGE.read_text()
    assert HEAD in text
    own = re.search(rf"^\| `{re.escape(name)}` .*$", text, flags=re.M)
    assert own, f"docs/networks.md has no row {name}: python -m tests.coverage prints the table"
    *stated, error, _ = own[0].split("|")
    *cells, now, _ = measured(name).row(name).split("|")
    assert stated == cells, "python -m tests.coverage prints the table anew"
    # Sums on other machines differ in their last bits, and a code may fall to its neighbour.
    assert float(error) == pytest.approx(float(now), rel=0.2)


@pytest.mark.parametrize("name", ["mobilenet_v2", "timm/vit_tiny_patch16_224"])
def test_a_published_network_is_what_it_was_after_saving_and_loading(
    name: str, tmp_path: Path
) -> None:
    found = measured(name)
    spec = {"name": name, "classes": 100}
    path = tmp_path / "packed.safetensors"
    packing.save(path, found.result.network.state_dict(), {"network": spec}, found.result.packed)
    with torch.no_grad():
        expected = found.result.network(found.images)
        assert torch.equal(packing.load(path)(found.images), expected)
    floats = sum(value.nbytes for value in networks.create(**spec).state_dict().values())
    assert path.stat().st_size < floats / 3
