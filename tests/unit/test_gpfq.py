"""The block solver against the recursion written straight from its definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from laq import gpfq
from laq.alphabets import Alphabet
from laq.errors import DataError
from laq.gpfq import quantize_layer


def recursion(
    weight: Tensor, inputs: Tensor, quantized_inputs: Tensor, alphabet: Alphabet
) -> tuple[np.ndarray, float]:
    """Lybrand & Saab's definition, one neuron and one column at a time, in float64.

    Returns codes (N, d) and the relative output error.
    """
    w = weight.double().numpy()
    x, y = inputs.double().numpy(), quantized_inputs.double().numpy()
    steps = alphabet.step.double().expand(len(w), 1).numpy()
    codes = np.zeros(w.shape)
    residual = np.zeros((len(w), len(x)))
    for n, (row, step) in enumerate(zip(w, steps[:, 0], strict=True)):
        u = residual[n]
        for t in range(len(row)):
            norm = y[:, t] @ y[:, t]
            if norm > 0:
                a = y[:, t] @ (u + row[t] * x[:, t]) / norm
                codes[n, t] = np.clip(np.rint(a / step), -alphabet.largest, alphabet.largest)
            u += row[t] * x[:, t] - codes[n, t] * step * y[:, t]
    return codes, float(np.linalg.norm(residual) / np.linalg.norm(x @ w.T))


def layer(
    neurons: int, columns: int, samples: int, *, drift: float = 0.1, dtype=torch.float64, seed=0
) -> tuple[Tensor, Tensor, Tensor]:
    """Weights and two versions of correlated, rectified inputs with one that never fires."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    inputs = (normal(samples, columns) + normal(samples, 1)).relu()
    quantized = (inputs + drift * normal(samples, columns)).relu() if drift else inputs.clone()
    if columns > 2:
        quantized[:, columns // 2] = 0
    weight = 0.05 * normal(neurons, columns)
    return weight.to(dtype), inputs.to(dtype), quantized.to(dtype)


@pytest.mark.parametrize("scheme", ["paper", "packed"])
@pytest.mark.parametrize("drift", [0.0, 0.1, 1.0])
@pytest.mark.parametrize(
    ("neurons", "columns", "samples"),
    [
        (5, 150, 20),  # fewer samples than inputs, a ragged last block
        (33, 128, 40),  # whole blocks, one neuron beyond a tile
        (7, 20, 90),  # more samples than inputs, less than a block
        (1, 70, 10),
        (9, 1, 30),
        (1, 1, 1),
    ],
)
def test_float64_gives_the_codes_of_the_definition(neurons, columns, samples, drift, scheme):
    tensors = layer(neurons, columns, samples, drift=drift)
    alphabet = Alphabet.from_weights(tensors[0], 4, scheme)
    result = quantize_layer(*tensors, alphabet)
    codes, error = recursion(*tensors, alphabet)
    assert result.codes.dtype == torch.int64
    assert result.weight.dtype == torch.float64
    np.testing.assert_array_equal(result.codes.numpy(), codes)
    assert result.error == pytest.approx(error, rel=1e-9)


@pytest.mark.parametrize(("bits", "quantile"), [(2, 0.9), (3, 1.0), (8, 1.0)])
def test_other_alphabets_give_the_codes_of_the_definition(bits, quantile):
    tensors = layer(40, 100, 30)
    alphabet = Alphabet.from_weights(tensors[0], bits, quantile=quantile, per_channel=True)
    result = quantize_layer(*tensors, alphabet)
    np.testing.assert_array_equal(result.codes.numpy(), recursion(*tensors, alphabet)[0])


@pytest.mark.parametrize(("columns", "samples"), [(600, 48), (200, 400)])
@pytest.mark.parametrize("drift", [0.0, 0.1])
def test_float32_stays_on_the_float64_path(columns, samples, drift):
    tensors = layer(64, columns, samples, drift=drift, dtype=torch.float32)
    alphabet = Alphabet.from_weights(tensors[0], 4)
    result = quantize_layer(*tensors, alphabet)
    codes, error = recursion(*tensors, alphabet)
    assert result.weight.dtype == torch.float32
    assert (result.codes.numpy() != codes).mean() <= 1e-3
    assert result.error == pytest.approx(error, rel=1e-3)


@pytest.mark.parametrize("block", [1, 5, 64, 1000])
def test_the_block_size_does_not_matter(block):
    tensors = layer(6, 130, 25)
    alphabet = Alphabet.from_weights(tensors[0], 3)
    expected = quantize_layer(*tensors, alphabet)
    result = quantize_layer(*tensors, alphabet, block=block)
    assert torch.equal(result.codes, expected.codes)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_codes_do_not_depend_on_the_number_of_threads(dtype):
    tensors = layer(200, 150, 30, dtype=dtype)
    alphabet = Alphabet.from_weights(tensors[0], 4)
    torch_threads = torch.get_num_threads()
    one, two = (quantize_layer(*tensors, alphabet, threads=threads) for threads in (1, 2))
    assert torch.equal(one.codes, two.codes)
    assert one.error == two.error
    assert torch.get_num_threads() == torch_threads


def test_memory_layout_does_not_matter_and_nothing_given_is_changed():
    tensors = layer(6, 100, 25)
    alphabet = Alphabet.from_weights(tensors[0], 4)
    copies = [tensor.clone() for tensor in tensors]
    expected = quantize_layer(*tensors, alphabet)
    strided = [tensor.T.contiguous().T for tensor in tensors]
    assert torch.equal(quantize_layer(*strided, alphabet).codes, expected.codes)
    assert all(map(torch.equal, tensors, copies))


@settings(deadline=None, max_examples=40)
@given(
    neurons=st.integers(1, 40),
    columns=st.integers(1, 140),
    samples=st.integers(1, 40),
    bits=st.integers(2, 8),
    scheme=st.sampled_from(["paper", "packed"]),
    per_channel=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    seed=st.integers(0, 2**16),
)
def test_what_is_reported_agrees(neurons, columns, samples, bits, scheme, per_channel, dtype, seed):
    weight, inputs, quantized = layer(neurons, columns, samples, dtype=dtype, seed=seed)
    inputs[0, 0] = 1.0  # at least one input fires
    alphabet = Alphabet.from_weights(weight, bits, scheme, per_channel=per_channel)
    result = quantize_layer(weight, inputs, quantized, alphabet)

    assert result.codes.shape == weight.shape
    assert result.codes.abs().max() <= alphabet.largest
    assert torch.equal(result.weight, result.codes.to(dtype) * alphabet.step)
    dead = (quantized == 0).all(dim=0)
    assert result.silent == dead.sum()
    assert not result.codes[:, dead].any()
    reference = inputs.double() @ weight.double().T
    difference = reference - quantized.double() @ result.weight.double().T
    expected = difference.norm() / reference.norm()
    assert result.error == pytest.approx(expected.item(), rel=1e-3, abs=1e-5)


def test_the_output_error_is_well_below_that_of_nearest_rounding():
    ratios = []
    for seed in range(10):
        weight, inputs, quantized = layer(32, 256, 64, drift=0.0, seed=seed)
        alphabet = Alphabet.from_weights(weight, 3)
        nearest = alphabet.values(alphabet.codes(weight))
        reference = inputs @ weight.T
        error = (reference - quantized @ nearest.T).norm() / reference.norm()
        ratios.append(quantize_layer(weight, inputs, quantized, alphabet).error / error.item())
    assert np.mean(ratios) < 0.6


@pytest.mark.parametrize("scheme", ["paper", "packed"])
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-6), (torch.float64, 1e-9)])
def test_32_bits_reproduce_the_layer(scheme, dtype, bound):
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(20, 150, generator=generator, dtype=dtype)
    inputs = torch.randn(40, 150, generator=generator, dtype=dtype)
    alphabet = Alphabet.from_weights(weight, 32, scheme, scale=4.0)  # nothing is clipped
    result = quantize_layer(weight, inputs, inputs, alphabet)
    assert result.error < bound
    torch.testing.assert_close(result.weight, weight)


