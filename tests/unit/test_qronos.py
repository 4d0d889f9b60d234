"""Qronos by one Cholesky factor against least squares solved anew at each step."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from laq.ptq import gpfq, gptq, qronos
from laq.ptq.layer import Samples
from laq.quantizers.grids import Uniform
from laq.quantizers.uniform import Alphabet
from laq.utils.errors import ConfigError, DataError
from tests.unit.test_gptq import layer


def solved_anew(
    weight: Tensor, x: Tensor, xq: Tensor, step: Tensor, largest: int, damping: float = 0.0
) -> np.ndarray:
    """Codes (N, d) by arXiv 2505.11695, equations 3 and 4, in float64.

    damping: λ itself, by rows √λ I below the inputs of both networks.
    """
    w = weight.double().numpy()
    steps = step.double().expand(len(w), 1).numpy()
    below = np.sqrt(damping) * np.eye(w.shape[1])
    x, xq = (np.concatenate([matrix.double().numpy(), below]) for matrix in (x, xq))
    left, v = x @ w.T, w.T.copy()  # what the columns not yet rounded have to give
    codes = np.zeros(w.shape)
    for t in range(w.shape[1]):
        rest = left - xq[:, t + 1 :] @ v[t + 1 :]
        best = xq[:, t] @ rest / (xq[:, t] @ xq[:, t])
        codes[:, t] = np.clip(np.rint(best / steps[:, 0]), -largest, largest)
        left = left - np.outer(xq[:, t], codes[:, t] * steps[:, 0])
        v[t + 1 :] = np.linalg.lstsq(xq[:, t + 1 :], left, rcond=None)[0]
    return codes


def assert_as_solved_anew(weight, inputs, quantized, alphabet, groups=1, damping=0.0):
    result = qronos.quantize_layer(
        weight, inputs, quantized, alphabet, groups=groups, damping=damping
    )
    mean = quantized.double().square().sum(0).mean().item()
    parts = zip(
        weight.chunk(groups),
        inputs.chunk(groups, 1),
        quantized.chunk(groups, 1),
        alphabet.step.expand(len(weight), 1).chunk(groups),
        strict=True,
    )
    codes = [solved_anew(*part, alphabet.largest, damping * mean) for part in parts]
    np.testing.assert_array_equal(result.codes.numpy(), np.concatenate(codes))
    return result


@pytest.mark.parametrize("bits", [2, 3, 4])
@pytest.mark.parametrize("per_channel", [False, True])
def test_float64_gives_the_codes_of_the_definition(bits, per_channel):
    weight, inputs, quantized = layer(9, 60, 100, drift=0.3)
    quantized[:, 30] = inputs[:, 3]  # the definition divides by the norm of every input
    alphabet = Alphabet.from_weights(weight, bits, per_channel=per_channel)
    assert_as_solved_anew(weight, inputs, quantized, alphabet)


@pytest.mark.parametrize(
    ("neurons", "columns", "samples", "groups"),
    [(5, 150, 20, 1), (33, 128, 40, 1), (12, 70, 50, 3), (16, 9, 40, 16), (7, 1, 30, 1)],
)
@pytest.mark.parametrize("damping", [0.01, 1.0])
def test_damping_is_rows_below_the_inputs(neurons, columns, samples, groups, damping):
    weight, inputs, quantized = layer(neurons, columns, samples, groups=groups, drift=0.3)
    alphabet = Alphabet.from_weights(weight, 3)
    assert_as_solved_anew(weight, inputs, quantized, alphabet, groups, damping)


@settings(deadline=None, max_examples=30)
@given(
    neurons=st.integers(1, 20),
    columns=st.integers(1, 60),
    samples=st.integers(1, 40),
    bits=st.integers(2, 6),
    seed=st.integers(0, 2**16),
)
def test_any_sizes_give_the_codes_and_the_error_of_the_definition(
    neurons, columns, samples, bits, seed
):
    weight, inputs, quantized = layer(neurons, columns, samples, drift=0.5, seed=seed)
    inputs[0] = quantized[0] = 1.0
    alphabet = Alphabet.from_weights(weight, bits)
    result = assert_as_solved_anew(weight, inputs, quantized, alphabet, damping=0.05)
    before, after = inputs @ weight.T, quantized @ result.weight.T
    assert result.error == pytest.approx(((before - after).norm() / before.norm()).item())


def test_equal_inputs_give_the_codes_of_gptq():
    weight, _, quantized = layer(20, 60, 100)
    quantized[:, 30] = quantized[:, 3].flip(0)
    alphabet = Alphabet.from_weights(weight, 3)
    samples = Samples.of(quantized, quantized)
    expected = gptq.solve(weight, samples, alphabet, damping=0.01).codes
    assert torch.equal(qronos.solve(weight, samples, alphabet, damping=0.01).codes, expected)


def test_it_corrects_the_error_of_the_layers_before():
    """With enough samples the error is below GPFQ's and GPTQ's."""
    weight, inputs, quantized = layer(64, 100, 1000, drift=0.4)
    alphabet = Alphabet.from_weights(weight, 3)
    samples = Samples.of(inputs, quantized)
    error = qronos.solve(weight, samples, alphabet).error
    assert error < gpfq.solve(weight, samples, alphabet).error
    assert error < gptq.solve(weight, samples, alphabet).error


@pytest.mark.parametrize(("columns", "samples"), [(600, 48), (200, 400)])
def test_float32_stays_on_the_float64_path(columns, samples):
    weight, inputs, quantized = layer(64, columns, samples, dtype=torch.float32)
    alphabet = Alphabet.from_weights(weight, 4)
    result = qronos.quantize_layer(weight, inputs, quantized, alphabet, damping=0.01)
    double = Alphabet.of(alphabet.step.double(), alphabet.bits, alphabet.scheme)
    expected = qronos.quantize_layer(
        weight.double(), inputs.double(), quantized.double(), double, damping=0.01
    )
    assert result.weight.dtype == torch.float32
    assert (result.codes != expected.codes).double().mean() <= 1e-3


def test_neither_chunks_nor_blocks_nor_threads_matter():
    weight, inputs, quantized = layer(130, 150, 60)
    alphabet = Alphabet.from_weights(weight, 3)
    whole = Samples.of(inputs, quantized)
    chunked = Samples(60, 150, lambda: zip(inputs.split(7), quantized.split(7), strict=True))
    expected = qronos.solve(weight, whole, alphabet, damping=0.01)
    others = [
        qronos.solve(weight, chunked, alphabet, damping=0.01),
        qronos.solve(weight, whole, alphabet, damping=0.01, block=1),
        qronos.solve(weight, whole, alphabet, damping=0.01, block=1000),
        qronos.solve(weight, whole, alphabet, damping=0.01, threads=2),
    ]
    for result in others:
        assert torch.equal(result.codes, expected.codes)


def test_steps_along_a_row_and_zero_points():
    """A grid of several steps a row, and one of zero points, give the error of their levels."""
    weight, inputs, quantized = layer(8, 96, 200, drift=0.3)
    grids = {
        "groups": Uniform(
            torch.rand(8, 3, generator=torch.Generator().manual_seed(0)).double() * 0.02 + 0.02,
            -3, 3, 3, "symmetric", columns=32,
        ),
        "zero points": Uniform(
            weight.new_full((8, 1), 0.03), 0, 7, 3, "asymmetric", zero=torch.full((8, 1), 3)
        ),
    }  # fmt: skip
    for grid in grids.values():
        result = qronos.quantize_layer(weight, inputs, quantized, grid, damping=0.01)
        before, after = inputs @ weight.T, quantized @ grid.values(result.codes).T
        assert result.error == pytest.approx(((before - after).norm() / before.norm()).item())
        nearest = grid.values(grid.nearest(weight))
        assert result.error < ((before - quantized @ nearest.T).norm() / before.norm()).item()


def test_few_samples_need_no_damping():
    """H is singular then, and is damped as in the paper."""
    weight, inputs, quantized = layer(20, 100, 30, drift=0.3)
    alphabet = Alphabet.from_weights(weight, 3)
    result = qronos.quantize_layer(weight, inputs, quantized, alphabet)
    hessian = quantized.T @ quantized
    damping = qronos.SINGULAR * torch.linalg.eigvalsh(hessian)[-1] / hessian.diagonal().mean()
    expected = qronos.quantize_layer(weight, inputs, quantized, alphabet, damping=float(damping))
    assert (result.codes != expected.codes).double().mean() < 0.01


def test_what_it_refuses():
    weight, inputs, quantized = layer(4, 10, 20)
    alphabet = Alphabet.from_weights(weight, 3)
    with pytest.raises(ConfigError, match="damping is -1"):
        qronos.quantize_layer(weight, inputs, quantized, alphabet, damping=-1)
    with pytest.raises(DataError, match="must be \\(m, 1 x d\\)"):
        qronos.quantize_layer(weight, inputs, quantized[:5], alphabet)
    with pytest.raises(DataError, match="one dtype"):
        qronos.quantize_layer(weight, inputs.float(), quantized, alphabet)
    with pytest.raises(DataError, match="NaN or infinite"):
        qronos.quantize_layer(weight, inputs, quantized / 0, alphabet)
    inputs[:, 1] = quantized[:, 1] = quantized[:, 2]
    with pytest.raises(DataError, match="raise damping"):
        qronos.quantize_layer(weight, inputs, quantized, alphabet)
