"""Beacon by inner products against the vectors and angles that define it, and against all codes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import laq
from laq.ptq import beacon, rtn
from laq.ptq.layer import Samples
from laq.quantizers import uniform
from laq.quantizers.codebooks import kmeans
from laq.quantizers.granularity import Blocks
from laq.quantizers.grids import Uniform
from laq.quantizers.rounding import Rounding
from laq.quantizers.uniform import Alphabet
from laq.utils import compiling
from laq.utils.errors import ConfigError, DataError

torch.set_num_threads(1)

ROWS = Blocks.of("per_channel")
GRIDS = {
    "packed": lambda w: Alphabet.from_weights(w, 2, "packed", per_channel=True),
    "packed of one step": lambda w: Alphabet.from_weights(w, 3, "packed"),
    "paper": lambda w: Alphabet.from_weights(w, 2, "paper", per_channel=True),
    "symmetric": lambda w: uniform.symmetric(w, 8, ROWS),
    "asymmetric": lambda w: uniform.asymmetric(w, 3, ROWS),
    "ternary": lambda w: uniform.ternary(w, 2, ROWS),
    "binary": lambda w: uniform.binary(w, 1, ROWS),
    "groups of filters": lambda w: uniform.symmetric(w, 3, Blocks.of("per_channel_group", 4)),
}


def layer(neurons=6, columns=21, samples=40, groups=1, seed=0, silent=(4,), offset=0.3):
    """Skewed weights, and inputs of both networks, some of which never fire; float64."""
    rng = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=rng, dtype=torch.float64)

    weight = normal(neurons * groups, columns) + offset
    inputs = (normal(samples, 5) @ normal(5, columns * groups) + normal(samples, 1)).relu()
    quantized = inputs + 0.1 * normal(samples, columns * groups)
    for t in silent:
        inputs[:, t] = quantized[:, t] = 0
    return weight, inputs, quantized


def cosine(left: np.ndarray, right: np.ndarray) -> float:
    norm = np.linalg.norm(right) * np.linalg.norm(left)
    return float(left @ right) / norm if norm > 1e-9 else 0.0


def best(y: np.ndarray, rest: np.ndarray, x: np.ndarray, known: np.ndarray, now: float) -> float:
    """The level p that brings rest + p x nearest to the direction of y; of several, that next to
    ``now``."""
    found = np.array([cosine(y, rest + p * x) for p in known])
    largest = known[found > found.max() - 1e-11]
    return float(largest[np.abs(largest - now).argmin()])


def levels_of(grid: Uniform, n: int, rows: int) -> tuple[np.ndarray, float]:
    """The levels of a row in units of its step, and the step."""
    zero = int(grid.zero_points((rows, 1)).expand(rows, 1)[n])
    step = float(grid.steps((rows, 1)).expand(rows, 1)[n])
    return np.arange(grid.low, grid.high + 1) - zero + grid.shift, step


def defined(weight: Tensor, x: Tensor, y: Tensor, grid: Uniform, cycles: int) -> list[np.ndarray]:
    """Levels of every neuron after the greedy pass and ``cycles``, by the paper's algorithm 1."""
    x, y = x.double().numpy(), y.double().numpy()
    rows = []
    for n, w in enumerate(weight.double().numpy()):
        known, step = levels_of(grid, n, len(weight))
        start = [float(known[np.abs(known - a / step).argmin()]) for a in w]
        q = np.zeros(len(w))
        for t in range(len(w)):
            z = y[:, :t] @ q[:t]
            q[t] = best(x[:, : t + 1] @ w[: t + 1], z, y[:, t], known, start[t])
        for _ in range(cycles):
            for t in range(len(w)):
                rest = y @ q - q[t] * y[:, t]
                q[t] = best(x @ w, rest, y[:, t], known, q[t])
        rows.append(q)
    return rows


def angles(weight: Tensor, x: Tensor, y: Tensor, found) -> Tensor:
    """cos ∠(X w, X̃ q) of every neuron."""
    return torch.cosine_similarity(x @ weight.T, y @ found.weight.T, dim=0)


