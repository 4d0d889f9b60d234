"""The walk over the graph: where it stops, what it hands over and what it refuses."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from laq.ptq import calibration, fx_runner
from laq.ptq.activation_cache import Activations
from laq.ptq.calibration import CalibrationImages
from laq.utils.errors import DataError

torch.set_num_threads(1)


class Net(nn.Module):
    """A layer called twice, one whose output nobody uses, an argument with a default."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.twice, self.aside = (nn.Linear(3, 3) for _ in range(3))

    def forward(self, x: Tensor, scale: float = 2.0) -> Tensor:
        x = self.first(x) * scale
        x = self.twice(x).reshape(x.size(0), -1)
        self.aside(x)
        return self.twice(x)


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return Net().double().eval()


def images(network: nn.Module, count: int = 5) -> CalibrationImages:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(count, 3, generator=generator, dtype=torch.float64)
    return CalibrationImages.of(pixels, network)


LAYERS = ["aside", "twice", "first"]


def test_layers_are_met_in_the_order_of_their_first_calls(network):
    graph = fx_runner.trace(network)
    assert fx_runner.call_order(graph, LAYERS) == ["first", "twice", "aside"]
    assert fx_runner.call_order(graph, ["aside", "first"]) == ["first", "aside"]


@torch.no_grad()
def test_inputs_are_those_of_both_networks_where_the_walk_stops(network, monkeypatch):
    monkeypatch.setattr(calibration, "CHUNK", 2)
    pool, other = images(network), copy.deepcopy(network)
    changed: list[str] = []
    with Activations(0) as activations:
        walk = fx_runner.walk(
            fx_runner.trace(network),
            (network, other),
            pool,
            LAYERS,
            lambda: bool(changed),
            activations,
        )
        x = xq = pool.images
        for name, inputs in walk:
            assert inputs.shapes == [(2, 3), (2, 3), (1, 3)]
            found = [torch.cat(side) for side in zip(*inputs.chunks(), strict=True)]
            assert torch.equal(found[0], x) and torch.equal(found[1], xq), name
            if name == "twice":  # the second network differs from here on
                other.twice.weight.mul_(2)
                changed.append(name)
            x, xq = network.get_submodule(name)(x), other.get_submodule(name)(xq)
            if name == "first":
                x, xq = 2 * x, 2 * xq
            assert torch.equal(x, xq) == (not changed)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_values_that_are_not_finite_stop_with_layer_and_side(value):
    x = torch.ones(2, 3)
    x[1, 1] = value
    with pytest.raises(DataError, match="layer a: the float network's input here is not finite"):
        fx_runner.check_finite(x, "a", 0)
    with pytest.raises(DataError, match="layer b: the quantized network's input"):
        fx_runner.check_finite(x, "b", 1)


def test_infinities_that_cancel_and_sums_that_overflow_are_told_apart():
    fx_runner.check_finite(torch.full((4,), 3e38), "a", 0)  # its sum is infinite
    with pytest.raises(DataError):
        fx_runner.check_finite(torch.tensor([torch.inf, -torch.inf]), "a", 0)
