"""AdaRound against all roundings of tiny neurons, and against autograd."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from laq.ptq import adaround, rtn
from laq.ptq.adaround import GAMMA, PENALTY, ZETA, Objective
from laq.ptq.layer import Samples
from laq.quantizers import uniform
from laq.quantizers.granularity import Blocks
from laq.quantizers.grids import Uniform
from laq.quantizers.rounding import Rounding
from laq.quantizers.uniform import Alphabet
from laq.utils.errors import ConfigError, DataError
from tests.unit.test_rtn import layer

torch.set_num_threads(1)

GRIDS = {
    "packed": lambda w: Alphabet.from_weights(w, 3, "packed"),
    "per row": lambda w: Alphabet.from_weights(w, 3, "packed", per_channel=True),
    "paper": lambda w: Alphabet.from_weights(w, 2, "paper", per_channel=True),
    "zero points": lambda w: uniform.asymmetric(w, 3, Blocks.of("per_channel", None)),
    "filter groups": lambda w: uniform.symmetric(w, 3, Blocks.of("per_channel_group", 2)),
    "input groups": lambda w: uniform.asymmetric(w, 3, Blocks.of("per_group", 3)),
    "shift": lambda w: uniform.binary(w, 1, Blocks.of("per_channel", None)),
    "ternary": lambda w: uniform.ternary(w, 2, Blocks.of("per_tensor", None)),
}


def samples_of(inputs: Tensor, quantized: Tensor, groups: int = 1, chunk: int = 7) -> Samples:
    pairs = list(zip(inputs.split(chunk), quantized.split(chunk), strict=True))
    return Samples(len(inputs), inputs.shape[1] // groups, lambda: iter(pairs), groups)


def correlated(
    neurons: int, columns: int, samples: int, groups: int = 1, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """A layer whose inputs correlate, so that nearest rounding is far from the best."""
    weight, inputs, quantized = layer(neurons, columns, samples, groups, seed)
    width = groups * columns
    mix = torch.rand(width, width, generator=torch.Generator().manual_seed(0), dtype=weight.dtype)
    mix = 1.5 * mix / math.sqrt(width) + 0.5 * torch.eye(width)
    return weight, inputs @ mix, quantized @ mix


def errors(weight: Tensor, values: Tensor, inputs: Tensor, quantized: Tensor, groups: int = 1):
    """‖X w − X̃ q‖² of every neuron (N,), as it stands."""
    x, xq = (matrix.unflatten(1, (groups, -1)) for matrix in (inputs, quantized))
    size = len(weight) // groups
    return torch.stack(
        [
            (x[:, n // size] @ weight[n] - xq[:, n // size] @ values[n]).square().sum()
            for n in range(len(weight))
        ]
    )


def candidates(weight: Tensor, grid: Uniform) -> tuple[Tensor, Tensor]:
    """Codes of the two levels around each weight; both the outermost beyond it."""
    codes = torch.arange(grid.low, grid.high + 1)
    levels = torch.stack([grid.values(torch.full(weight.shape, int(c))) for c in codes])
    below = (levels <= weight).sum(0) - 1
    low = codes[below.clamp(0, len(codes) - 1)]
    return low, codes[(below + 1).clamp(0, len(codes) - 1)]


@pytest.mark.parametrize("kind", GRIDS)
@pytest.mark.parametrize("groups", [1, 2])
def test_tiny_neurons_get_nearly_the_best_of_all_their_roundings(kind, groups):
    totals = torch.zeros(3, dtype=torch.float64)
    for seed in range(3):
        weight, inputs, quantized = correlated(4, 7, 30, groups, seed)
        quantized[:, 2] = 0
        grid = GRIDS[kind](weight)
        result = adaround.solve(weight, samples_of(inputs, quantized, groups), grid)
        low, high = candidates(weight, grid)
        assert result.codes.is_contiguous()
        assert bool(((result.codes == low) | (result.codes == high)).all())

        def energies(codes: Tensor, case=(weight, grid, inputs, quantized)) -> Tensor:
            weight, grid, inputs, quantized = case
            return errors(weight, grid.values(codes), inputs, quantized, groups)

        ups = torch.tensor(list(itertools.product([False, True], repeat=7)))
        best = torch.stack([energies(torch.where(up, high, low)) for up in ups]).min(0).values
        found, nearest = energies(result.codes), energies(grid.nearest(weight))
        assert bool((found <= nearest).all())
        assert result.error == pytest.approx(math.sqrt(found.sum()) / result.reference, rel=1e-9)
        totals += torch.stack([found, nearest, best]).sum(1)
    found, nearest, best = totals.tolist()
    assert found < 1.2 * best and found < 0.8 * nearest


@pytest.mark.parametrize("kind", GRIDS)
@pytest.mark.parametrize("beta", [None, 20.0, 3.5])
@pytest.mark.parametrize("samples", [20, 2])  # more and fewer than half the inputs
def test_the_gradient_is_that_of_autograd(kind, beta, samples):
    weight, inputs, quantized = layer(4, 6, samples, groups=2, seed=1)
    grid = GRIDS[kind](weight)
    objective = Objective.of(weight, samples_of(inputs, quantized, 2), grid)
    v = torch.randn(2, 6, 2, generator=torch.Generator().manual_seed(4), dtype=torch.float64) * 2
    found = objective.gradient(v.clone(), beta)

    low, high = (grid.values(codes) for codes in candidates(weight, grid))
    free = v.requires_grad_()
    h = (free.sigmoid() * (ZETA - GAMMA) + GAMMA).clamp(0, 1)
    q = low + h.mT.flatten(0, 1) * (high - low)
    energy = torch.zeros(())
    units = (grid.steps(weight.shape).expand_as(weight) ** 2).unflatten(0, (2, 2))
    norms = quantized.square().sum(0).view(2, 1, 6)
    per_neuron = errors(weight, q, inputs, quantized, 2) / (units * norms).mean(2).flatten()
    energy = per_neuron.sum()
    if beta is not None:
        energy = energy + PENALTY * (1 - (2 * h - 1).abs() ** beta).sum()
    (expected,) = torch.autograd.grad(energy, free)
    assert torch.allclose(found, expected, rtol=1e-9, atol=1e-9)
    assert expected.count_nonzero() > 4 or kind in ("shift", "ternary")


def test_it_starts_from_the_weights_themselves():
    weight, inputs, quantized = layer(3, 6, 20)
    grid = GRIDS["zero points"](weight)
    objective = Objective.of(weight, samples_of(inputs, quantized), grid)
    h = (objective.start.sigmoid() * (ZETA - GAMMA) + GAMMA).clamp(0, 1)
    start = (objective.low + h * (objective.high - objective.low)) * objective.step
    inside = objective.high > objective.low
    assert torch.allclose(start[inside], weight.T[None][inside])


def test_beta_is_off_at_first_and_falls():
    course = [adaround.beta(step, 100) for step in range(100)]
    assert course[:20] == [None] * 20
    assert course[20] == 20 and 2 < course[-1] < 2.1
    assert course[20:] == sorted(course[20:], reverse=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("groups", [1, 3])
def test_it_is_never_worse_than_nearest_and_mostly_better(dtype, groups):
    gains = []
    for seed in range(6):
        weight, inputs, quantized = (
            tensor.to(dtype) for tensor in correlated(6, 12, 5 + 10 * seed, groups, seed)
        )
        grid = Alphabet.from_weights(weight, 3, "packed", per_channel=True)
        samples = samples_of(inputs, quantized, groups)
        for steps in (1, 30, 200):
            result = adaround.solve(weight, samples, grid, steps=steps)
            nearest = rtn.solve(weight, samples, grid)
            own, rounded = (
                errors(weight, solved.weight, inputs, quantized, groups)
                for solved in (result, nearest)
            )
            assert bool((own <= rounded * (1 + 1e-5)).all())
            assert result.error <= nearest.error * (1 + 1e-6)
            assert result.weight.dtype == dtype and result.fitted
        gains.append(nearest.error / result.error)
    assert min(gains) > 1.1


def test_no_steps_are_nearest_rounding():
    weight, inputs, quantized = layer(5, 9, 20)
    grid = GRIDS["input groups"](weight)
    samples = samples_of(inputs, quantized)
    result = adaround.solve(weight, samples, grid, steps=0)
    assert torch.equal(result.codes, grid.nearest(weight))
    assert result.error == pytest.approx(rtn.solve(weight, samples, grid).error, rel=1e-12)


def test_two_runs_give_the_same_codes_and_autograd_may_be_on():
    weight, inputs, quantized = layer(8, 20, 40)
    grid = GRIDS["per row"](weight)
    runs = [
        adaround.solve(
            weight.clone().requires_grad_(), samples_of(inputs, quantized), grid, steps=100
        )
        for _ in range(2)
    ]
    assert torch.equal(runs[0].codes, runs[1].codes) and runs[0].error == runs[1].error


def test_the_scales_of_weights_and_inputs_do_not_change_the_codes():
    weight, inputs, quantized = layer(6, 10, 30)
    results = [
        adaround.solve(
            weight * scale,
            samples_of(inputs * size, quantized * size),
            GRIDS["per row"](weight * scale),
            steps=200,
        )
        for scale, size in ((1, 1), (2**-10, 2**8), (2**6, 2**-9))
    ]
    assert all(torch.equal(result.codes, results[0].codes) for result in results)


def test_what_cannot_be_solved_is_refused():
    weight, inputs, quantized = layer(4, 8, 25)
    samples, grid = Samples.of(inputs, quantized), GRIDS["per row"](weight)
    with pytest.raises(ConfigError, match="steps is -1"):
        adaround.solve(weight, samples, grid, steps=-1)
    with pytest.raises(ValueError, match="cannot be soft"):
        adaround.solve(weight, samples, grid, rounding=Rounding("soft", 0.5))
    with pytest.raises(ValueError, match="gap"):
        adaround.solve(weight, samples, grid.with_gap(0.5))
    with pytest.raises(DataError, match="must agree"):
        adaround.solve(weight[:, 1:], samples, grid)
    for network, pair in (
        ("float", (inputs / 0, quantized)),
        ("quantized", (inputs, quantized / 0)),
    ):
        with pytest.raises(DataError, match=f"inputs in the {network} network hold NaN"):
            adaround.solve(weight, Samples.of(*pair), grid)
