"""Grids and the solvers on them, against definitions that go weight by weight over all levels."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from laq.checkpoints import packing
from laq.ptq import gpfq, gptq, rtn
from laq.ptq.layer import Samples
from laq.quantizers import uniform
from laq.quantizers.codebooks import kmeans
from laq.quantizers.granularity import Blocks
from laq.quantizers.grids import Uniform
from laq.quantizers.packed_weight import PackedWeight
from laq.quantizers.rounding import Rounding
from laq.utils.errors import DataError

BLOCKS = {
    "layer": Blocks.of("per_tensor"),
    "channel": Blocks.of("per_channel"),
    "channels": Blocks.of("per_channel_group", 4),
    "inputs": Blocks.of("per_group", 8),
}
EQUISPACED = {
    "symmetric": (uniform.symmetric, 3),
    "asymmetric": (uniform.asymmetric, 3),
    "ternary": (uniform.ternary, 2),
    "binary": (uniform.binary, 1),
}
ON_ALL = [
    pytest.mark.parametrize("blocks", BLOCKS),
    pytest.mark.parametrize("name", EQUISPACED),
]


def on_all(test):
    for mark in ON_ALL:
        test = mark(test)
    return test


def layer(neurons: int = 6, columns: int = 21, samples: int = 40, seed: int = 0):
    """Skewed weights, inputs of both networks, one of which never fires."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    weight = normal(neurons, columns) * torch.rand(neurons, 1, generator=generator) + 0.3
    inputs = normal(samples, columns).relu()
    quantized_inputs = inputs + 0.1 * normal(samples, columns)
    inputs[:, 4] = quantized_inputs[:, 4] = 0
    return weight.double(), inputs, quantized_inputs


def fitted(name: str, blocks: str, weight: Tensor) -> Uniform:
    make, bits = EQUISPACED[name]
    return make(weight, bits, BLOCKS[blocks])


def levels(grid: Uniform, n: int, t: int) -> np.ndarray:
    """All levels of a weight, by their definition."""
    if grid.step.ndim == 0:
        step, zero = float(grid.step), 0 if grid.zero is None else int(grid.zero)
    else:
        place = n // grid.rows, 0 if grid.columns is None else t // grid.columns
        step, zero = float(grid.step[place]), 0 if grid.zero is None else int(grid.zero[place])
    return step * (np.arange(grid.low, grid.high + 1) - zero + grid.shift)


def nearest(grid: Uniform, value: float, n: int, t: int) -> float:
    known = levels(grid, n, t)
    return known[np.abs(known - value).argmin()]