@pytest.fixture(params=["compiled", "torch"])
def loops(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "torch":
        monkeypatch.setattr(compiling, "HAS_NUMBA", False)


@pytest.mark.usefixtures("loops")
@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("cycles", [0, 2])
def test_it_is_the_algorithm_of_the_paper(name: str, cycles: int) -> None:
    weight, x, y = layer()
    grid = GRIDS[name](weight)
    expected = defined(weight, x, y, grid, cycles)
    for block in (5, 64):
        found = beacon.solve(weight, Samples.of(x, y), grid, cycles=cycles, block=block)
        own = found.grid.in_steps(found.codes).numpy()
        fires = np.arange(weight.shape[1]) != 4
        for n, q in enumerate(expected):
            assert (own[n][fires] == q[fires]).all()
            z, reached = y.numpy()[:, fires] @ q[fires], x.numpy() @ weight[n].numpy()
            assert float(found.grid.step[n]) == pytest.approx(reached @ z / (z @ z), rel=1e-9)
        residual = x @ weight.T - y @ found.weight.T
        assert found.error == pytest.approx(float(residual.norm() / (x @ weight.T).norm()))
        assert found.silent == 1


@pytest.mark.parametrize(("alike", "share"), [(True, 0.3), (False, 0.7)])
@pytest.mark.parametrize("name", ["packed", "asymmetric", "binary"])
def test_no_code_does_better_than_all_codes_and_many_neurons_reach_the_best(
    name, alike, share
) -> None:
    weight, x, y = layer(neurons=40, columns=6, samples=20, silent=(), offset=0.0)
    if not alike:  # columns that have little to do with each other
        x = torch.randn(20, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        y = x + 0.1 * (y - y.mean(0))
    grid = uniform.asymmetric(weight, 2, ROWS) if name == "asymmetric" else GRIDS[name](weight)
    found = angles(weight, x, y, beacon.solve(weight, Samples.of(x, y), grid, cycles=20))
    reached = 0
    for n in range(len(weight)):
        known, _ = levels_of(grid, n, len(weight))
        every = torch.tensor(list(itertools.product(known, repeat=6)), dtype=torch.float64)
        outputs = every @ y.T
        most = float(torch.cosine_similarity(outputs, (x @ weight[n])[None], dim=1).max())
        assert found[n] <= most + 1e-12
        reached += float(found[n]) > most - 1e-9
    assert reached >= share * len(weight)


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 2**31),
    name=st.sampled_from(list(GRIDS)),
    samples=st.integers(3, 40),
    columns=st.integers(1, 20),
)
def test_no_cycle_lowers_a_cosine_and_the_last_one_changes_nothing(seed, name, samples, columns):
    weight, x, y = layer(3, columns, samples, seed=seed, silent=())
    grid = GRIDS[name](weight)
    before = torch.full((3,), -1.0, dtype=torch.float64)
    for cycles in (0, 1, 2, 3, 200):
        found = beacon.solve(weight, Samples.of(x, y), grid, cycles=cycles)
        now = angles(weight, x, y, found)
        assert (now >= before - 1e-9).all()
        before = now
    again = beacon.solve(weight, Samples.of(x, y), grid, cycles=201)
    assert torch.equal(found.codes, again.codes) and torch.equal(found.grid.step, again.grid.step)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**31), factor=st.floats(0.25, 4))
def test_the_step_is_that_of_least_squares_whatever_the_first_one_was(seed, factor) -> None:
    weight, x, y = layer(seed=seed)
    grid = Alphabet.of(torch.tensor(factor, dtype=torch.float64), 3, "packed")
    found = beacon.solve(weight, Samples.of(x, y), grid)
    outputs, reached = x @ weight.T, y @ found.weight.T
    torch.testing.assert_close((outputs * reached).sum(0), reached.square().sum(0))


@pytest.mark.usefixtures("loops")
@pytest.mark.parametrize("name", ["packed", "asymmetric"])
def test_groups_are_layers_of_their_own_and_samples_come_in_chunks(name: str) -> None:
    weight, x, y = layer(neurons=3, columns=7, groups=4, silent=(4, 9))
    grid = GRIDS[name](weight)
    found = beacon.quantize_layer(weight, x, y, grid, groups=4)
    assert found.silent == 2
    for g in range(4):
        rows, columns = slice(3 * g, 3 * g + 3), slice(7 * g, 7 * g + 7)
        alone = beacon.quantize_layer(
            weight[rows], x[:, columns], y[:, columns], grid.of_rows(rows)
        )
        assert torch.equal(found.codes[rows], alone.codes)
        torch.testing.assert_close(found.grid.step[rows], alone.grid.step)
    pieces = Samples(len(x), 7, lambda: zip(x.split(9), y.split(9), strict=True), 4)
    again = beacon.solve(weight, pieces, grid)
    assert torch.equal(again.codes, found.codes)
    torch.testing.assert_close(again.weight, found.weight)


@pytest.mark.parametrize("name", GRIDS)
def test_weights_of_silent_inputs_get_the_nearest_level_of_the_step_that_is_found(name: str):
    weight, x, y = layer(silent=(0, 4, 20))
    found = beacon.solve(weight, Samples.of(x, y), GRIDS[name](weight))
    nearest = found.grid.nearest(weight)
    assert torch.equal(found.codes[:, [0, 4, 20]], nearest[:, [0, 4, 20]])
    kept = [t for t in range(21) if t not in (0, 4, 20)]
    less = beacon.solve(
        weight[:, kept], Samples.of(x[:, kept], y[:, kept]), GRIDS[name](weight).of_columns(0)
    )
    assert torch.equal(found.codes[:, kept], less.codes)


