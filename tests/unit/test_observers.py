"""Ranges against numpy, torch's observers and a search over every share."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.ao.quantization import observer

from laq.quantizers import observers
from laq.quantizers.observers import HOWS, SHARES

EVEN = pytest.mark.parametrize("symmetric", [True, False])


def values(blocks: int = 3, count: int = 203, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    normal = torch.randn(blocks, count, generator=generator, dtype=torch.float64)
    return normal * normal.abs() + 0.4


def rounded(x: Tensor, low: float, high: float, bits: int, symmetric: bool) -> Tensor:
    """Quantized and back, by torch's own rounding, in float64 where it offers none."""
    if symmetric:
        largest = 2 ** (bits - 1) - 1
        step = high / largest
        return (x / step).round().clamp(-largest, largest) * step
    step = (high - low) / (2**bits - 1)
    zero = round(-low / step)
    return ((x / step).round() + zero).clamp(0, 2**bits - 1).sub(zero) * step


@EVEN
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_mse_is_the_best_of_all_shares(bits: int, symmetric: bool) -> None:
    blocks = values()
    low, high = observers.choose(blocks, bits, "mse", symmetric)
    whole = observers.choose(blocks, bits, "minmax", symmetric)
    for place, x in enumerate(blocks):
        errors = [
            float((x - rounded(x, float(whole[0][place]) * share, float(whole[1][place]) * share,
                               bits, symmetric)).square().sum())
            for share in np.arange(1, SHARES + 1) / SHARES
        ]  # fmt: skip
        found = rounded(x, float(low[place]), float(high[place]), bits, symmetric)
        assert float((x - found).square().sum()) == pytest.approx(min(errors), rel=1e-9)


@pytest.mark.parametrize("quantile", [0.5, 0.9, 0.99, 1.0])
def test_percentiles_are_numpy_s(quantile: float) -> None:
    blocks = values()
    low, high = observers.choose(blocks, 4, "percentile", True, quantile=quantile)
    expected = np.quantile(blocks.abs().numpy(), quantile, axis=1, method="inverted_cdf")
    np.testing.assert_array_equal(high, expected)
    assert torch.equal(low, -high)
    low, high = observers.choose(blocks, 4, "percentile", False, quantile=quantile)
    tail = (1 - quantile) / 2
    expected = np.quantile(blocks.numpy(), [tail, 1 - tail], axis=1, method="inverted_cdf")
    np.testing.assert_array_equal(low, expected[0].clip(max=0))
    np.testing.assert_array_equal(high, expected[1].clip(min=0))


@pytest.mark.parametrize("scheme", ["symmetric", "affine"])
@pytest.mark.parametrize("per_channel", [True, False])
def test_minmax_gives_the_scales_of_torch_s_observers(scheme: str, per_channel: bool) -> None:
    blocks = values().float()
    kind = "per_channel" if per_channel else "per_tensor"
    qscheme = getattr(torch, f"{kind}_{scheme}")
    made = observer.PerChannelMinMaxObserver if per_channel else observer.MinMaxObserver
    symmetric = scheme == "symmetric"
    least = -127 if symmetric else -128
    watch = made(dtype=torch.qint8, qscheme=qscheme, quant_min=least, quant_max=127, eps=1e-12)
    watch(blocks)
    scale, zero = watch.calculate_qparams()
    given_ = blocks if per_channel else blocks.flatten()[None]
    low, high = observers.choose(given_, 8, "minmax", symmetric)
    step = observers.steps(low, high, 8, symmetric)
    torch.testing.assert_close(step.float(), scale.view(-1), rtol=1e-6, atol=0)
    if not symmetric:
        assert torch.equal(observers.zero_points(low, step, 8).int(), zero.view(-1).int())


@EVEN
@pytest.mark.parametrize("bits", [3, 4])
def test_kl_clips_what_is_rare_and_keeps_what_is_not(bits: int, symmetric: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    body = torch.rand(1, 100_000, generator=generator) * 2 - 1
    _, high = observers.choose(body, bits, "kl", symmetric)
    assert high.item() >= 0.9
    tailed = torch.randn(1, 100_000, generator=generator) ** 3
    _, high = observers.choose(tailed, bits, "kl", symmetric)
    assert 0.05 <= high.item() / tailed.max().item() <= 0.75


@EVEN
@pytest.mark.parametrize("how", HOWS)
def test_counts_are_values_that_occur_so_often(how: str, symmetric: bool) -> None:
    blocks = values(2, 300)
    counts = torch.randint(0, 4, blocks.shape, generator=torch.Generator().manual_seed(1))
    expected = [
        observers.choose(x.repeat_interleave(n)[None], 4, how, symmetric, quantile=0.97)
        for x, n in zip(blocks, counts, strict=True)
    ]
    found = observers.choose(blocks, 4, how, symmetric, counts=counts, quantile=0.97)
    for side in (0, 1):
        torch.testing.assert_close(found[side], torch.cat([pair[side] for pair in expected]))


@settings(max_examples=60, deadline=None)
@given(
    how=st.sampled_from(HOWS),
    symmetric=st.booleans(),
    bits=st.integers(2, 16),
    count=st.integers(1, 60),
    missing=st.integers(0, 20),
    seed=st.integers(0, 2**16),
)
def test_any_range_holds_zero_and_no_more_than_the_values(
    how, symmetric, bits, count, missing, seed
) -> None:
    blocks = values(2, count, seed)
    padded = torch.nn.functional.pad(blocks, (0, missing), value=torch.nan)
    low, high = observers.choose(padded, bits, how, symmetric)
    assert torch.equal(low, observers.choose(blocks, bits, how, symmetric)[0])
    assert (low <= 0).all() and (high >= 0).all()
    largest = blocks.abs().amax(1)
    assert (high <= largest + 1e-12).all() and (-low <= largest + 1e-12).all()
    if symmetric:
        assert torch.equal(low, -high)
    step = observers.steps(low, high, bits, symmetric)
    zero = observers.zero_points(low, step, bits)
    half = 2 ** (bits - 1)
    assert (zero >= -half).all() and (zero < half).all()
