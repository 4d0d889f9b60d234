"""Alphabets against hand-computed numbers and exhaustive search over their levels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from laq.quantizers.uniform import Alphabet
from laq.utils.errors import DataError

BOTH = pytest.mark.parametrize("scheme", ["paper", "packed"])


def unit(bits: int, scheme: str, dtype: torch.dtype = torch.float64) -> Alphabet:
    return Alphabet.of(torch.ones((), dtype=dtype), bits, scheme)


@pytest.mark.parametrize(
    ("bits", "scheme", "largest", "levels", "width"),
    [
        (2, "paper", 2, 5, 3),
        (2, "packed", 1, 3, 2),
        (4, "paper", 8, 17, 5),
        (4, "packed", 7, 15, 4),
        (8, "packed", 127, 255, 8),
        (32, "paper", 2**31, 2**32 + 1, 33),
        (32, "packed", 2**31 - 1, 2**32 - 1, 32),
    ],
)
def test_counts_levels_and_the_bits_they_take(bits, scheme, largest, levels, width):
    alphabet = unit(bits, scheme)
    assert (alphabet.largest, alphabet.levels, alphabet.width) == (largest, levels, width)


@BOTH
def test_step_follows_the_mean_of_the_row_maxima(scheme):
    weight = torch.tensor([[1.0, -3.0, 0.0], [2.0, 5.0, -4.0]])
    alphabet = Alphabet.from_weights(weight, 4, scheme, scale=1.16)
    assert alphabet.step.shape == ()
    assert alphabet.step.dtype == torch.float32
    assert alphabet.step.item() == pytest.approx(1.16 * 4.0 / 8)


def test_step_follows_a_quantile_as_numpy_counts_it():
    weight = torch.randn(7, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    alphabet = Alphabet.from_weights(weight, 3, scale=1.5, quantile=0.9)
    radius = np.quantile(weight.abs().numpy(), 0.9, axis=1).mean()
    assert alphabet.step.dtype == torch.float64
    assert alphabet.step.item() == pytest.approx(1.5 * radius / 4, rel=1e-12)


def test_per_channel_gives_each_row_its_own_step_and_dead_rows_the_mean():
    weight = torch.tensor([[1.0, -2.0], [0.0, 0.0], [4.0, 3.0]])
    alphabet = Alphabet.from_weights(weight, 2, scale=1.0, per_channel=True)
    torch.testing.assert_close(alphabet.step, torch.tensor([[1.0], [1.0], [2.0]]))
    assert alphabet.nearest(weight).tolist() == [[1, -2], [0, 0], [2, 2]]


@BOTH
@given(
    bits=st.integers(2, 6),
    step=st.floats(1e-3, 1e3),
    value=st.floats(-1e5, 1e5, allow_subnormal=False),
)
def test_codes_are_the_nearest_levels(scheme, bits, step, value):
    alphabet = Alphabet.of(torch.tensor(step, dtype=torch.float64), bits, scheme)
    code = alphabet.nearest(torch.tensor([[value]], dtype=torch.float64)).item()
    distances = {k: abs(value - k * step) for k in range(-alphabet.largest, alphabet.largest + 1)}
    assert code in distances
    assert distances[code] <= min(distances.values()) + 1e-9 * max(1.0, abs(value))


def test_halfway_values_go_to_the_even_code():
    halfway = torch.tensor([[-1.5, -0.5, 0.5, 1.5, 2.5]], dtype=torch.float64)
    assert unit(4, "paper").nearest(halfway).tolist() == [[-2, 0, 0, 2, 2]]


@BOTH
@given(data=st.data(), bits=st.integers(2, 32))
def test_every_code_survives_the_way_to_its_level_and_back(scheme, data, bits):
    step = torch.tensor(0.0173, dtype=torch.float64)
    alphabet = Alphabet.of(step, bits, scheme)
    code = data.draw(st.integers(-alphabet.largest, alphabet.largest))
    codes = torch.tensor([[code]])
    values = alphabet.values(codes)
    assert values.dtype == torch.float64
    assert torch.equal(alphabet.nearest(values), codes)


@BOTH
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_32_bits_stop_at_the_last_level_and_do_not_overflow(scheme, dtype):
    alphabet = unit(32, scheme, dtype)
    codes = alphabet.nearest(torch.tensor([[-1e30, 1e30]], dtype=dtype))
    assert codes.dtype == (torch.int32 if alphabet.largest < 2**31 else torch.int64)
    low, high = codes[0].tolist()
    assert low == -high
    assert alphabet.largest - 128 < high <= alphabet.largest
    assert alphabet.nearest(alphabet.values(codes)).equal(codes)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (torch.tensor([[1.0, float("nan")]]), "NaN or infinite"),
        (torch.tensor([[1.0, float("inf")]]), "NaN or infinite"),
        (torch.ones(3), r"\(N, d\)"),
        (torch.ones(2, 3, dtype=torch.int64), "int64"),
    ],
)
def test_weights_that_have_no_alphabet_are_refused(weight, message, per_channel):
    with pytest.raises(DataError, match=message):
        Alphabet.from_weights(weight, 4, per_channel=per_channel)


@BOTH
@pytest.mark.parametrize("bits", [2, 3, 4])
@pytest.mark.parametrize("threshold", [0.3, 0.9])
def test_a_gap_keeps_the_last_level_and_puts_the_first_at_the_threshold(scheme, bits, threshold):
    plain = Alphabet.from_weights(torch.randn(3, 5, dtype=torch.float64), bits, scheme)
    alphabet = plain.with_gap(threshold)
    codes = torch.arange(-alphabet.largest, alphabet.largest + 1).repeat(3, 1)
    levels = alphabet.values(codes)[0] / plain.step
    assert levels[alphabet.largest] == 0
    assert levels[alphabet.largest + 1].item() == pytest.approx(threshold)
    assert torch.allclose(levels, -levels.flip(0))
    if alphabet.largest > 1:
        assert levels[-1].item() == pytest.approx(plain.largest)
        steps = levels[alphabet.largest + 1 :].diff()
        assert torch.allclose(steps, steps[:1])
    assert alphabet.largest == plain.largest + (scheme == "paper")
    assert alphabet.levels <= 2**alphabet.width
    assert alphabet.width <= bits + (scheme == "paper")
