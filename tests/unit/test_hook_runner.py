"""Layers' inputs by running a network up to them."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from laq.ptq import calibration, hook_runner
from laq.ptq.activation_cache import Activations
from laq.ptq.calibration import CalibrationImages
from laq.utils.errors import DataError, LaqError

torch.set_num_threads(1)


class Net(nn.Module):
    """Branches on values: ``rare`` is called for images of a large sum alone."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.rare, self.last, self.never = (nn.Linear(3, 3) for _ in range(4))
        self.after = 0

    def forward(self, x: Tensor) -> Tensor:
        x = self.last(input=self.first(x)) if x.sum() < 100 else self.rare(x)
        self.after += 1
        return self.last(x)


@pytest.fixture
def network() -> Net:
    torch.manual_seed(0)
    return Net().double().eval()


LAYERS = ["never", "last", "rare", "first"]


def pool(network: nn.Module) -> CalibrationImages:
    generator = torch.Generator().manual_seed(0)
    return CalibrationImages.of(torch.rand(5, 3, generator=generator, dtype=torch.float64), network)


def no_hooks(network: nn.Module) -> bool:
    return not any(module._forward_pre_hooks for module in network.modules())


@torch.no_grad()
def test_order_of_first_calls_in_a_run(network):
    images = pool(network).images
    assert hook_runner.call_order(network, images, LAYERS) == ["first", "last"]
    assert hook_runner.call_order(network, images, ["last"]) == ["last"]
    assert hook_runner.call_order(network, images + 100, LAYERS) == ["rare", "last"]
    assert no_hooks(network)


@torch.no_grad()
def test_the_run_ends_at_the_first_call(network):
    images = pool(network).images
    assert torch.equal(hook_runner.capture(network, "first", images), images)
    assert torch.equal(hook_runner.capture(network, "last", images), network.first(images))
    assert network.after == 0
    assert no_hooks(network)


def test_a_layer_that_some_images_do_not_reach_is_refused_by_name(network):
    with pytest.raises(
        LaqError, match=r"layer rare: Net calls it for some .*compress\.skip_layers"
    ):
        hook_runner.capture(network, "rare", pool(network).images)
    assert no_hooks(network)


@torch.no_grad()
def test_both_networks_are_rerun_for_each_layer_in_chunks(network, monkeypatch):
    monkeypatch.setattr(calibration, "CHUNK", 2)
    other, images, batches = copy.deepcopy(network), pool(network), []
    changed: list[str] = []

    def batch() -> CalibrationImages:
        batches.append(images)
        return images

    with Activations(16) as activations:
        nets = (network, other)
        walk = hook_runner.rerun(nets, batch, ["first", "last"], lambda: bool(changed), activations)
        x = xq = images.images
        for name, inputs in walk:
            assert inputs.shapes == [(2, 3), (2, 3), (1, 3)]
            found = [torch.cat(side) for side in zip(*inputs.chunks(), strict=True)]
            assert torch.equal(found[0], x) and torch.equal(found[1], xq), name
            other.get_submodule(name).weight.mul_(2)
            changed.append(name)
            x, xq = network.first(x), other.first(xq)
        assert activations.held == 0
    assert len(batches) == 2


@torch.no_grad()
def test_images_come_in_chunks_in_the_form_of_the_network(network, monkeypatch):
    monkeypatch.setattr(calibration, "CHUNK", 2)
    pixels = torch.randint(256, (5, 1, 2, 2), dtype=torch.uint8)
    images = CalibrationImages.of(pixels, network)
    assert [len(chunk) for chunk in images] == [2, 2, 1] and len(images) == 3
    assert torch.equal(torch.cat(list(images)), (pixels.float() / 255).double())
    floats = CalibrationImages.of(pixels.double(), network)
    floats.chunk(0).zero_()  # a network may work on its input in place
    assert torch.equal(floats.images, pixels.double())
    with pytest.raises(DataError, match="no calibration images"):
        CalibrationImages.of(pixels[:0], network)


def test_batches_are_drawn_without_replacement(network):
    images = CalibrationImages.of(torch.arange(50.0)[:, None], network)
    generator = torch.Generator().manual_seed(0)
    first, second = (images.draw(20, generator).images.flatten().tolist() for _ in range(2))
    assert len(set(first)) == len(set(second)) == 20
    assert set(first) != set(second)
    assert sorted(images.draw(60, generator).images.flatten().tolist()) == list(range(50))
