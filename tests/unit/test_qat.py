"""Weights on grids: gradients against formulas written out, steps and pulls against search."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from laq.ptq import activation_quantizer
from laq.qat import grid, inputs, lsq, prox
from laq.qat.grid import LearnedRounding
from laq.training.constraints import Progress

torch.set_num_threads(1)


def hand_written(w: np.ndarray, s: float, limit: int, above: np.ndarray) -> tuple:
    """Equations 1 to 3 and 5 of Esser et al. 2020, weight by weight: gradients of w and of s."""
    of_weights, of_step = np.zeros_like(w), 0.0
    for i in np.ndindex(w.shape):
        v = w[i] / s
        if v <= -limit:
            of_step += above[i] * -limit
        elif v >= limit:
            of_step += above[i] * limit
        else:
            of_weights[i] = above[i]
            of_step += above[i] * (np.rint(v) - v)
    return of_weights, of_step


@pytest.mark.parametrize("bits", [2, 3, 8])
@pytest.mark.parametrize("per_channel", [False, True])
def test_gradients_are_those_written_out_by_hand(bits, per_channel):
    torch.manual_seed(bits)
    weight = torch.randn(4, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    above = torch.randn(weight.shape, dtype=torch.float64)
    quantizer = lsq.LearnedStep(bits, 4 if per_channel else None).double()
    step = torch.rand(quantizer.unit.shape, dtype=torch.float64) + 0.2
    quantizer.unit.copy_(step)
    (quantizer(weight) * above).sum().backward()
    rows = [slice(i, i + 1) for i in range(4)] if per_channel else [slice(None)]
    for place, part in enumerate(rows):
        w, s = weight.detach()[part].numpy(), float(step.view(-1)[place])
        of_weights, of_step = hand_written(w, s, quantizer.limit, above[part].numpy())
        np.testing.assert_allclose(weight.grad[part], of_weights, rtol=1e-12)
        scale = 1 / np.sqrt(w.size * quantizer.limit)
        np.testing.assert_allclose(
            quantizer.ratio.grad.view(-1)[place] * s, of_step * scale, rtol=1e-10
        )


@pytest.mark.parametrize("shape", [(), (3, 1)])
def test_gradients_are_finite_differences_where_rounding_is_taken_for_constant(shape):
    torch.manual_seed(0)
    limit = 3
    weight = 2 * torch.randn(3, 40, dtype=torch.float64)
    step = (0.3 + torch.rand(shape, dtype=torch.float64)).requires_grad_()
    weight.requires_grad_()
    clipped = (weight / step).detach().clamp(-limit, limit)
    offset = clipped.round() - clipped

    def surrogate(w: Tensor, s: Tensor) -> Tensor:
        return ((w / s).clamp(-limit, limit) + offset) * s

    assert torch.autograd.gradcheck(surrogate, (weight, step))
    above = torch.randn_like(weight)
    expected = torch.autograd.grad((surrogate(weight, step) * above).sum(), (weight, step))
    rounded = LearnedRounding.apply(weight, step, -limit, limit, 1.0)
    torch.testing.assert_close(rounded, surrogate(weight, step))
    found = torch.autograd.grad((rounded * above).sum(), (weight, step))
    torch.testing.assert_close(found, expected)


def test_the_step_of_clipped_weights_has_its_true_derivative():
    weight = torch.tensor([[5.0, -7.0, 9.0]], dtype=torch.float64)
    step = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    LearnedRounding.apply(weight, step, -3, 3, 1.0)[0, :2].sum().backward()
    assert step.grad == 0
    assert torch.autograd.gradcheck(lambda s: LearnedRounding.apply(weight, s, -3, 3, 1.0), (step,))


@given(
    bits=st.integers(2, 8),
    rows=st.integers(1, 4),
    seed=st.integers(0, 99),
    kind=st.sampled_from([lsq.LearnedStep, prox.FloatWeight]),
    per_channel=st.booleans(),
)
def test_rounded_weights_are_the_packed_ones_bit_for_bit(bits, rows, seed, kind, per_channel):
    torch.manual_seed(seed)
    weight = torch.randn(rows, 3, 2, 2)
    layer = kind(bits, rows if per_channel else None)
    layer.unit.copy_(torch.rand(layer.unit.shape) + 0.01)
    for ratio in layer.parameters():
        nn.init.uniform_(ratio, 0.5, 2)
    packed = layer.packed(weight)
    assert packed.grid.width == bits and packed.grid.high == layer.limit == 2 ** (bits - 1) - 1
    assert torch.equal(layer.eval()(weight), packed.values)
    if kind is lsq.LearnedStep:
        assert torch.equal(layer.train()(weight), packed.values)
    else:
        assert layer.train()(weight) is weight


@pytest.mark.parametrize("bits", [2, 3, 4])
@pytest.mark.parametrize("per_channel", [False, True])
def test_the_first_step_loses_nearly_as_little_as_any(bits, per_channel):
    torch.manual_seed(1)
    network = nn.Sequential(nn.Linear(200, 5))
    nn.init.normal_(network[0].weight)
    prox.GrowingPull({"0": bits}, per_channel=per_channel).prepare(network)
    grid.fit(network)
    ((weight, values),) = grid.attached(network)
    rows = values.detach() if per_channel else values.detach().reshape(1, -1)
    for step, row in zip(weight.step.reshape(-1), rows, strict=True):

        def error(s: Tensor, row: Tensor = row) -> float:
            codes = (row / s).round().clamp(-weight.limit, weight.limit)
            return float((row - codes * s).square().sum())

        best = min(error(s) for s in torch.linspace(0.02, 3, 600))
        assert error(step) <= 1.05 * best


def test_least_squares_is_numpy_s():
    torch.manual_seed(0)
    rows, step = torch.randn(3, 50, dtype=torch.float64), torch.full((3, 1), 0.4).double()
    found = grid.least_squares(rows, step, 3)
    codes = (rows / step).round().clamp(-3, 3)
    for row, code, one in zip(rows, codes, found, strict=True):
        (expected,), *_ = np.linalg.lstsq(code[:, None].numpy(), row.numpy(), rcond=None)
        assert float(one) == pytest.approx(expected)
    assert torch.equal(grid.least_squares(torch.zeros(1, 4), step[:1], 3), step[:1])


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("kind", [prox.GrowingPull, lsq.LearnedSteps])
@pytest.mark.parametrize("value", [0.0, 1e-44, 1e-30])
def test_a_layer_of_zeros_can_be_trained_and_ends_in_codes(kind, value, per_channel):
    network = nn.Sequential(nn.Linear(4, 2, bias=False))
    nn.init.constant_(network[0].weight, value)
    constraint = kind({"0": 3}, per_channel=per_channel)
    constraint.prepare(network)
    grid.fit(network)
    assert not network.eval()(torch.ones(1, 4)).any()
    learned = network.train()[0].parametrizations.weight.original
    optimizer = torch.optim.SGD(network.parameters(), 0.5)
    for done in range(1, 9):  # towards outputs of 1
        optimizer.zero_grad()
        (network(torch.ones(1, 4)) - 1).square().sum().backward()
        optimizer.step()
        with torch.no_grad():
            constraint.after_step(network, Progress(done, 8))
    assert learned.isfinite().all()
    weight = grid.detach(network, ["0"])["0.weight"]
    assert weight.codes.any() and weight.values.isfinite().all()


# The pull


def test_the_pull_is_the_proximal_operator():
    """Of reach · |x − nearest|, found by search over x."""
    torch.manual_seed(0)
    values = torch.randn(30, dtype=torch.float64)
    nearest = values.round()
    search = torch.linspace(-4, 4, 80001, dtype=torch.float64)
    for reach in (0.0, 0.07, 0.3, 2.0):
        cost = 0.5 * (search[:, None] - values) ** 2 + reach * (search[:, None] - nearest).abs()
        expected = search[cost.argmin(0)]
        found = prox.towards(values, nearest, torch.tensor(reach))
        torch.testing.assert_close(found, expected, rtol=0, atol=1.1e-4)
    assert torch.equal(prox.towards(values, nearest, torch.tensor(torch.inf)), nearest)


def test_the_pull_grows_until_weights_lie_on_the_grid():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(60, 4))
    constraint = prox.GrowingPull({"0": 3})
    constraint.prepare(network)
    grid.fit(network)
    ((weight, values),) = grid.attached(network)
    moved = []
    with torch.no_grad():
        for done in range(1, 11):
            before = values.clone()
            constraint.after_step(network, Progress(done, 10))
            moved.append(float(((values - before).abs() / weight.step).max()))
            far = float(((values - weight.rounded(values)).abs() / weight.step).max())
            if done < 10:
                assert moved[-1] <= done / 10 / (10 - done) + 1e-5
    assert moved[0] < moved[3] and far == 0
    assert torch.equal(weight.packed(values).values, values)


# In a network


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.out = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        self.two.weight = self.one.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.two(self.one(x.flatten(1))))


@pytest.mark.parametrize("constraint", [lsq.LearnedSteps, prox.GrowingPull])
def test_layers_that_share_a_weight_share_its_codes(constraint):
    torch.manual_seed(0)
    network = Tied()
    names, parameters = list(network.state_dict()), len(list(network.parameters()))
    constraint({"one": 3}).prepare(network)
    grid.fit(network)
    assert len(list(grid.attached(network))) == 1
    learned = constraint is lsq.LearnedSteps
    assert len(list(network.parameters())) == parameters + learned
    x = torch.randn(5, 8)
    before = network.eval()(x)
    packed = grid.detach(network, ["one"])
    assert list(packed) == ["one.weight"]
    assert sorted(network.state_dict()) == sorted(names)
    assert type(network.one) is type(network.two) is nn.Linear
    assert network.two.weight is network.one.weight
    assert torch.equal(network.one.weight, packed["one.weight"].values)
    torch.testing.assert_close(network(x), before)


# Inputs


class Pyramid(nn.Module):
    """Calls a layer twice, the second time on larger numbers, or on smaller ones."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.gain, self.layer = gain, nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x) + self.layer(self.gain * x)


