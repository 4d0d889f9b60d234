"""Schedules and optimizers against torch's own, put together by hand."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.optim import lr_scheduler

from laq.training import TRAINING, Recipe, optimizers, schedules

torch.set_num_threads(1)


def recipe(**settings) -> Recipe:
    return Recipe.of(TRAINING, {"learning_rate": 0.1, **settings})


def linear() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(2, 2)


def course(recipe: Recipe, steps: int, key: str = "lr") -> list[float]:
    """A setting of the optimizer at every step of a training."""
    optimizer = optimizers.create(linear(), recipe)
    schedule = schedules.create(optimizer, recipe, steps)
    return taken(optimizer, schedule, recipe.epochs * steps, key)


def taken(optimizer, schedule, count: int, key: str = "lr") -> list[float]:
    values = []
    for _ in range(count):
        values.append(optimizer.param_groups[0][key])
        optimizer.step()
        schedule.step()
    return values


QUICK = settings(deadline=None, max_examples=25)


@QUICK
@given(epochs=st.integers(1, 5), steps=st.integers(1, 7), warmup=st.integers(0, 2))
def test_cosine_is_that_of_torch_after_a_rise(epochs, steps, warmup):
    warmup = min(warmup, epochs - 1)
    rates = course(recipe(schedule="cosine", epochs=epochs, warmup=warmup), steps)
    optimizer = torch.optim.SGD(linear().parameters(), 0.1)
    cosine = lr_scheduler.CosineAnnealingLR(optimizer, (epochs - warmup) * steps)
    expected = taken(optimizer, cosine, (epochs - warmup) * steps)
    rise = [0.1 * (step + 1) / (warmup * steps + 1) for step in range(warmup * steps)]
    assert rates == pytest.approx(rise + expected)


@QUICK
@given(
    epochs=st.integers(1, 6),
    steps=st.integers(1, 4),
    milestones=st.lists(st.integers(1, 6), unique=True),
    factor=st.floats(0.05, 0.9),
)
def test_steps_are_those_of_torch(epochs, steps, milestones, factor):
    made = recipe(schedule="step", epochs=epochs, milestones=milestones, factor=factor)
    optimizer = torch.optim.SGD(linear().parameters(), 0.1)
    places = sorted(milestone * steps for milestone in milestones)
    expected = lr_scheduler.MultiStepLR(optimizer, places, factor)
    assert course(made, steps) == pytest.approx(taken(optimizer, expected, epochs * steps))


def test_a_constant_rate_is_the_rate_itself():
    assert course(recipe(schedule="constant", epochs=2), 3) == [0.1] * 6
    assert course(recipe(schedule="constant", epochs=2, warmup=1), 3) == pytest.approx(
        [0.025, 0.05, 0.075, 0.1, 0.1, 0.1]
    )
    # Half an epoch: of three steps two.
    rates = course(recipe(schedule="constant", epochs=1, warmup=0.5), 3)
    assert rates == pytest.approx([0.1 / 3, 0.2 / 3, 0.1])


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_one_cycle_is_torch_s_with_its_defaults(optimizer):
    made = recipe(optimizer=optimizer, epochs=3)
    kind = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}[optimizer]
    more = {"momentum": 0.9} if optimizer == "sgd" else {}
    key = "momentum" if optimizer == "sgd" else "betas"
    for name in ("lr", key):
        expected = kind(linear().parameters(), 0.1, **more)
        schedule = lr_scheduler.OneCycleLR(expected, 0.1, total_steps=30)
        assert course(made, 10, name) == taken(expected, schedule, 30, name)


@pytest.mark.parametrize("momentum", [0.0, 0.2, 0.99])
def test_one_cycle_moves_other_momenta_about_their_value(momentum):
    values = course(recipe(momentum=momentum, epochs=2), 10, "momentum")
    assert all(0 <= value < 1 for value in values)
    if momentum:
        assert min(values) < momentum < max(values)
    else:
        assert set(values) == {0}


class Layers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        self.norm = nn.BatchNorm2d(2)
        self.layer_norm = nn.LayerNorm(2)
        self.head = nn.Linear(2, 2)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
@pytest.mark.parametrize("decay_norms", [True, False])
def test_decay_shrinks_what_it_should_and_nothing_else(name, decay_norms):
    network = Layers()
    nn.init.constant_(network.norm.bias, 1.0)
    before = {name: tensor.clone() for name, tensor in network.named_parameters()}
    made = recipe(optimizer=name, weight_decay=0.5, decay_norms=decay_norms, momentum=0.0)
    optimizer = optimizers.create(network, made)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    weights = {"conv.weight", "head.weight"}
    for key, parameter in network.named_parameters():
        share = 1 - 0.1 * 0.5 if decay_norms or key in weights else 1.0
        torch.testing.assert_close(parameter.detach(), before[key] * share)


def test_sgd_is_torch_s_with_nesterov_momentum():
    network, expected = linear(), linear()
    made = recipe(momentum=0.7, weight_decay=0.01)
    ours = optimizers.create(network, made)
    theirs = torch.optim.SGD(
        expected.parameters(), 0.1, momentum=0.7, nesterov=True, weight_decay=0.01
    )
    x = torch.tensor([[1.0, 2.0]])
    for _ in range(3):
        for model, optimizer in ((network, ours), (expected, theirs)):
            optimizer.zero_grad()
            model(x).square().sum().backward()
            optimizer.step()
    assert torch.equal(network.weight, expected.weight)
