"""Sweeps over codes against the search of each code over all levels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from laq.ptq import gpfq, gptq, qronos, rtn, sweeps
from laq.ptq.layer import QuantizedLayer, Samples
from laq.quantizers.grids import Uniform
from laq.quantizers.uniform import Alphabet
from laq.utils.errors import ConfigError
from tests.unit.test_gptq import layer


def searched(
    weight: Tensor, x: Tensor, xq: Tensor, result: QuantizedLayer, times: int, ridge: float
) -> np.ndarray:
    """Values (N, d) after ``times`` sweeps, each value the best of all levels by its error."""
    w, x, xq = weight.double().numpy(), x.double().numpy(), xq.double().numpy()
    values = result.weight.double().numpy().copy()
    codes = torch.arange(result.grid.low, result.grid.high + 1)
    levels = result.grid.values(codes.expand(len(w), -1).contiguous()).double().numpy()
    penalty = ridge * (xq**2).sum(0).mean()
    for _ in range(times):
        for neuron in range(len(w)):
            for t in range(w.shape[1]):
                costs = []
                for level in levels[neuron]:
                    values[neuron, t] = level
                    difference = x @ w[neuron] - xq @ values[neuron]
                    change = ((w[neuron] - values[neuron]) ** 2).sum()
                    costs.append((difference**2).sum() + penalty * change)
                values[neuron, t] = levels[neuron, int(np.argmin(costs))]
    return values


SOLVERS = {"gpfq": gpfq.solve, "gptq": gptq.solve, "qronos": qronos.solve, "rtn": rtn.solve}


@pytest.mark.parametrize("samples", [10, 40])  # each form
@pytest.mark.parametrize("ridge", [0.0, 1.0])
@pytest.mark.parametrize("method", ["gpfq", "rtn"])
def test_float64_gives_the_search_over_all_levels(samples, ridge, method):
    weight, inputs, quantized = layer(5, 20, samples, drift=0.3)
    quantized[:, 10] = inputs[:, 3]
    alphabet = Alphabet.from_weights(weight, 3, per_channel=True)
    given_samples = Samples.of(inputs, quantized)
    start = SOLVERS[method](weight, given_samples, alphabet)
    result = sweeps.refine(start, weight, given_samples, 3, ridge=ridge)
    expected = searched(weight, inputs, quantized, start, 3, ridge)
    np.testing.assert_allclose(result.weight.numpy(), expected, atol=1e-12)
    assert not torch.equal(result.codes, start.codes)
    before, after = inputs @ weight.T, quantized @ result.weight.T
    assert result.error == pytest.approx(((before - after).norm() / before.norm()).item())
    assert result.reference == pytest.approx(before.norm().item())


@settings(deadline=None, max_examples=60)
@given(
    neurons=st.integers(1, 40),
    columns=st.integers(1, 100),
    samples=st.integers(1, 120),
    groups=st.integers(1, 3),
    bits=st.integers(2, 8),
    times=st.integers(1, 4),
    method=st.sampled_from(["gpfq", "gptq", "rtn"]),
    seed=st.integers(0, 2**16),
)
def test_the_error_never_rises(neurons, columns, samples, groups, bits, times, method, seed):
    weight, inputs, quantized = layer(
        neurons * groups, columns, samples, groups=groups, drift=0.5, seed=seed
    )
    alphabet = Alphabet.from_weights(weight, bits)
    given_samples = Samples.of(inputs, quantized, groups)
    result = SOLVERS[method](weight, given_samples, alphabet)
    for _ in range(times):
        swept = sweeps.refine(result, weight, given_samples, 1)
        assert swept.error <= result.error * (1 + 1e-9) + 1e-12
        result = swept


@pytest.mark.parametrize("samples", [30, 200])
def test_several_sweeps_are_one_after_the_other(samples):
    weight, inputs, quantized = layer(70, 100, samples, drift=0.3)
    given_samples = Samples.of(inputs, quantized)
    start = gpfq.solve(weight, given_samples, Alphabet.from_weights(weight, 3), ridge=1.0)
    one = start
    for _ in range(3):
        one = sweeps.refine(one, weight, given_samples, 1, ridge=0.1)
    assert torch.equal(sweeps.refine(start, weight, given_samples, 3, ridge=0.1).codes, one.codes)


@pytest.mark.parametrize("samples", [40, 300])
def test_float32_blocks_and_threads_hardly_matter(samples):
    weight, inputs, quantized = layer(64, 130, samples, drift=0.3, dtype=torch.float32)
    alphabet = Alphabet.from_weights(weight, 3)
    given_samples = Samples.of(inputs, quantized)
    start = gpfq.solve(weight, given_samples, alphabet, ridge=1.0)
    expected = sweeps.refine(start, weight, given_samples, 2, ridge=1.0)
    for options in ({"block": 7}, {"block": 1000}, {"threads": 2}):
        result = sweeps.refine(start, weight, given_samples, 2, ridge=1.0, **options)
        assert (result.codes != expected.codes).double().mean() < 2e-3
        assert result.error == pytest.approx(expected.error, rel=1e-3)


def test_steps_along_a_row_zero_points_and_shifts():
    weight, inputs, quantized = layer(8, 96, 200, drift=0.3)
    steps = torch.rand(8, 3, generator=torch.Generator().manual_seed(0)).double() * 0.02 + 0.02
    whole = weight.new_full((8, 1), 0.03)
    grids = [
        Uniform(steps, -3, 3, 3, "symmetric", columns=32),
        Uniform(whole, 0, 7, 3, "asymmetric", zero=torch.full((8, 1), 3)),
        Uniform(whole, -1, 0, 1, "binary", shift=0.5),
    ]
    samples = Samples.of(inputs, quantized)
    for grid in grids:
        start = rtn.solve(weight, samples, grid)
        result = sweeps.refine(start, weight, samples, 3)
        before, after = inputs @ weight.T, quantized @ grid.values(result.codes).T
        assert result.error == pytest.approx(((before - after).norm() / before.norm()).item())
        assert result.error < start.error


def test_what_it_refuses():
    weight, inputs, quantized = layer(4, 10, 20)
    samples = Samples.of(inputs, quantized)
    result = rtn.solve(weight, samples, Alphabet.from_weights(weight, 3))
    assert sweeps.refine(result, weight, samples, 0) is result
    with pytest.raises(ConfigError, match="ridge is -1"):
        sweeps.refine(result, weight, samples, 1, ridge=-1)
    gap = replace(result, grid=result.grid.with_gap(1.5))
    with pytest.raises(ConfigError, match="equispaced"):
        sweeps.refine(gap, weight, samples, 1)
