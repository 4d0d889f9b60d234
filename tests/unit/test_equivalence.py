"""Layers with a forward of their own: which compute what a convolution or linear layer computes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from laq.ptq import fidelity
from tests.unit.test_patches import Same

torch.set_num_threads(1)


def layer(base: type[nn.Module], forward, *arguments, **options) -> nn.Module:
    """A layer of a subclass of ``base`` with this ``forward``."""
    return type("Own", (base,), {"forward": forward})(*arguments, **options)


def linear(forward, **options) -> nn.Module:
    return layer(nn.Linear, forward, 5, 4, **options)


def convolution(forward, **options) -> nn.Module:
    return layer(nn.Conv2d, forward, 4, 6, 3, **options)


def standardized(self: nn.Conv2d, x: Tensor) -> Tensor:
    weight = (self.weight - self.weight.mean((1, 2, 3), True)) / self.weight.std()
    return self._conv_forward(x, weight, self.bias)


def rounded(self: nn.Linear, x: Tensor) -> Tensor:
    step = self.weight.abs().max() / 2**11
    return functional.linear(x, (self.weight / step).round() * step, self.bias)


ALIKE = {
    "linear": linear(lambda self, x: functional.linear(x, self.weight, self.bias)),
    "product": linear(lambda self, x: x @ self.weight.T + self.bias),
    "cast": linear(lambda self, x: functional.linear(x, self.weight.to(x.dtype), self.bias)),
    "vectors alone": linear(lambda self, x: torch.addmm(self.bias, x, self.weight.T)),
    "without a bias": linear(lambda self, x: functional.linear(x, self.weight), bias=False),
    "convolution": convolution(
        lambda self, x: functional.conv2d(x, self.weight, self.bias, self.stride, self.padding),
        stride=2,
        padding=1,
    ),
}
PADDED = {
    "same": Same(4, 6, 3, stride=2),
    "same, depthwise": Same(4, 4, 5, stride=3, groups=4, bias=False),
    "four sides": convolution(
        lambda self, x: nn.Conv2d.forward(self, functional.pad(x, (0, 1, 2, 0))), stride=2
    ),
}
OTHERS = {
    "standardized": convolution(standardized),
    "reflecting": convolution(
        lambda self, x: nn.Conv2d.forward(self, functional.pad(x, (1, 1, 1, 1), "reflect"))
    ),
    "another stride": convolution(lambda self, x: functional.conv2d(x, self.weight, self.bias, 2)),
    "scaled": linear(lambda self, x: functional.linear(x, 0.5 * self.weight, self.bias)),
    "clamped": linear(lambda self, x: functional.linear(x, self.weight.clamp(-9, 9), self.bias)),
    "rounded": linear(rounded),
    "residual": linear(lambda self, x: x[..., :4] + functional.linear(x, self.weight, self.bias)),
    "no bias": linear(lambda self, x: functional.linear(x, self.weight)),
    "positive inputs": linear(lambda self, x: nn.Linear.forward(self, x.relu())),
    "raising": linear(lambda self, x: 1 / 0),
    "a tuple": linear(lambda self, x: (nn.Linear.forward(self, x), None)),
}


def named(cases: dict[str, nn.Module]):
    return pytest.mark.parametrize("own", cases.values(), ids=cases)


@named(ALIKE)
def test_layers_that_compute_as_their_parent_are_known(own: nn.Module) -> None:
    before = {name: value.clone() for name, value in own.state_dict().items()}
    state = torch.get_rng_state()
    assert not fidelity.is_plain(own)
    assert fidelity.as_parent(own) and fidelity.is_known(own)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(own.state_dict()[name], value) for name, value in before.items())
    assert own.training


@named(PADDED)
def test_convolutions_that_pad_in_their_own_way_are_convolutions(own: nn.Conv2d) -> None:
    assert fidelity.as_parent(own) and not fidelity.is_known(own)
    for size in ((7, 9), (8, 8), (3, 12)):
        zeros, x = fidelity.padding(own, *size), torch.randn(2, 4, *size)
        geometry = own.stride, 0, own.dilation, own.groups
        with torch.no_grad():
            expected = functional.conv2d(functional.pad(x, zeros), own.weight, own.bias, *geometry)
            torch.testing.assert_close(own(x), expected)


@named(OTHERS)
def test_layers_that_compute_anything_else_are_not(own: nn.Module) -> None:
    assert not fidelity.as_parent(own) and not fidelity.is_known(own)
