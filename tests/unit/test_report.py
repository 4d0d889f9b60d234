"""Rows of the layer report, of layers in one piece and in runs of filters."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from laq import report
from laq.alphabets import Alphabet
from laq.layer import QuantizedLayer, Samples
from laq.packing import PackedWeight

LAYER = nn.Conv2d(2, 6, 1, bias=False)


def solution(codes: Tensor, bits: int, error: float, reference: float) -> QuantizedLayer:
    grid = Alphabet.of(torch.tensor(0.5), bits, "packed")
    return QuantizedLayer(codes, grid, error, reference, 1)


def row(*solutions: QuantizedLayer) -> report.Layer:
    packed = [PackedWeight(s.codes[..., None, None], s.grid) for s in solutions]
    samples = Samples.of(torch.ones(7, 2), torch.ones(7, 2))
    return report.quantized("stem", LAYER, LAYER.weight, samples, solutions, packed)


def test_a_layer_in_one_piece():
    codes = torch.tensor([[0, 1], [1, -1], [0, 0], [0, 1], [1, -1], [0, 0]])
    found = row(solution(codes, 3, 0.25, 8.0))
    assert found == report.Layer(
        layer="stem",
        kind="Conv2d",
        shape="6x2x1x1",
        weights=12,
        bits=3,
        split="",
        levels=7,
        step=0.5,
        samples=7,
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
    found = report.in_float("up", nn.ConvTranspose2d(2, 3, 2), torch.ones(2, 3, 2, 2), "not so")
    assert (found.shape, found.weights, found.bits, found.reason) == ("2x3x2x2", 24, 32, "not so")
    assert found.error is found.entropy is found.bytes is None
