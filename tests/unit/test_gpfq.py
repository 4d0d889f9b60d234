"""The three forms of the solver against the recursion written straight from its definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from laq.ptq import layer_selection
from laq.ptq.gpfq import quantize_layer, solve
from laq.ptq.layer import Samples
from laq.quantizers.rounding import Rounding
from laq.quantizers.uniform import Alphabet
from laq.utils.errors import DataError

FORMS = ["direct", "blocks", "gram"]


def quantizer(rounding: Rounding, alphabet: Alphabet, noise: np.ndarray | None):
    """Q of the paper for one number in units of the step, as a value: (code, level)."""
    largest, gap = alphabet.largest, alphabet.gap or 0.0

    def q(a: float, n: int, t: int) -> tuple[int, float]:
        match rounding.kind:
            case "nearest":
                code = np.rint(a)
            case "stochastic":
                code = np.floor(a) + (noise[t, n] >= 1 - (a - np.floor(a)))
            case "soft":
                code = np.rint(np.sign(a) * max(abs(a) - rounding.threshold, 0))
            case "hard":
                smallest = 1 + gap
                code = np.sign(a) * (abs(a) > smallest) * (1 + np.rint(abs(a) - smallest))
        code = int(np.clip(code, -largest, largest))
        return code, code + np.sign(code) * gap

    return q


def naive(
    weight: Tensor,
    inputs: Tensor,
    quantized_inputs: Tensor,
    alphabet: Alphabet,
    rounding: Rounding | None = None,
    noise: np.ndarray | None = None,
) -> tuple[np.ndarray, float]:
    """Lybrand & Saab's definition, one neuron and one column at a time, in float64.

    Returns codes (N, d) and the relative output error.
    """
    q = quantizer(rounding or Rounding(), alphabet, noise)
    w = weight.double().numpy()
    x, y = inputs.double().numpy(), quantized_inputs.double().numpy()
    steps = alphabet.step.double().expand(len(w), 1).numpy()
    codes = np.zeros(w.shape)
    residual = np.zeros((len(w), len(x)))
    for n, (row, step) in enumerate(zip(w, steps[:, 0], strict=True)):
        u = residual[n]
        for t in range(len(row)):
            level = 0.0
            norm = y[:, t] @ y[:, t]
            if norm > 0:
                a = y[:, t] @ (u + row[t] * x[:, t]) / norm
                codes[n, t], level = q(a / step, n, t)
            u += row[t] * x[:, t] - level * step * y[:, t]
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


@pytest.mark.parametrize("form", FORMS)
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
def test_float64_gives_the_codes_of_the_definition(neurons, columns, samples, drift, scheme, form):
    tensors = layer(neurons, columns, samples, drift=drift)
    alphabet = Alphabet.from_weights(tensors[0], 4, scheme)
    result = quantize_layer(*tensors, alphabet, form=form)
    codes, error = naive(*tensors, alphabet)
    assert not result.codes.is_floating_point()
    assert result.weight.dtype == torch.float64
    np.testing.assert_array_equal(result.codes.numpy(), codes)
    assert result.error == pytest.approx(error, rel=1e-9)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("bits", "quantile"), [(2, 0.9), (3, 1.0), (8, 1.0)])
def test_other_alphabets_give_the_codes_of_the_definition(bits, quantile, form):
    tensors = layer(40, 100, 30)
    alphabet = Alphabet.from_weights(tensors[0], bits, quantile=quantile, per_channel=True)
    result = quantize_layer(*tensors, alphabet, form=form)
    np.testing.assert_array_equal(result.codes.numpy(), naive(*tensors, alphabet)[0])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("columns", "samples"), [(600, 48), (200, 400), (60, 3000)])
@pytest.mark.parametrize("drift", [0.0, 0.1])
def test_float32_stays_on_the_float64_path(columns, samples, drift, form):
    tensors = layer(64, columns, samples, drift=drift, dtype=torch.float32)
    alphabet = Alphabet.from_weights(tensors[0], 4)
    result = quantize_layer(*tensors, alphabet, form=form)
    codes, error = naive(*tensors, alphabet)
    assert result.weight.dtype == torch.float32
    assert (result.codes.numpy() != codes).mean() <= 1e-3
    assert result.error == pytest.approx(error, rel=1e-3)


def rule(kind: str, alphabet: Alphabet, seed: int = 3) -> tuple[Rounding, Alphabet]:
    """A rounding of this kind, and the alphabet it takes."""
    if kind == "hard":
        return Rounding("hard"), alphabet.with_gap(0.8)
    generator = torch.Generator().manual_seed(seed) if kind == "stochastic" else None
    return Rounding(kind, 0.6 if kind == "soft" else 0.0, generator), alphabet


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("scheme", ["paper", "packed"])
@pytest.mark.parametrize("kind", ["stochastic", "soft", "hard"])
@pytest.mark.parametrize(("bits", "per_channel"), [(2, False), (4, True)])
def test_every_rounding_gives_the_codes_of_the_definition(bits, per_channel, kind, scheme, form):
    tensors = layer(40, 100, 30)
    plain = Alphabet.from_weights(tensors[0], bits, scheme, per_channel=per_channel)
    rounding, alphabet = rule(kind, plain)
    noise = rule(kind, plain)[0].noise(100, 40, like=tensors[0])
    result = quantize_layer(*tensors, alphabet, rounding=rounding, form=form)
    codes, error = naive(*tensors, alphabet, rounding, noise if noise is None else noise.numpy())
    np.testing.assert_array_equal(result.codes.numpy(), codes)
    assert result.error == pytest.approx(error, rel=1e-9)
    assert len(np.unique(codes)) > 2


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["nearest", "stochastic"])
@pytest.mark.parametrize(("groups", "neurons", "columns"), [(3, 5, 70), (40, 1, 9), (2, 64, 9)])
def test_groups_are_layers_of_their_own(groups, neurons, columns, kind, form):
    parts = [layer(neurons, columns, 30, seed=seed) for seed in range(groups)]
    weight = torch.cat([part[0] for part in parts])
    inputs, quantized = (torch.cat([part[side] for part in parts], 1) for side in (1, 2))
    alphabet = Alphabet.from_weights(weight, 4, per_channel=True)
    rounding, _ = rule(kind, alphabet)
    result = quantize_layer(
        weight, inputs, quantized, alphabet, groups=groups, rounding=rounding, form=form
    )
    noise = rule(kind, alphabet)[0].noise(columns, len(weight), like=weight)
    difference = reference = 0.0
    for group, part in enumerate(parts):
        rows = slice(group * neurons, (group + 1) * neurons)
        own = Alphabet.of(alphabet.step[rows], 4, "paper")
        draws = None if noise is None else noise[:, rows].numpy()
        codes, error = naive(*part, own, rounding, draws)
        np.testing.assert_array_equal(result.codes[rows].numpy(), codes)
        norm = (part[1] @ part[0].T).norm().item()
        difference, reference = difference + (error * norm) ** 2, reference + norm**2
    assert result.error == pytest.approx((difference / reference) ** 0.5, rel=1e-9)
    assert result.reference == pytest.approx(reference**0.5)


def augmented(inputs: Tensor, quantized: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
    """Both inputs with √λ I below, λ in units of the mean |X̃_t|²: (m + d, d) each."""
    penalty = ridge * quantized.square().sum(0).mean()
    below = penalty.sqrt() * torch.eye(inputs.shape[1], dtype=inputs.dtype)
    return torch.cat([inputs, below]), torch.cat([quantized, below])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["nearest", "stochastic", "soft", "hard"])
@pytest.mark.parametrize("ridge", [1e-3, 1.0, 30.0])
@pytest.mark.parametrize(("columns", "samples"), [(150, 20), (70, 200)])
def test_a_ridge_is_the_definition_on_augmented_samples(columns, samples, ridge, kind, form):
    weight, inputs, quantized = layer(40, columns, samples)
    rounding, alphabet = rule(kind, Alphabet.from_weights(weight, 3, per_channel=True))
    noise = rule(kind, alphabet)[0].noise(columns, 40, like=weight) if kind != "hard" else None
    noise = None if noise is None else noise.numpy()
    result = quantize_layer(
        weight, inputs, quantized, alphabet, ridge=ridge, rounding=rounding, form=form
    )
    codes, _ = naive(weight, *augmented(inputs, quantized, ridge), alphabet, rounding, noise)
    np.testing.assert_array_equal(result.codes.numpy(), codes)
    outputs = inputs @ weight.T
    error = (outputs - quantized @ result.weight.T).norm() / outputs.norm()
    assert result.error == pytest.approx(error.item(), rel=1e-9)  # of the samples alone
    assert result.silent == 1


@pytest.mark.parametrize("form", FORMS)
def test_a_ridge_is_in_units_of_the_whole_layer_and_not_of_a_group(form):
    parts = [layer(5, 9, 30, seed=seed) for seed in range(3)]
    parts[1] = (parts[1][0], 10 * parts[1][1], 10 * parts[1][2])
    weight = torch.cat([part[0] for part in parts])
    inputs, quantized = (torch.cat([part[side] for part in parts], 1) for side in (1, 2))
    alphabet = Alphabet.from_weights(weight, 2)
    result = quantize_layer(weight, inputs, quantized, alphabet, groups=3, ridge=0.5, form=form)
    mean = quantized.square().sum(0).mean()
    for group, (rows, x, y) in enumerate(parts):
        own = 0.5 * mean / y.square().sum(0).mean()
        codes, _ = naive(rows, *augmented(x, y, own), alphabet)
        np.testing.assert_array_equal(result.codes[5 * group : 5 * group + 5].numpy(), codes)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_endless_ridge_is_rounding_and_silent_inputs_are_rounded_with_any(dtype, form):
    weight, inputs, quantized = layer(40, 100, 30, dtype=dtype)
    alphabet = Alphabet.from_weights(weight, 4, per_channel=True)
    nearest = alphabet.nearest(weight)
    endless = quantize_layer(weight, inputs, quantized, alphabet, ridge=float("inf"), form=form)
    assert torch.equal(endless.codes, nearest)
    quantized[:, 3:7] = 0
    some = quantize_layer(weight, inputs, quantized, alphabet, ridge=0.1, form=form)
    assert torch.equal(some.codes[:, 3:7], nearest[:, 3:7])
    assert not torch.equal(some.codes, nearest)
    quantized[:] = 0
    none = quantize_layer(weight, inputs, quantized, alphabet, ridge=0.1, form=form)
    assert torch.equal(none.codes, nearest)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("drift", [0.0, 0.1])
def test_samples_in_chunks_give_the_codes_of_all_at_once(form, drift):
    weight, inputs, quantized = layer(20, 100, 50, drift=drift)
    alphabet = Alphabet.from_weights(weight, 4)
    chunks = list(zip(inputs.split(17), quantized.split(17), strict=True))
    streamed = solve(weight, Samples(50, 100, lambda: iter(chunks)), alphabet, form=form)
    whole = quantize_layer(weight, inputs, quantized, alphabet)
    assert torch.equal(streamed.codes, whole.codes)
    assert streamed.error == pytest.approx(whole.error)


def test_the_gram_form_passes_once_over_the_samples():
    weight, inputs, quantized = layer(20, 30, 50)
    passes = []

    def chunks():
        passes.append(1)
        yield inputs, quantized

    solve(weight, Samples(50, 30, chunks), Alphabet.from_weights(weight, 4), form="gram")
    assert len(passes) == 1


@pytest.mark.parametrize("form", ["blocks", "gram"])
@pytest.mark.parametrize("kind", ["nearest", "stochastic"])
@pytest.mark.parametrize("block", [1, 5, 64, 1000])
def test_the_block_size_does_not_matter(block, kind, form):
    tensors = layer(6, 130, 25)
    alphabet = Alphabet.from_weights(tensors[0], 3)
    expected = quantize_layer(*tensors, alphabet, form="direct", rounding=rule(kind, alphabet)[0])
    result = quantize_layer(
        *tensors, alphabet, form=form, block=block, rounding=rule(kind, alphabet)[0]
    )
    assert torch.equal(result.codes, expected.codes)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_codes_do_not_depend_on_the_number_of_threads(dtype, form):
    tensors = layer(200, 150, 30, dtype=dtype)
    alphabet = Alphabet.from_weights(tensors[0], 4)
    torch_threads = torch.get_num_threads()
    one, two = (quantize_layer(*tensors, alphabet, form=form, threads=n) for n in (1, 2))
    assert torch.equal(one.codes, two.codes)
    assert one.error == two.error
    assert torch.get_num_threads() == torch_threads


def test_stochastic_rounding_is_right_in_the_mean():
    weight, inputs, _ = layer(2000, 1, 5, drift=0.0)
    weight = weight.fill_(0.3)
    rounding = Rounding("stochastic", generator=torch.Generator().manual_seed(0))
    alphabet = Alphabet.of(torch.tensor(1.0, dtype=weight.dtype), 4, "packed")
    codes = quantize_layer(weight, inputs, inputs, alphabet, rounding=rounding).codes
    assert set(codes.unique().tolist()) == {0, 1}
    assert codes.double().mean().item() == pytest.approx(0.3, abs=4 * (0.3 * 0.7 / 2000) ** 0.5)


@pytest.mark.parametrize("kind", ["soft", "hard"])
def test_thresholds_make_zeros(kind):
    tensors = layer(30, 120, 40)
    plain = Alphabet.from_weights(tensors[0], 4, "packed")
    rounding, alphabet = rule(kind, plain)
    sparse = quantize_layer(*tensors, alphabet, rounding=rounding)
    dense = quantize_layer(*tensors, plain)
    assert (sparse.codes == 0).sum() > 1.3 * (dense.codes == 0).sum()
    assert sparse.weight.abs().max() <= plain.largest * plain.step * (1 + 1e-12)


@settings(deadline=None, max_examples=60)
@given(
    samples=st.integers(1, 10**5),
    neurons=st.integers(1, 4096),
    columns=st.integers(1, 25088),
    memory=st.sampled_from([2**24, 2**29, 2**34]),
)
def test_the_form_that_is_chosen_is_the_cheapest_that_fits(samples, neurons, columns, memory):
    sizes = layer_selection.LayerShape(samples, neurons, columns)
    costs = layer_selection.costs(sizes, 64)
    chosen = layer_selection.cheapest(sizes, 64, memory, tuple(FORMS))
    if costs[chosen].memory > memory:
        assert costs[chosen].memory == min(c.memory for c in costs.values())
    else:
        assert all(c.work >= costs[chosen].work or c.memory > memory for c in costs.values())


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
        nearest = alphabet.values(alphabet.nearest(weight))
        reference = inputs @ weight.T
        error = (reference - quantized @ nearest.T).norm() / reference.norm()
        ratios.append(quantize_layer(weight, inputs, quantized, alphabet).error / error.item())
    assert np.mean(ratios) < 0.6


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("scheme", ["paper", "packed"])
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-6), (torch.float64, 1e-9)])
def test_32_bits_reproduce_the_layer(scheme, dtype, bound, form):
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(20, 150, generator=generator, dtype=dtype)
    inputs = torch.randn(40, 150, generator=generator, dtype=dtype)
    alphabet = Alphabet.from_weights(weight, 32, scheme, scale=4.0)  # nothing is clipped
    result = quantize_layer(weight, inputs, inputs, alphabet, form=form)
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
        ("samples", r"inputs of both networks .* \(5, 10\) and \(4, 10\)"),
        ("dimensions", r"weight \(3, 5, 2\)"),
        ("empty", "none empty"),
        ("dtypes", "one dtype.* inputs torch.float32"),
        ("half", "torch.float16"),
        ("weight nan", r"^weight \(3, 10\) holds NaN"),
        ("inputs nan", r"^inputs in the float network hold NaN"),
        ("quantized inf", r"^inputs in the quantized network hold NaN or infinite"),
    ],
)
def test_a_layer_that_cannot_be_quantized_says_why(name, message):
    tensors = broken(name)
    alphabet = Alphabet.of(torch.tensor(0.1, dtype=tensors[0].dtype), 4, "paper")
    with pytest.raises(DataError, match=message):
        quantize_layer(*tensors, alphabet)
