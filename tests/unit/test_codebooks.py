"""Codebooks and the alphabets of one and two bits, against scikit-learn and exhaustive search."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from laq.quantizers import codebooks, kmeans, uniform
from laq.quantizers.granularity import Blocks

LAYER = Blocks.of("per_tensor")


def weights(rows: int = 8, columns: int = 50, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, columns, generator=generator, dtype=torch.float64) ** 3


def error(weight: torch.Tensor, grid) -> float:
    return float((weight - grid.values(grid.nearest(weight))).square().sum())


@pytest.mark.parametrize("count", [2, 8, 32])
@pytest.mark.parametrize("seed", [0, 1])
def test_lloyd_is_scikit_learn_s_from_the_same_centres(count: int, seed: int) -> None:
    values = weights(seed=seed).flatten().sort().values
    # Centres that all have values: scikit-learn moves those that have none.
    start = 1.05 * codebooks._quantiles(values, count.bit_length() - 1)
    found = kmeans.lloyd(values, start)
    theirs = KMeans(count, init=start.numpy()[:, None], n_init=1, tol=0, max_iter=1000)
    theirs.fit(values.numpy()[:, None])
    np.testing.assert_allclose(found, np.sort(theirs.cluster_centers_[:, 0]), rtol=1e-9)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_kmeans_is_no_worse_than_scikit_learn_s_best_of_ten(bits: int) -> None:
    weight = weights()
    theirs = KMeans(2**bits, n_init=10, random_state=0).fit(weight.reshape(-1, 1).numpy())
    assert error(weight, codebooks.kmeans(weight, bits, LAYER)) <= theirs.inertia_ * (1 + 1e-9)


def test_a_level_without_values_stays_where_it_is() -> None:
    values = torch.tensor([0.0, 0.1, 1.0], dtype=torch.float64)
    found = kmeans.lloyd(values, torch.tensor([0.0, 1.0, 50.0]))
    assert found.tolist() == pytest.approx([0.05, 1.0, 50.0])


def test_quantiles_give_every_code_to_as_many_weights() -> None:
    weight = weights(16, 64)
    grid = codebooks.quantiles(weight, 3, LAYER)
    parts = weight.flatten().sort().values.view(8, -1)
    np.testing.assert_allclose(grid.table[0], parts.mean(1), rtol=1e-9)


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_powers_of_two_are_those_of_inq(bits: int) -> None:
    weight = weights()
    table = codebooks.powers(weight, bits, LAYER).table[0].tolist()
    top = np.floor(np.log2(4 * weight.abs().max().item() / 3))
    positive = [2.0**e for e in np.arange(top - 2 ** (bits - 1) + 2, top + 1)]
    assert table == [-v for v in reversed(positive)] + [0.0] + positive
    assert len(table) == 2**bits - 1


def test_tables_of_groups_of_filters_are_their_own() -> None:
    weight = weights(7)
    grid = codebooks.kmeans(weight, 2, Blocks.of("per_channel_group", 3))
    assert grid.table.shape == (3, 4)
    for place, rows in enumerate((slice(0, 3), slice(3, 6), slice(6, 7))):
        alone = codebooks.kmeans(weight[rows], 2, LAYER)
        assert torch.equal(grid.table[place], alone.table[0])


def test_ternary_is_the_best_of_all_scales_and_supports() -> None:
    weight = weights(1, 9)
    best = min(
        float((weight[0].abs() - scale * mask).square().sum())
        for bits in itertools.product([0.0, 1.0], repeat=9)
        if any(bits)
        for mask in [torch.tensor(bits, dtype=torch.float64)]
        for scale in [float(weight[0].abs() @ mask / mask.sum())]
    )
    assert error(weight, uniform.ternary(weight, 2, LAYER)) == pytest.approx(best, rel=1e-12)


def test_binary_is_the_mean_magnitude_with_the_sign() -> None:
    weight = weights(4)
    grid = uniform.binary(weight, 1, Blocks.of("per_channel"))
    expected = weight.abs().mean(1, keepdim=True) * weight.sign()
    torch.testing.assert_close(grid.values(grid.nearest(weight)), expected, rtol=1e-12, atol=0)


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.integers(-40, 40), min_size=1, max_size=9),
    count=st.integers(1, 6),
)
def test_kmeans_is_the_best_of_all_partitions(values: list[int], count: int) -> None:
    x = torch.tensor(sorted(values), dtype=torch.float64)
    found = kmeans.levels(x, count)
    assert (found.diff() >= 0).all() and len(found) == count
    reached = float((x[:, None] - found).square().amin(1).sum())
    best = min(
        sum(float(part.var(correction=0)) * len(part) for part in parts if len(part))
        for cuts in itertools.combinations_with_replacement(range(len(x) + 1), count - 1)
        for parts in [torch.tensor_split(x, cuts)]
    )
    assert reached == pytest.approx(best, abs=1e-9)


def test_many_values_come_near_the_best_of_all() -> None:
    x = weights(100, 300).flatten().sort().values
    found = kmeans.levels(x, 16)
    reached = float((x[:, None] - found).square().amin(1).sum())
    theirs = KMeans(16, n_init=10, random_state=0).fit(x.numpy()[:, None])
    assert reached <= theirs.inertia_ * (1 + 1e-6)