@pytest.mark.parametrize("gain", [10.0, 0.1])
def test_a_learned_range_begins_with_the_inputs_of_all_calls(gain):
    torch.manual_seed(0)
    network, x = Pyramid(gain), torch.rand(50, 4)
    inputs.attach(network, {"layer": 8})
    inputs.calibrate(network, x)
    (held,) = inputs.attached(network)
    ends = [float((end - held.zero) * held.step) for end in activation_quantizer.limits(8)]
    assert ends[0] == 0 and ends[1] == pytest.approx(float(x.max()) * max(gain, 1), rel=0.05)


def test_inputs_end_as_the_quantizers_that_a_checkpoint_has():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2))
    images = 2 * torch.randn(20, 1, 4, 4) + 1
    plain = network(images)
    constraint = lsq.LearnedSteps({"0": 8, "3": 8}, inputs={"0": 8, "3": 8})
    constraint.prepare(network)
    grid.fit(network)
    inputs.calibrate(network, images)
    nn.init.constant_(network[3].input_quantizer.ratio, 1.25)
    trained = network(images)
    assert (trained - plain).abs().max() < 0.1 * plain.abs().max()
    # After ReLU every code is of a number that occurs; before it some are below zero.
    assert network[3].input_quantizer.zero == -128 < network[0].input_quantizer.zero
    specs = inputs.detach(network, ["0", "3"])
    grid.detach(network, ["0", "3"])
    assert specs == {name: {"bits": 8, "mode": "static"} for name in ("0", "3")}
    assert torch.equal(network(images), trained)
    other = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2))
    activation_quantizer.attach(other, specs)
    other.load_state_dict(network.state_dict())
    assert torch.equal(other(images), trained)


def test_steps_are_learned_and_do_not_decay():
    network = nn.Sequential(nn.Linear(4, 2), nn.Linear(2, 2))
    constraint = lsq.LearnedSteps({"0": 2}, inputs={"0": 8, "1": 8}, step_rate=0.5)
    constraint.prepare(network)
    (group,) = constraint.groups(network)
    names = {name for name, p in network.named_parameters() if any(p is q for q in group["params"])}
    assert names == {n for n, _ in network.named_parameters() if n.endswith(".ratio")}
    assert len(names) == 3 and (group["weight_decay"], group["share"]) == (0.0, 0.5)
    with torch.no_grad():
        group["params"][0].fill_(-3)
        constraint.after_step(network, Progress(1, 2))
    assert all(parameter > 0 for parameter in group["params"])
    prox_only = nn.Sequential(nn.Linear(4, 2))
    pulled = prox.GrowingPull({"0": 2})
    pulled.prepare(prox_only)
    assert pulled.groups(prox_only) == []
