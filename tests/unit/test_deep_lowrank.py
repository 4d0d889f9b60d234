"""Two thin factors for a layer: against numpy, the Eckart-Young error, and two convolutions."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import nn

from laq.deep_compression import low_rank
from laq.models import networks

MATRICES = arrays.arrays(
    np.float32,
    arrays.array_shapes(min_dims=2, max_dims=2, max_side=9),
    elements=st.floats(-4, 4, width=16),
)


def weight(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=40, deadline=None)
@given(MATRICES, st.integers(0, 9))
def test_the_error_of_a_rank_is_the_energy_of_the_values_left_out(matrix, rank):
    values = np.linalg.svd(matrix.astype(np.float64), compute_uv=False)
    made = low_rank.Decomposition.of(torch.from_numpy(matrix))
    np.testing.assert_allclose(made.values, values, atol=1e-9)
    dense = made.factors(rank).dense().numpy()
    assert dense.dtype == np.float32 and dense.shape == matrix.shape
    left = np.linalg.norm(values[rank:])
    error = np.linalg.norm(matrix - dense.astype(np.float64))
    assert abs(error - left) <= 2e-6 * max(values.max(), 1e-3)
    assert np.linalg.matrix_rank(dense, tol=1e-4 * max(values.max(), 1e-3)) <= rank


def test_no_other_matrix_of_the_rank_is_nearer():
    """Alternating least squares, from random starts, finds none."""
    matrix = weight(8, 12).numpy().astype(np.float64)
    best = np.linalg.norm(
        matrix - low_rank.Decomposition.of(weight(8, 12)).factors(3).dense().numpy()
    )
    rng = np.random.default_rng(0)
    for _ in range(5):
        left = rng.normal(size=(8, 3))
        for _ in range(50):
            right = np.linalg.lstsq(left, matrix, rcond=None)[0]
            left = np.linalg.lstsq(right.T, matrix.T, rcond=None)[0].T
        assert np.linalg.norm(matrix - left @ right) >= best - 1e-6


@settings(max_examples=40, deadline=None)
@given(MATRICES, st.floats(0, 1))
def test_the_rank_is_the_least_that_keeps_the_share(matrix, share):
    made = low_rank.Decomposition.of(torch.from_numpy(matrix))
    rank, energy = made.rank(share), made.values.square()
    kept, whole = float(energy[:rank].sum()), float(energy.sum())
    assert kept >= share * whole * (1 - 1e-9)
    if rank:
        assert float(energy[: rank - 1].sum()) < share * whole


def test_factors_of_a_convolution_are_two_convolutions_in_a_row():
    layer = nn.Conv2d(3, 8, 5, stride=2, padding=1)
    factors = low_rank.Decomposition.of(layer.weight).factors(4)
    assert factors.bytes == 4 * 4 * (8 + 75)
    x = weight(2, 3, 12, 12)
    y = nn.functional.conv2d(x, factors.right.view(4, 3, 5, 5), stride=2, padding=1)
    y = nn.functional.conv2d(y, factors.left.view(8, 4, 1, 1), layer.bias)
    whole = nn.functional.conv2d(x, factors.dense(), layer.bias, stride=2, padding=1)
    torch.testing.assert_close(y, whole)


def test_the_curve_counts_every_byte_and_leaves_the_network_alone():
    torch.manual_seed(0)
    network = networks.create("lenet_300_100", 10)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    half, most, none = low_rank.curve(network, [0.5, 1.0, 0.0])
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert half.share == 0.5 and half.bytes < most.bytes
    # At a share of all, factors of a square-ish matrix of full rank would take more: it stays.
    assert not most.factors and most.ratio == 1 and most.bytes == 4 * 266_610
    assert all(row.rank is None and row.bytes == row.dense for row in most.rows)
    stored = {name: factors.bytes for name, factors in half.factors.items()}
    biases = 4 * (300 + 100 + 10)
    assert half.bytes == sum(stored.values()) + biases
    assert half.ratio == 4 * 266_610 / half.bytes
    assert [row.layer for row in half.rows] == ["fc1", "fc2", "fc3"]
    for row in half.rows:
        module, factors = half.network.get_submodule(row.layer), half.factors[row.layer]
        assert torch.equal(module.weight, factors.dense()) and row.rank == factors.rank
        assert row.error**2 <= 0.5 + 1e-6
        assert torch.equal(module.bias, before[f"{row.layer}.bias"])
    # With no energy only biases are left, and the network gives the last one for every image.
    assert none.bytes == biases
    x = torch.rand(2, 1, 28, 28)
    assert torch.equal(none.network(x), network.fc3.bias.expand(2, -1))


def test_accuracy_of_the_approximation_tends_to_the_networks_own():
    torch.manual_seed(0)
    network, x = networks.create("lenet5", 10, side=16).eval(), torch.rand(4, 1, 16, 16)
    with torch.no_grad():
        made = [network, *(each.network for each in low_rank.curve(network, [0.3, 0.9, 0.999]))]
        wanted, *found = (each(x) for each in made)
    errors = [float((each - wanted).norm()) for each in found]
    assert errors[0] > errors[1] > errors[2]
