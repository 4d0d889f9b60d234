"""Gradients in few bits: what is sent, that it is right in the mean, and what stays as it was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, distributed, nn

from laq.quantizers import bitpacking
from laq.training import exchange
from laq.training.distributed import Team
from laq.training.exchange import Exchange

torch.set_num_threads(1)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(st.sampled_from([2, 4, 8]), st.integers(1, 40), st.integers(0, 2**30))
def test_codes_are_packed_as_in_files(bits, count, seed):
    half = 2 ** (bits - 1)
    codes = torch.randint(-half, half, (count,), generator=seeded(seed)).to(torch.int8)
    packed = exchange.pack(codes, bits)
    assert torch.equal(packed, bitpacking.pack(codes, bits))
    assert torch.equal(exchange.unpack(packed, count, bits), codes)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_rounding_is_right_in_the_mean_and_never_further_than_a_step(bits):
    x, draws = torch.randn(50, generator=seeded(0)), 4000
    scale, packed = exchange.encoded(x.repeat(draws), bits, seeded(1))
    values = exchange.unpack(packed, 50 * draws, bits).view(draws, 50) * scale
    assert ((values - x).abs() <= scale * 1.0001).all()
    # A number's rounding errors have half a step of deviation at most: five of the mean's.
    assert ((values.double().mean(0) - x).abs() < 5 * scale / 2 / draws**0.5).all()
    largest = x.abs().argmax()
    torch.testing.assert_close(values[:, largest], x[largest].expand(draws))


def test_gradients_of_nothing_and_of_no_number():
    scale, packed = exchange.encoded(torch.zeros(5), 4, seeded(0))
    assert scale == 0 and not packed.any()
    for number in (torch.inf, torch.nan):
        scale, packed = exchange.encoded(torch.tensor([1.0, number]), 2, seeded(0))
        # As in float: what watches for such numbers finds them.
        assert not (exchange.unpack(packed, 2, 2) * scale).isfinite().any()


@pytest.fixture
def alone(tmp_path) -> Iterator[None]:
    """A group of one process: torch's own ways, without another process."""
    where = f"file://{tmp_path / 'group'}"
    distributed.init_process_group("gloo", init_method=where, rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(48, 4))


def gradients(bits: int, steps: int, begin: int = 0) -> list[dict[str, Tensor]]:
    """Of each step from ``begin`` to ``steps``, on the images that the step has."""
    own = network()
    coded = [own[0].weight, own[3].weight]
    hook = Exchange(0, 1, bits, coded, seed=5, step=begin)
    team = Team(0, 2)  # of two, so that it prepares the network
    wrapped, found = team.prepare(own, hook), []
    for step in range(begin, steps):
        wrapped.zero_grad()
        wrapped(torch.randn(6, 2, 6, 6, generator=seeded(step))).square().sum().backward()
        found.append({name: p.grad.clone() for name, p in own.named_parameters()})
    return found


def test_chosen_gradients_are_on_grids_and_the_others_are_as_they_were(alone):
    for exact, coarse in zip(gradients(32, 3), gradients(4, 3), strict=True):
        for name, gradient in exact.items():
            if name in ("0.weight", "3.weight"):
                scale = gradient.abs().max() / 7
                codes = coarse[name] / scale
                torch.testing.assert_close(codes, codes.round(), rtol=0, atol=1e-4)
                assert not torch.equal(coarse[name], gradient)
                assert ((coarse[name] - gradient).abs() <= 1.0001 * scale).all()
            else:
                assert torch.equal(coarse[name], gradient), name


def test_a_training_that_goes_on_draws_what_an_undisturbed_one_draws(alone):
    whole, resumed = gradients(8, 4), gradients(8, 4, begin=2)
    for undisturbed, again in zip(whole[2:], resumed, strict=True):
        for name, gradient in undisturbed.items():
            assert torch.equal(gradient, again[name]), name
    assert not torch.equal(whole[0]["3.weight"], whole[1]["3.weight"])