def test_32_bits_clip_without_overflow():
    weight, inputs, quantized = layer(4, 80, 20, dtype=torch.float32)
    alphabet = Alphabet.from_weights(weight, 32, "packed", scale=0.1)
    result = quantize_layer(weight, inputs, quantized, alphabet)
    assert alphabet.largest - 128 < result.codes.abs().max() <= alphabet.largest


def test_inputs_that_all_stay_silent_give_zeros_and_a_full_error():
    weight, inputs, _ = layer(3, 70, 10)
    result = quantize_layer(
        weight, inputs, torch.zeros_like(inputs), Alphabet.from_weights(weight, 4)
    )
    assert result.silent == 70
    assert not result.weight.any()
    assert result.error == pytest.approx(1.0)


def test_a_layer_without_output_has_no_error():
    weight, inputs, quantized = layer(3, 70, 10)
    alphabet = Alphabet.from_weights(weight, 4)
    assert quantize_layer(weight, torch.zeros_like(inputs), quantized, alphabet).error == 0.0


def broken(name: str) -> tuple[Tensor, Tensor, Tensor]:
    weight, inputs, quantized = layer(3, 10, 5)
    return {
        "columns": (weight[:, 1:], inputs, quantized),
        "samples": (weight, inputs, quantized[1:]),
        "dimensions": (weight.view(3, 5, 2), inputs, quantized),
        "empty": (weight, inputs[:0], quantized[:0]),
        "dtypes": (weight, inputs.float(), quantized),
        "half": (weight.half(), inputs.half(), quantized.half()),
        "weight nan": (weight.index_fill(1, torch.tensor(2), torch.nan), inputs, quantized),
        "inputs nan": (weight, inputs.index_fill(1, torch.tensor(2), torch.nan), quantized),
        "quantized inf": (weight, inputs, quantized.index_fill(1, torch.tensor(2), torch.inf)),
    }[name]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("columns", r"must agree; got weight \(3, 9\)"),
        ("samples", r"must agree; .* quantized inputs \(4, 10\)"),
        ("dimensions", r"weight \(3, 5, 2\)"),
        ("empty", "none empty"),
        ("dtypes", "all float64; .* inputs .* torch.float32"),
        ("half", "torch.float16"),
        ("weight nan", r"^weight \(3, 10\) holds NaN"),
        ("inputs nan", r"^inputs \(5, 10\) holds NaN"),
        ("quantized inf", r"^quantized inputs \(5, 10\) holds NaN or infinite"),
    ],
)
def test_a_layer_that_cannot_be_quantized_says_why(name, message):
    tensors = broken(name)
    alphabet = Alphabet(torch.tensor(0.1, dtype=tensors[0].dtype), 4, "paper")
    with pytest.raises(DataError, match=message):
        quantize_layer(*tensors, alphabet)


def test_an_alphabet_of_other_neurons_is_refused():
    tensors = layer(3, 10, 5)
    alphabet = Alphabet(torch.ones(4, 1, dtype=torch.float64), 4, "paper")
    with pytest.raises(DataError, match=r"alphabet step \(4, 1\)"):
        quantize_layer(*tensors, alphabet)


def test_inputs_whose_squares_overflow_are_refused():
    weight, inputs, quantized = layer(3, 10, 5, dtype=torch.float32)
    with pytest.raises(DataError, match=r"overflow torch.float32"):
        quantize_layer(weight, inputs * 1e25, quantized * 1e25, Alphabet.from_weights(weight, 4))


def test_the_solver_compiles_where_no_cache_can_be_kept():
    namespace: dict = {}
    exec("def twice(x): return 2 * x", namespace)  # a function of no file has no place for a cache
    assert gpfq._compiled()(namespace["twice"])(21) == 42
