"""GPTQ by one Cholesky factor against the updates of the inverse Hessian that define it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from laq.ptq import gptq, rtn
from laq.ptq.layer import Samples
from laq.quantizers.rounding import Rounding
from laq.quantizers.uniform import Alphabet
from laq.utils.errors import DataError


def optimal_brain_quantizer(
    weight: Tensor, x: Tensor, alphabet: Alphabet, damping: float = 0.01, mean: float | None = None
) -> np.ndarray:
    """Codes (N, d) of one group by Frantar et al., section 3, in float64.

    A column is rounded, the columns left make up for it, and the column leaves the inverse
    Hessian by one step of Gaussian elimination. mean: unit of the damping, of x where None.
    """
    w, x = weight.double().numpy().copy(), x.double().numpy()
    steps = alphabet.step.double().expand(len(w), 1).numpy()[:, 0]
    hessian = x.T @ x
    norms = hessian.diagonal().copy()
    ridge = norms * 0 + damping * (norms.mean() if mean is None else mean)
    if damping == 0:
        ridge[norms == 0] = 1
        w[:, norms == 0] = 0
    inverse = np.linalg.inv(hessian + np.diag(ridge))
    codes = np.zeros(w.shape)
    for t in range(w.shape[1]):
        codes[:, t] = np.clip(np.rint(w[:, t] / steps), -alphabet.largest, alphabet.largest)
        error = w[:, t] - codes[:, t] * steps
        w -= np.outer(error, inverse[t]) / inverse[t, t]
        inverse -= np.outer(inverse[:, t], inverse[t]) / inverse[t, t]
        inverse[t, t] = 1.0  # its row and column are 0 and must not be divided by
    return codes


def grouped_quantizer(
    weight: Tensor, x: Tensor, alphabet: Alphabet, groups: int, damping: float = 0.01
) -> np.ndarray:
    """``optimal_brain_quantizer`` on each group alone."""
    steps = alphabet.step.expand(len(weight), 1).chunk(groups)
    mean = x.double().square().sum(0).mean().item()
    parts = zip(weight.chunk(groups), x.chunk(groups, 1), steps, strict=True)
    alphabets = [
        optimal_brain_quantizer(
            rows, inputs, Alphabet.of(step, alphabet.bits, alphabet.scheme), damping, mean
        )
        for rows, inputs, step in parts
    ]
    return np.concatenate(alphabets)


def layer(
    neurons: int,
    columns: int,
    samples: int,
    *,
    groups: int = 1,
    drift: float = 0.1,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
) -> tuple[Tensor, Tensor, Tensor]:
    """Weights and two versions of correlated, rectified inputs with one that never fires."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    width = groups * columns
    inputs = (normal(samples, width) + normal(samples, 1)).relu()
    quantized = (inputs + drift * normal(samples, width)).relu()
    if width > 2:
        quantized[:, width // 2] = 0
    return 0.05 * normal(neurons, columns).to(dtype), inputs.to(dtype), quantized.to(dtype)


@pytest.mark.parametrize(
    ("neurons", "columns", "samples", "groups"),
    [
        (5, 150, 20, 1),  # fewer samples than inputs, a ragged last block
        (33, 128, 40, 1),  # whole blocks, one neuron beyond a tile
        (7, 20, 90, 1),  # more samples than inputs, less than a block
        (9, 1, 30, 1),
        (12, 70, 50, 3),  # grouped
        (16, 9, 40, 16),  # depthwise
    ],
)
@pytest.mark.parametrize("per_channel", [False, True])
def test_float64_gives_the_codes_of_the_definition(neurons, columns, samples, groups, per_channel):
    weight, inputs, quantized = layer(neurons, columns, samples, groups=groups)
    alphabet = Alphabet.from_weights(weight, 4, "packed", per_channel=per_channel)
    result = gptq.solve(weight, Samples.of(inputs, quantized, groups), alphabet)
    expected = grouped_quantizer(weight, quantized, alphabet, groups)
    np.testing.assert_array_equal(result.codes.numpy(), expected)


@pytest.mark.parametrize(("bits", "damping"), [(2, 0.1), (3, 1e-3), (8, 0.01)])
def test_bits_and_damping_give_the_codes_of_the_definition(bits, damping):
    weight, inputs, quantized = layer(20, 100, 60)
    alphabet = Alphabet.from_weights(weight, bits)
    samples = Samples.of(inputs, quantized)
    result = gptq.solve(weight, samples, alphabet, damping=damping)
    expected = optimal_brain_quantizer(weight, quantized, alphabet, damping)
    np.testing.assert_array_equal(result.codes.numpy(), expected)


def test_enough_samples_need_no_damping():
    weight, inputs, quantized = layer(20, 40, 200)
    alphabet = Alphabet.from_weights(weight, 3)
    result = gptq.solve(weight, Samples.of(inputs, quantized), alphabet, damping=0.0)
    expected = optimal_brain_quantizer(weight, quantized, alphabet, 0.0)
    np.testing.assert_array_equal(result.codes.numpy(), expected)


@settings(deadline=None, max_examples=40)
@given(
    neurons=st.integers(1, 40),
    columns=st.integers(1, 140),
    samples=st.integers(1, 40),
    groups=st.integers(1, 3),
    bits=st.integers(2, 8),
    seed=st.integers(0, 2**16),
)
def test_any_sizes_give_the_codes_and_the_error_of_the_definition(
    neurons, columns, samples, groups, bits, seed
):
    weight, inputs, quantized = layer(
        neurons * groups, columns, samples, groups=groups, drift=0.5, seed=seed
    )
    inputs[0] = 1.0
    assume(all(part.any() for part in quantized.chunk(groups, 1)))  # the definition inverts them
    alphabet = Alphabet.from_weights(weight, bits)
    result = gptq.solve(weight, Samples.of(inputs, quantized, groups), alphabet)
    expected = grouped_quantizer(weight, quantized, alphabet, groups)
    np.testing.assert_array_equal(result.codes.numpy(), expected)

    parts = zip(
        weight.chunk(groups),
        (alphabet.step * torch.from_numpy(expected)).chunk(groups),
        inputs.chunk(groups, 1),
        quantized.chunk(groups, 1),
        strict=True,
    )
    outputs = [(x @ w.T, xq @ q.T) for w, q, x, xq in parts]
    before, after = (torch.cat(side, 1) for side in zip(*outputs, strict=True))
    assert result.error == pytest.approx(((before - after).norm() / before.norm()).item())
    assert result.reference == pytest.approx(before.norm().item())
    assert result.silent == (quantized == 0).all(0).sum()


@pytest.mark.parametrize(("columns", "samples"), [(600, 48), (200, 400)])
def test_float32_stays_on_the_float64_path(columns, samples):
    weight, inputs, quantized = layer(64, columns, samples, dtype=torch.float32)
    alphabet = Alphabet.from_weights(weight, 4)
    result = gptq.solve(weight, Samples.of(inputs, quantized), alphabet)
    expected = optimal_brain_quantizer(weight, quantized, alphabet)
    assert result.weight.dtype == torch.float32
    assert (result.codes.numpy() != expected).mean() <= 1e-3


def test_neither_chunks_nor_blocks_nor_threads_matter():
    weight, inputs, quantized = layer(130, 150, 60)
    alphabet = Alphabet.from_weights(weight, 3)
    whole = Samples.of(inputs, quantized)
    expected = gptq.solve(weight, whole, alphabet)
    chunked = Samples(60, 150, lambda: zip(inputs.split(7), quantized.split(7), strict=True))
    others = [
        gptq.solve(weight, chunked, alphabet),
        gptq.solve(weight, whole, alphabet, block=1),
        gptq.solve(weight, whole, alphabet, block=1000),
        gptq.solve(weight, whole, alphabet, threads=2),
    ]
    for result in others:
        assert torch.equal(result.codes, expected.codes)
        assert result.error == pytest.approx(expected.error)


def test_only_the_error_depends_on_the_float_inputs():
    weight, inputs, quantized = layer(8, 40, 30)
    alphabet = Alphabet.from_weights(weight, 3)
    same = gptq.solve(weight, Samples.of(quantized, quantized), alphabet)
    other = gptq.solve(weight, Samples.of(inputs, quantized), alphabet)
    assert torch.equal(same.codes, other.codes)
    assert same.error < other.error


def test_the_scale_of_the_inputs_does_not_matter():
    weight, inputs, quantized = layer(8, 60, 30)
    alphabet = Alphabet.from_weights(weight, 3)
    expected = gptq.solve(weight, Samples.of(inputs, quantized), alphabet)
    scaled = gptq.solve(weight, Samples.of(inputs / 2**20, quantized / 2**20), alphabet)
    assert torch.equal(scaled.codes, expected.codes)


def test_the_output_error_is_below_that_of_nearest_rounding():
    ratios = []
    for seed in range(10):
        weight, inputs, _ = layer(32, 128, 256, seed=seed)
        alphabet = Alphabet.from_weights(weight, 3)
        samples = Samples.of(inputs, inputs)
        nearest = rtn.solve(weight, samples, alphabet)
        ratios.append(gptq.solve(weight, samples, alphabet).error / nearest.error)
    assert np.mean(ratios) < 0.6


def test_independent_inputs_leave_nothing_to_make_up_for():
    weight = layer(6, 50, 1)[0]
    inputs = torch.eye(50, dtype=torch.float64)
    alphabet = Alphabet.from_weights(weight, 3)
    result = gptq.solve(weight, Samples.of(inputs, inputs), alphabet)
    assert torch.equal(result.codes, alphabet.nearest(weight))


def test_stochastic_rounding_takes_the_levels_on_both_sides():
    weight, inputs, quantized = layer(64, 1, 30)
    alphabet = Alphabet.from_weights(weight, 4, scale=4.0)  # nothing is clipped
    rounding = Rounding("stochastic", generator=torch.Generator().manual_seed(0))
    result = gptq.solve(weight, Samples.of(inputs, quantized), alphabet, rounding=rounding)
    distance = (weight / alphabet.step - result.codes).abs()
    assert distance.max() < 1
    assert distance.max() > 0.5


def test_silent_inputs_are_rounded_and_become_zeros_without_damping():
    weight, inputs, quantized = layer(3, 70, 200)
    alphabet = Alphabet.from_weights(weight, 4)
    nearest = alphabet.nearest(weight)
    quantized[:, 5:9] = 0
    damped = gptq.solve(weight, Samples.of(inputs, quantized), alphabet)
    assert torch.equal(damped.codes[:, 5:9], nearest[:, 5:9])
    plain = gptq.solve(weight, Samples.of(inputs, quantized), alphabet, damping=0.0)
    assert not plain.codes[:, 5:9].any()
    result = gptq.solve(weight, Samples.of(inputs, torch.zeros_like(inputs)), alphabet)
    assert result.silent == 70
    assert torch.equal(result.codes, nearest)
    assert result.error == pytest.approx(1.0)


def test_nothing_given_is_changed():
    tensors = layer(6, 100, 25)
    copies = [tensor.clone() for tensor in tensors]
    weight, inputs, quantized = tensors
    gptq.solve(weight, Samples.of(inputs, quantized), Alphabet.from_weights(weight, 4))
    assert all(map(torch.equal, tensors, copies))


def test_a_singular_hessian_asks_for_damping():
    weight, inputs, _ = layer(3, 10, 4)
    inputs[:, 1] = inputs[:, 0]
    with pytest.raises(DataError, match="not positive definite with damping 0: raise damping"):
        gptq.solve(
            weight, Samples.of(inputs, inputs), Alphabet.from_weights(weight, 4), damping=0.0
        )


@pytest.mark.parametrize("side", ["float", "quantized"])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_inputs_that_are_not_finite_are_named(side, value):
    weight, inputs, quantized = layer(3, 10, 5)
    (inputs if side == "float" else quantized)[2, 3] = value
    with pytest.raises(DataError, match=f"inputs in the {side} network hold NaN or infinite"):
        gptq.solve(weight, Samples.of(inputs, quantized), Alphabet.from_weights(weight, 4))
