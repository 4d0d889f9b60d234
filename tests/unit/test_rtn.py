"""Nearest rounding, and the output error that is measured with it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from laq.ptq import rtn
from laq.ptq.layer import Samples
from laq.quantizers.rounding import Rounding
from laq.quantizers.uniform import Alphabet


def layer(
    neurons: int, columns: int, samples: int, groups: int = 1, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    sizes = ((neurons, columns), (samples, groups * columns), (samples, groups * columns))
    weight, inputs, noise = (
        torch.randn(size, generator=generator, dtype=torch.float64) for size in sizes
    )
    return weight, inputs, inputs + 0.1 * noise


@settings(deadline=None, max_examples=40)
@given(
    neurons=st.integers(1, 8),
    columns=st.integers(1, 30),
    samples=st.integers(1, 20),
    groups=st.integers(1, 4),
    chunk=st.integers(1, 20),
    bits=st.integers(2, 8),
    scheme=st.sampled_from(["paper", "packed"]),
    per_channel=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    seed=st.integers(0, 2**16),
)
def test_every_weight_goes_to_its_nearest_level_and_the_error_is_that_of_the_outputs(
    neurons, columns, samples, groups, chunk, bits, scheme, per_channel, dtype, seed
):
    weight, inputs, quantized = (
        tensor.to(dtype) for tensor in layer(neurons * groups, columns, samples, groups, seed)
    )
    quantized[:, 0] = 0
    alphabet = Alphabet.from_weights(weight, bits, scheme, per_channel=per_channel)
    result = rtn.solve(
        weight,
        Samples(
            samples,
            columns,
            lambda: zip(inputs.split(chunk), quantized.split(chunk), strict=True),
            groups,
        ),
        alphabet,
    )
    levels = np.arange(-alphabet.largest, alphabet.largest + 1)
    scaled = (weight / alphabet.step).numpy()
    nearest = np.abs(scaled[..., None] - levels).min(2)
    np.testing.assert_allclose(np.abs(scaled - result.codes.numpy()), nearest, atol=1e-5)

    before, after = [], []
    for group in range(groups):
        rows = slice(group * neurons, (group + 1) * neurons)
        columns_of = slice(group * columns, (group + 1) * columns)
        before.append(inputs[:, columns_of].double() @ weight[rows].double().T)
        after.append(quantized[:, columns_of].double() @ result.weight[rows].double().T)
    reference = torch.cat(before, 1)
    error = ((reference - torch.cat(after, 1)).norm() / reference.norm()).item()
    assert result.error == pytest.approx(error, rel=1e-4)
    assert result.reference == pytest.approx(reference.norm().item(), rel=1e-4)
    assert result.silent == 1


def test_data_do_not_matter_and_silent_inputs_keep_their_weights():
    weight, inputs, quantized = layer(5, 30, 10)
    alphabet = Alphabet.from_weights(weight, 4)
    codes = rtn.solve(weight, Samples.of(inputs, quantized), alphabet).codes
    silent = rtn.solve(weight, Samples.of(inputs, torch.zeros_like(inputs)), alphabet)
    assert torch.equal(codes, alphabet.nearest(weight))
    assert torch.equal(codes, silent.codes)
    assert silent.silent == 30
    assert silent.error == pytest.approx(1.0)


def test_an_input_that_fires_in_one_chunk_is_not_silent():
    weight, inputs, _ = layer(3, 4, 6)
    inputs[3:, 1] = 0
    inputs[:, 2] = 0
    chunked = Samples(6, 4, lambda: zip(inputs.split(3), inputs.split(3), strict=True))
    assert rtn.solve(weight, chunked, Alphabet.from_weights(weight, 4)).silent == 1


def test_stochastic_rounding_is_right_on_average():
    weight = torch.full((4000, 1), 0.3, dtype=torch.float64)
    inputs = torch.ones(1, 1, dtype=torch.float64)
    alphabet = Alphabet.of(torch.ones((), dtype=torch.float64), 4, "packed")
    rounding = Rounding("stochastic", generator=torch.Generator().manual_seed(0))
    codes = rtn.solve(weight, Samples.of(inputs, inputs), alphabet, rounding=rounding).codes
    assert set(codes.flatten().tolist()) == {0, 1}
    assert codes.double().mean() == pytest.approx(0.3, abs=0.03)  # 4 standard errors


def test_a_soft_threshold_pulls_weights_to_zero():
    weight = torch.tensor([[-2.6, -0.9, 0.4, 1.2, 9.0]], dtype=torch.float64)
    inputs = torch.ones(1, 5, dtype=torch.float64)
    alphabet = Alphabet.of(torch.ones((), dtype=torch.float64), 3, "packed")
    rounding = Rounding("soft", threshold=0.5)
    result = rtn.solve(weight, Samples.of(inputs, inputs), alphabet, rounding=rounding)
    assert result.codes.tolist() == [[-2, 0, 0, 1, 3]]


def test_a_hard_threshold_takes_the_levels_of_the_gap():
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(20, 30, generator=generator, dtype=torch.float64)
    inputs = torch.ones(1, 30, dtype=torch.float64)
    plain = Alphabet.from_weights(weight, 4, "packed")
    threshold = 1.5 * plain.step
    alphabet = plain.with_gap(1.5)
    rounding = Rounding("hard")
    result = rtn.solve(weight, Samples.of(inputs, inputs), alphabet, rounding=rounding)
    levels = alphabet.values(torch.arange(1, alphabet.largest + 1)[:, None]).flatten()
    assert levels[0] == pytest.approx(threshold.item())
    nearest = levels[(weight.abs()[..., None] - levels).abs().argmin(2)] * weight.sign()
    expected = torch.where(weight.abs() > threshold, nearest, 0)
    torch.testing.assert_close(result.weight, expected)


def test_32_bits_reproduce_the_layer():
    weight, inputs, _ = layer(20, 150, 40)
    alphabet = Alphabet.from_weights(weight.float(), 32, "packed", scale=4.0)
    samples = Samples.of(inputs.float(), inputs.float())
    result = rtn.solve(weight.float(), samples, alphabet)
    assert result.error < 1e-6
    torch.testing.assert_close(result.weight, weight.float())
