"""Patches of a layer's input as a matrix: the convolution itself is the reference."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from laq.errors import DataError
from laq.patches import Sampling, layer_inputs

torch.set_num_threads(1)

pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


def normal(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def draw(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@settings(max_examples=60, deadline=None)
@given(
    kernel=pairs,
    stride=pairs,
    dilation=pairs,
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    groups=st.integers(1, 3),
    inputs=st.integers(1, 2),
    filters=st.integers(1, 2),
    size=st.tuples(st.integers(4, 8), st.integers(4, 8)),
)
def test_matrix_times_weight_is_the_convolution(
    kernel, stride, dilation, padding, groups, inputs, filters, size
):
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    assume(all(s + 2 * p >= r for s, p, r in zip(size, padding, reach, strict=True)))
    layer = nn.Conv2d(
        groups * inputs, groups * filters, kernel, stride, padding, dilation, groups, bias=False
    ).double()
    values = [normal(2, groups * inputs, *size, seed=seed) for seed in (0, 1)]
    samples = layer_inputs(layer, *values, Sampling("all"), draw())
    assert len(samples) == groups
    for side, value in enumerate(values):
        parts = [
            pair[side] @ weight.flatten(1).T
            for pair, weight in zip(samples, layer.weight.chunk(groups), strict=True)
        ]
        output = layer(value).permute(0, 2, 3, 1).flatten(0, 2)
        torch.testing.assert_close(torch.cat(parts, 1), output)


def test_padding_of_both_sides_given_as_one_number():
    layer = nn.Conv2d(1, 2, 3, stride=2, padding=1, bias=False).double()
    x = normal(2, 1, 5, 4)
    ((rows, _),) = layer_inputs(layer, x, x, Sampling("all"), draw())
    output = layer(x).permute(0, 2, 3, 1).flatten(0, 2)
    torch.testing.assert_close(rows @ layer.weight.flatten(1).T, output)


@pytest.mark.parametrize("fraction", [0.1, 0.25, 1.0])
def test_published_patches_do_not_overlap_and_are_drawn_with_replacement(fraction):
    layer = nn.Conv2d(1, 2, (2, 3), stride=1, padding=(0, 1))
    x = torch.arange(1.0, 2 * 4 * 7 + 1).reshape(2, 1, 4, 7)
    ((rows, rows_q),) = layer_inputs(layer, x, -x, Sampling("published", fraction), draw())

    padded = nn.functional.pad(x, (1, 1))
    patches = [
        padded[n, 0, i : i + 2, j : j + 3].flatten()
        for n in range(2)
        for i in (0, 2)
        for j in (0, 3, 6)
    ]
    assert len(rows) == round(fraction * len(patches))
    generator = draw()
    picked = torch.randint(len(patches), (len(rows),), generator=generator)
    assert torch.equal(rows, torch.stack(patches)[picked])
    assert torch.equal(rows_q, -rows)  # the same patches of both networks
    if fraction == 1:
        assert len(picked.unique()) < len(picked)


def test_published_sampling_takes_at_least_one_patch_and_a_fresh_draw_each_time():
    layer, x = nn.Conv2d(1, 1, 2), normal(1, 1, 4, 4)
    ((rows, _),) = layer_inputs(layer, x, x, Sampling("published", 0.01), draw())
    assert rows.shape == (1, 4)
    generator, x = draw(), normal(8, 1, 16, 16)
    first, second = (layer_inputs(layer, x, x, Sampling(), generator)[0][0] for _ in range(2))
    assert first.shape == second.shape == (128, 4)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("kind", ["published", "all"])
def test_linear_layers_take_every_row(kind):
    x = normal(2, 3, 5)
    ((rows, rows_q),) = layer_inputs(nn.Linear(5, 4), x, 2 * x, Sampling(kind), draw())
    assert torch.equal(rows, x.reshape(6, 5))
    assert torch.equal(rows_q, 2 * rows)
    ((rows, _),) = layer_inputs(nn.Linear(5, 4), x[:, 0], x[:, 0], Sampling(kind), draw())
    assert torch.equal(rows, x[:, 0])


@pytest.mark.parametrize("value", [torch.nan, -torch.inf])
@pytest.mark.parametrize("side", ["float", "quantized"])
def test_inputs_that_are_not_finite_are_refused(value, side):
    values = {"float": normal(2, 1, 4, 4), "quantized": normal(2, 1, 4, 4)}
    values[side][0, 0, 1, 1] = value
    with pytest.raises(DataError, match=f"the {side} network's input here is not finite"):
        layer_inputs(nn.Conv2d(1, 1, 2), *values.values(), Sampling("all"), draw())


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_padding_by_name_is_refused_with_the_remedy(padding):
    layer, x = nn.Conv2d(1, 1, 3, padding=padding), normal(1, 1, 4, 4)
    with pytest.raises(DataError, match=rf"'{padding}'.*cannot be unfolded.*compress\.keep"):
        layer_inputs(layer, x, x, Sampling("all"), draw())


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_padding_other_than_zeros_is_refused_with_the_remedy(mode):
    layer, x = nn.Conv2d(1, 1, 3, padding=1, padding_mode=mode), normal(1, 1, 4, 4)
    with pytest.raises(DataError, match=rf"'{mode}' cannot be unfolded.*compress\.keep"):
        layer_inputs(layer, x, x, Sampling("all"), draw())
