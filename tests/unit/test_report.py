"""Rows of the layer report, of layers in one piece and in runs of filters."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from laq.ptq import gpfq, layer_report, rtn
from laq.ptq.layer import QuantizedLayer, Samples
from laq.quantizers.grids import Codebook, Uniform
from laq.quantizers.packed_weight import PackedWeight
from laq.quantizers.uniform import Alphabet

LAYER = nn.Conv2d(2, 6, 1, bias=False)
nn.init.uniform_(LAYER.weight, -0.5, 0.5)  # within the levels of ``solution``


def solution(codes: Tensor, bits: int, error: float, reference: float) -> QuantizedLayer:
    grid = Alphabet.of(torch.tensor(0.5), bits, "packed")
    return QuantizedLayer(codes, grid, error, reference, 1)


def row(*solutions: QuantizedLayer) -> layer_report.LayerRow:
    packed = [PackedWeight(s.codes[..., None, None], s.grid) for s in solutions]
    samples = Samples.of(torch.ones(7, 2), torch.ones(7, 2))
    return layer_report.quantized("stem", LAYER, LAYER.weight, samples, solutions, packed)


def test_a_layer_in_one_piece():
    codes = torch.tensor([[0, 1], [1, -1], [0, 0], [0, 1], [1, -1], [0, 0]])
    found = row(solution(codes, 3, 0.25, 8.0))
    assert found == layer_report.LayerRow(
        layer="stem",
        kind="Conv2d",
        shape="6x2x1x1",
        weights=12,
        bits=3,
        split="",
        levels=7,
        step=0.5,
        samples=7,
        inputs=2,
        clipped=pytest.approx(0),
        error=0.25,
        zeros=6,
        silent=1,
        entropy=pytest.approx(0.5 * 1 + 1 / 3 * math.log2(3) + 1 / 6 * math.log2(6)),
        bytes=5 + 4,  # 12 codes of 3 bits, one float32 step
        reason="",
    )


def test_runs_join_by_rows_errors_by_what_they_are_relative_to():
    first = solution(torch.tensor([[0, 1]] * 4), 5, 0.1, 3.0)
    second = solution(torch.tensor([[1, 1], [0, 1]]), 2, 0.5, 4.0)
    found = row(first, second)
    assert (found.split, found.levels, found.step) == ("5:4 2:2", None, None)
    assert found.bits == pytest.approx((4 * 5 + 2 * 2) / 6)
    assert found.error == pytest.approx(math.hypot(0.1 * 3, 0.5 * 4) / 5)
    entropy = -(0.25 * math.log2(0.25) + 0.75 * math.log2(0.75))
    assert found.entropy == pytest.approx((8 * 1 + 4 * entropy) / 12)
    assert (found.zeros, found.silent, found.bytes) == (5, 1, 5 + 4 + 1 + 4)


@pytest.mark.parametrize(("error", "joined"), [(0.0, 0.3), (math.inf, math.inf)])
def test_a_run_without_outputs_adds_no_error_or_an_infinite_one(error, joined):
    codes = torch.ones(3, 2, dtype=torch.int64)
    assert row(solution(codes, 4, 0.3, 2.0), solution(codes, 4, error, 0.0)).error == joined
    assert row(solution(codes, 4, error, 0.0), solution(codes, 4, 0.0, 0.0)).error == error


def test_a_layer_in_float():
    found = layer_report.in_float(
        "up", nn.ConvTranspose2d(2, 3, 2), torch.ones(2, 3, 2, 2), "not so"
    )
    assert (found.shape, found.weights, found.bits, found.reason) == ("2x3x2x2", 24, 32, "not so")
    assert found.error is found.entropy is found.bytes is None


def of_linear(weight: Tensor, grid: Uniform, samples: int, method=gpfq, **silent: int):
    """The row of a linear layer, the first inputs of which are ``silent``."""
    inputs = torch.rand(samples, weight.shape[1], generator=torch.Generator().manual_seed(0))
    inputs[:, : silent.get("silent", 0)] = 0
    drawn = Samples.of(inputs, inputs)
    solved = method.solve(weight, drawn, grid)
    packed = [PackedWeight(solved.codes, grid)]
    return layer_report.quantized("fc", nn.Linear(1, 1), weight, drawn, [solved], packed)


def weights(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("bits", [2, 4, 32])
@pytest.mark.parametrize("scheme", ["packed", "paper"])
def test_the_share_of_the_energy_that_a_scale_for_all_filters_cuts_off(bits, scheme):
    weight = weights(6, 50)
    weight[2] *= 10
    shared = Alphabet.from_weights(weight, bits, scheme)
    last = float(shared.step) * shared.largest
    beyond = (weight.double().abs() - last).clamp(min=0)
    expected = (beyond.square().sum() / weight.double().square().sum()).item()
    found = of_linear(weight, shared, 100)
    assert found.clipped == pytest.approx(expected, rel=1e-4)
    assert found.clipped > 0.1
    assert found.warning == "clipped weights"
    own = of_linear(weight, Alphabet.from_weights(weight, bits, scheme, per_channel=True), 100)
    assert own.warning == ""
    if bits > 2:
        assert own.clipped == 0


def test_what_codebooks_zero_points_and_groups_of_inputs_cut_off():
    weight = weights(6, 50)
    table = Codebook(torch.tensor([[-0.5, 0.0, 0.5, 1.0]]), 2, "kmeans")
    expected = (weight - weight.clamp(-0.5, 1.0)).square().sum() / weight.square().sum()
    assert of_linear(weight, table, 100, rtn).clipped == pytest.approx(expected.item(), rel=1e-5)
    zero = torch.arange(-3, 3, dtype=torch.int8)[:, None]
    grid = Uniform(torch.full((6, 1), 0.1), -8, 7, 4, "asymmetric", zero)
    low, high = (-8 - zero) * 0.1, (7 - zero) * 0.1
    expected = (weight - weight.clamp(low, high)).square().sum() / weight.square().sum()
    assert of_linear(weight, grid, 100).clipped == pytest.approx(expected.item(), rel=1e-4)
    blocks = Uniform(torch.tensor([[0.1, 0.3]]), -7, 7, 4, "symmetric", rows=6, columns=30)
    most = torch.cat([torch.full((30,), 0.7), torch.full((20,), 2.1)])
    expected = (weight - weight.clamp(-most, most)).square().sum() / weight.square().sum()
    assert of_linear(weight, blocks, 100).clipped == pytest.approx(expected.item(), rel=1e-4)


def test_few_samples_and_silent_inputs_are_warned_of_where_codes_depend_on_them():
    weight = weights(6, 100)
    grid = Alphabet.from_weights(weight, 4, per_channel=True)
    assert of_linear(weight, grid, 10).warning == ""
    assert of_linear(weight, grid, 9).warning == "few samples"
    assert of_linear(weight, grid, 10, silent=50).warning == ""
    assert of_linear(weight, grid, 9, silent=51).warning == "few samples, silent inputs"
    assert of_linear(weight, grid, 9, rtn, silent=51).warning == ""
    found = of_linear(weight, grid, 9, silent=51)
    assert (found.samples, found.inputs, found.silent) == (9, 100, 51)


def test_each_lack_is_logged_once_with_the_worst_layers_and_the_remedy(caplog):
    weight = weights(6, 100)
    weight[2] *= 10
    shared = Alphabet.from_weights(weight, 4)
    own = Alphabet.from_weights(weight, 4, per_channel=True)
    rows = [of_linear(weight, shared, samples) for samples in (9, 3, 5, 7)]
    rows = [replace(row, layer=f"layer{place}") for place, row in enumerate(rows)]
    rows += [of_linear(weight, own, 100), layer_report.in_float("up", LAYER, LAYER.weight, "kept")]
    layer_report.tell(rows)
    few, clipped = caplog.messages
    assert few.startswith("4 of 5 layers have far fewer samples than inputs")
    assert "(worst: layer1, 3 samples for 100 inputs; layer2, 5" in few
    assert "more images (images), all patches (patches: all), or a larger ridge" in few
    assert clipped.startswith("4 of 5 layers lose more than 1% of their weights' energy")
    assert "granularity: per_channel" in clipped
    caplog.clear()
    layer_report.tell(rows[4:])
    assert not caplog.messages
