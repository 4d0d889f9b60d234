"""Networks that are easy to get wrong: both walks find the same layers, and say why not others."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from laq.ptq.sequential import layers_in_order
from tests.unit.test_patches import Same
from tests.unit.test_sequential import assert_same_codes, images, quantize, ready


class Sub(nn.Linear):
    """A subclass that computes as its base does."""


class Standardized(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        weight = (self.weight - self.weight.mean()) / self.weight.std()
        return nn.functional.conv2d(x, weight, self.bias, padding=1)


class Own(nn.Linear):
    """A subclass that computes as its base does, in its own words (timm's ``Linear``)."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.weight, self.bias)


class Encoder(nn.Module):
    """Layers inside a module of torch.nn that torch.fx would not look into."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.inner(x))


class Query(nn.Module):
    """A layer that works on a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.q = nn.Parameter(torch.rand(1, 4))
        self.project, self.fc = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x + self.project(self.q))


class Asking(nn.Module):
    """A branch that torch.fx takes the wrong way without a word."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_tensor(x):
            x = self.a(x).relu()
        return self.b(x)


class Constant(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x * torch.tensor([1.0, 2.0, 0.5, 1.0], dtype=x.dtype))


@pytest.mark.parametrize(
    ("network", "shape", "layers"),
    [
        (nn.Sequential(Sub(4, 5), nn.ReLU(), Sub(5, 3)), (6, 4), {"0", "2"}),
        (nn.Sequential(Own(4, 5), nn.ReLU(), Own(5, 3)), (6, 4), {"0", "2"}),
        (nn.Sequential(Same(2, 3, 3, 2), nn.Conv2d(3, 2, 3)), (4, 2, 7, 8), {"0", "1"}),
        (Encoder(), (6, 5, 4), {"inner.linear1", "inner.linear2", "fc"}),
        (Query(), (6, 4), {"project", "fc"}),
        (Asking(), (6, 4), {"a", "b"}),
        (Constant(), (6, 4), {"fc"}),
        (nn.Sequential(Standardized(2, 3, 3), nn.Conv2d(3, 2, 3)), (4, 2, 6, 6), {"1"}),
    ],
    ids=[
        "subclass",
        "own words",
        "own padding",
        "inside torch.nn",
        "parameter",
        "is_tensor",
        "constant",
        "own forward",
    ],
)
def test_both_walks_quantize_the_same_layers_and_nothing_else(network, shape, layers):
    network, batch = ready(network), images(*shape)
    attributes = set(vars(network))
    results = [quantize(network, batch), quantize(network, batch, batch=len(batch))]
    for result in results:
        assert {row.layer for row in result.layers if not row.reason} == layers
        state = result.network.state_dict()
        for name, value in network.state_dict().items():
            assert (name in result.packed) or torch.equal(value, state[name]), name
    assert_same_codes(*results)
    assert set(vars(network)) == attributes


def test_a_layer_with_a_way_of_its_own_says_so():
    rows = quantize(ready(nn.Sequential(Standardized(2, 3, 3))), images(2, 2, 6, 6)).layers
    assert [row.reason for row in rows] == [
        "Standardized computes with its weight in a way of its own"
    ]


def tied(skip_layers: dict[str, str] | None = None, other: nn.Module | None = None):
    network = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), other or nn.Linear(4, 4))
    network = ready(network)
    network[2].weight = network[0].weight
    return network, quantize(network, images(5, 4), skip_layers=skip_layers or {})


def test_a_weight_shared_with_a_layer_that_is_kept_stays_in_float():
    network, result = tied(skip_layers={"2": "kept"})
    assert not result.packed
    assert torch.equal(result.network[0].weight, network[0].weight)
    assert [row.reason for row in result.layers] == [
        "shares the weight of 2, which stays in float",
        "kept",
    ]


def test_a_shared_weight_is_counted_once():
    network, result = tied()
    assert list(result.packed) == ["0.weight"]
    assert result.network[2].weight is result.network[0].weight
    assert result.layers[1].reason == "shares the codes of 0"
    assert list(layers_in_order(network, images(5, 4), {})) == ["0"]