@on_all
def test_a_code_stands_for_its_level_and_the_nearest_is_found(name: str, blocks: str) -> None:
    weight, *_ = layer()
    grid = fitted(name, blocks, weight)
    found = grid.values(grid.nearest(weight))
    expected = [
        [nearest(grid, float(weight[n, t]), n, t) for t in range(weight.shape[1])]
        for n in range(len(weight))
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    assert grid.zeros(grid.nearest(weight)) == int((found == 0).sum())
    assert {len(levels(grid, n, 0)) for n in range(6)} == {grid.levels}


@on_all
@pytest.mark.parametrize("form", ["blocks", "gram", None])
@pytest.mark.parametrize("block", [5, 64])
def test_gpfq_is_its_definition_on_any_equispaced_grid(name, blocks, form, block) -> None:
    weight, x, y = layer()
    grid = fitted(name, blocks, weight)
    found = gpfq.solve(weight, Samples.of(x, y), grid, form=form, block=block)
    for n, w in enumerate(weight.numpy()):
        u = np.zeros(len(x))
        for t in range(len(w)):
            column, fresh = x[:, t].numpy(), y[:, t].numpy()
            norm = fresh @ fresh
            if norm > 0:
                q = nearest(grid, fresh @ (u + w[t] * column) / norm, n, t)
            else:
                q = 0.0 if grid.shift == 0 else nearest(grid, w[t], n, t)
            u += w[t] * column - q * fresh
            assert found.weight[n, t].item() == pytest.approx(q, rel=1e-9, abs=1e-12)
    residual = x @ weight.T - y @ found.weight.T
    assert found.error == pytest.approx(float(residual.norm() / (x @ weight.T).norm()), rel=1e-9)


@on_all
@pytest.mark.parametrize("block", [5, 64])
def test_gptq_is_its_definition_on_any_equispaced_grid(name, blocks, block) -> None:
    weight, x, y = layer()
    grid = fitted(name, blocks, weight)
    found = gptq.solve(weight, Samples.of(x, y), grid, damping=0.01, block=block)
    hessian = (y.T @ y).numpy()
    hessian = hessian + 0.01 * hessian.diagonal().mean() * np.eye(len(hessian))
    # Rounding one weight after another and solving for those left: no Cholesky, no updates.
    for n, w in enumerate(weight.numpy().copy()):
        now = w.copy()
        for t in range(len(w)):
            q = nearest(grid, now[t], n, t)
            assert found.weight[n, t].item() == pytest.approx(q, rel=1e-9, abs=1e-12)
            rest = slice(t + 1, len(w))
            # The rest that minimises (v − w) H (v − w) with what is rounded held fixed.
            now[rest] += np.linalg.solve(hessian[rest, rest], hessian[rest, t] * (now[t] - q))
            now[t] = q


@on_all
def test_stochastic_rounding_takes_a_neighbour_and_is_right_in_the_mean(name, blocks) -> None:
    weight, x, y = layer(neurons=4, columns=16)
    grid = fitted(name, blocks, weight)
    generator = torch.Generator().manual_seed(0)
    rounding = Rounding("stochastic", generator=generator)
    total, runs = torch.zeros_like(weight), 400
    samples = Samples.of(x[:2, :16], y[:2, :16])
    for _ in range(runs):
        total += rtn.solve(weight, samples, grid, rounding=rounding).weight
    for n in range(4):
        for t in range(16):
            known = levels(grid, n, t)
            expected = float(np.clip(weight[n, t].item(), known[0], known[-1]))
            spread = (known[1] - known[0]) / 2 / runs**0.5
            assert total[n, t].item() / runs == pytest.approx(expected, abs=5 * spread + 1e-9)


def test_runs_of_rows_keep_their_levels_where_a_block_is_cut() -> None:
    weight, *_ = layer(neurons=10)
    for blocks in (*BLOCKS.values(), Blocks(4, 8)):
        grid = uniform.asymmetric(weight, 4, blocks)
        whole = grid.values(grid.nearest(weight))
        for rows in (slice(0, 3), slice(3, 10), slice(4, 8), slice(4, 10)):
            part = grid.of_rows(rows)
            assert part.fits(weight[rows].shape)
            assert torch.equal(part.values(part.nearest(weight[rows])), whole[rows])
    book = kmeans(weight, 2, Blocks.of("per_channel_group", 4))
    whole = book.values(book.nearest(weight))
    for rows in (slice(0, 3), slice(3, 10), slice(4, 8)):
        part = book.of_rows(rows)
        assert torch.equal(part.values(part.nearest(weight[rows])), whole[rows])


@settings(max_examples=40, deadline=None)
@given(
    shape=st.lists(st.integers(1, 6), min_size=2, max_size=4),
    name=st.sampled_from([*EQUISPACED, "kmeans"]),
    blocks=st.sampled_from([*BLOCKS.values(), Blocks(2, 3)]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    seed=st.integers(0, 2**16),
)
def test_any_grid_comes_back_from_a_file_bit_for_bit(
    tmp_path_factory, shape, name, blocks, dtype, seed
) -> None:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(shape, generator=generator, dtype=dtype)
    rows = weight.flatten(1)
    if name == "kmeans":
        blocks = Blocks(blocks.rows)
        grid = kmeans(rows, 3, blocks)
    else:
        make, bits = EQUISPACED[name]
        grid = make(rows, bits, blocks)
    codes = grid.nearest(rows)
    packed = PackedWeight(codes.view(shape), grid)
    path = tmp_path_factory.mktemp("any") / "a.safetensors"
    packing.save(path, {"w": weight}, {}, {"w": [packed]})
    found = packing.read(path)
    assert torch.equal(found.state["w"], packed.values)
    assert packed.values.dtype == dtype
    (again,) = found.packed["w"]
    assert again.nbytes == packed.nbytes
    assert again.grid.fields() == grid.fields() and again.grid.scheme == grid.scheme


@pytest.mark.parametrize(
    ("make", "bits"),
    [(uniform.binary, 1), (uniform.ternary, 2), (uniform.symmetric, 3), (uniform.asymmetric, 4)],
)
def test_a_file_takes_its_bits_and_its_scales(tmp_path, make, bits) -> None:
    weight = torch.randn(256, 64, 3, 3, generator=torch.Generator().manual_seed(0))
    grid = make(weight.flatten(1), bits, Blocks.of("per_channel"))
    packed = PackedWeight(grid.nearest(weight.flatten(1)).view_as(weight), grid)
    path = tmp_path / "a.safetensors"
    packing.save(path, {"w": weight}, {}, {"w": [packed]})
    scales = 256 * (4 + (grid.zero is not None))
    assert packed.nbytes == weight.numel() * bits // 8 + scales
    assert path.stat().st_size <= 1.05 * packed.nbytes


STEP = torch.ones(2, 1)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"step": torch.tensor(0.0)}, "positive and finite"),
        ({"step": torch.tensor(math.inf)}, "positive and finite"),
        ({"step": torch.ones(2)}, r"\(\) or \(R, B\)"),
        ({"low": 1}, "codes from 1 to 3"),
        ({"high": -9}, "codes from -4 to -9"),
        ({"zero": torch.zeros(2, 1)}, "zero points"),
        ({"zero": torch.zeros(1, 1, dtype=torch.int8)}, "zero points"),
        ({"zero": torch.full((2, 1), 4, dtype=torch.int8)}, "beyond -4 and 3"),
    ],
)
def test_a_grid_that_cannot_be_is_refused(fields, message) -> None:
    good = {"step": STEP, "low": -4, "high": 3, "bits": 3, "scheme": "asymmetric"}
    Uniform(**good)
    with pytest.raises(DataError, match=message):
        Uniform(**(good | fields))