def test_an_asymmetric_grid_keeps_its_zero_points_and_has_its_levels() -> None:
    weight, x, y = layer(offset=1.0)
    grid = uniform.asymmetric(weight, 3, ROWS)
    found = beacon.solve(weight, Samples.of(x, y), grid)
    assert torch.equal(found.grid.zero, grid.zero) and found.grid.scheme == "asymmetric"
    assert found.codes.min() >= grid.low and found.codes.max() <= grid.high
    assert found.error < rtn.solve(weight, Samples.of(x, y), grid).error


def test_float32_has_the_codes_of_float64_but_for_ties() -> None:
    weight, x, y = layer(neurons=32, columns=60, samples=30)
    weight, x, y = weight.float(), x.float(), y.float()
    grid = Alphabet.from_weights(weight, 2, "packed", per_channel=True)
    double = Alphabet.of(grid.step.double(), 2, "packed")
    single = beacon.solve(weight, Samples.of(x, y), grid)
    exact = beacon.solve(weight.double(), Samples.of(x.double(), y.double()), double)
    assert single.grid.step.dtype == torch.float32 and exact.grid.step.dtype == torch.float64
    assert torch.equal(single.codes, exact.codes)
    torch.testing.assert_close(single.grid.step.double(), exact.grid.step, rtol=1e-6, atol=0)
    assert single.error == pytest.approx(exact.error, rel=1e-4)


@pytest.mark.parametrize("drift", [False, True])
def test_threads_blocks_and_the_loops_in_torch_change_no_code(drift, monkeypatch) -> None:
    weight, x, y = layer(neurons=130, columns=70, samples=50)
    samples = Samples.of(x, y if drift else x)
    grid = GRIDS["asymmetric"](weight)
    codes = beacon.solve(weight, samples, grid, threads=1).codes
    assert torch.equal(beacon.solve(weight, samples, grid, threads=2).codes, codes)
    assert torch.equal(beacon.solve(weight, samples, grid, block=7).codes, codes)
    monkeypatch.setattr(compiling, "HAS_NUMBA", False)
    assert torch.equal(beacon.solve(weight, samples, grid).codes, codes)


def test_what_it_cannot_quantize_is_refused() -> None:
    weight, x, y = layer()
    samples, grid = Samples.of(x, y), GRIDS["packed"](weight)
    with pytest.raises(ConfigError, match="equispaced levels, and kmeans has others: take another"):
        beacon.solve(weight, samples, kmeans(weight, 2, ROWS))
    with pytest.raises(ConfigError, match="equispaced levels"):
        beacon.solve(weight, samples, Alphabet.from_weights(weight, 3, "packed").with_gap(0.7))
    with pytest.raises(ConfigError, match=r"one step, .* take granularity per_channel"):
        beacon.solve(weight, samples, uniform.symmetric(weight, 3, Blocks.of("per_group", 8)))
    with pytest.raises(ConfigError, match="cycles is -1"):
        beacon.solve(weight, samples, grid, cycles=-1)
    with pytest.raises(ValueError, match="not by soft rounding"):
        beacon.solve(weight, samples, grid, rounding=Rounding("soft", 0.5))
    with pytest.raises(ValueError, match="block 0"):
        beacon.solve(weight, samples, grid, block=0)
    with pytest.raises(DataError, match="must agree"):
        beacon.solve(weight[:, 1:], samples, grid)
    with pytest.raises(DataError, match="of one dtype"):
        beacon.quantize_layer(weight, x.float(), y, grid)
    y[3, 3] = torch.inf
    with pytest.raises(DataError, match="quantized network hold NaN or infinite"):
        beacon.solve(weight, samples, grid)


@pytest.mark.parametrize("scheme", ["packed", "asymmetric"])
def test_a_network_of_a_file_is_the_one_that_was_quantized(scheme: str, tmp_path) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        *(nn.Conv2d(4, 8, 3, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 5))
    ).eval()
    images = torch.rand(12, 4, 8, 8)
    quantized = laq.quantize(network, images, bits=2, method="beacon", scheme=scheme, cycles=3)
    quantized.save(tmp_path / "own.safetensors")
    loaded = laq.load(tmp_path / "own.safetensors", network)
    assert torch.equal(loaded(images), quantized.network(images))
    rounded = laq.quantize(network, images, bits=2, method="rtn", scheme=scheme)
    expected = network(images)
    assert (loaded(images) - expected).norm() < (rounded.network(images) - expected).norm()
    for options in ({"per_channel": False}, {"group": 4}):
        if scheme == "asymmetric":
            with pytest.raises(ConfigError, match="method beacon chooses scales itself"):
                laq.quantize(network, images, method="beacon", scheme=scheme, **options)
