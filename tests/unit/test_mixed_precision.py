"""Bits per layer: exact covers and budgets, and brute force where that is possible."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from laq.ptq import gpfq, mixed_precision
from laq.ptq.layer import Samples
from laq.ptq.mixed_precision import Allocation, LayerSize, allocate, equal_shares, sensitivity
from laq.quantizers.uniform import Alphabet


@st.composite
def layer_sizes(draw: st.DrawFn, most_rows: int = 60, most_layers: int = 8) -> list[LayerSize]:
    count = draw(st.integers(1, most_layers))
    return [
        LayerSize(
            f"layer{place}",
            draw(st.integers(1, most_rows)),
            draw(st.integers(1, 30)),
            draw(st.booleans()),
        )
        for place in range(count)
    ]


def covers(chosen: Allocation, sizes: list[LayerSize]) -> bool:
    """Runs cover each layer's rows once, have no empty run and no neighbours of equal bits."""
    return list(chosen) == [layer.name for layer in sizes] and all(
        sum(rows for rows, _ in chosen[layer.name]) == layer.rows
        and all(rows > 0 for rows, _ in chosen[layer.name])
        and all(a != b for (_, a), (_, b) in itertools.pairwise(chosen[layer.name]))
        and (layer.splittable or len(chosen[layer.name]) == 1)
        for layer in sizes
    )


def bits_of_weights(chosen: Allocation, sizes: list[LayerSize]) -> Iterator[int]:
    for layer in sizes:
        for rows, bits in chosen[layer.name]:
            yield from itertools.repeat(bits, rows * layer.columns)


def mean_bits(chosen: Allocation, sizes: list[LayerSize]) -> float:
    values = list(bits_of_weights(chosen, sizes))
    return sum(values) / len(values)


def test_the_published_halves():
    sizes = [LayerSize("a", 10, 4), LayerSize("b", 20, 6), LayerSize("c", 5, 8)]  # 40, 120, 40
    assert equal_shares(sizes, [5, 3]) == {
        "a": ((10, 5),),
        "b": ((10, 5), (10, 3)),
        "c": ((5, 3),),
    }


def test_one_layer_may_hold_several_shares():
    assert equal_shares([LayerSize("a", 8, 5)], [2, 3, 4, 4]) == {"a": ((2, 2), (2, 3), (4, 4))}


def test_a_layer_that_cannot_be_split_goes_where_most_of_it_lies():
    def shares(before: int, after: int) -> Allocation:
        sizes = [LayerSize("a", before, 1), LayerSize("b", 4, 1, False), LayerSize("c", after, 1)]
        return equal_shares(sizes, [5, 3])

    assert shares(10, 8)["b"] == ((4, 3),)  # the cut is 1 row into b
    assert shares(8, 10)["b"] == ((4, 5),)  # 3 rows into it
    assert shares(9, 9)["b"] == ((4, 5),)  # in its middle: the earlier share


@given(sizes=layer_sizes(), bits=st.lists(st.integers(2, 8), min_size=1, max_size=5))
def test_equal_shares_cover_all_weights_in_order(sizes, bits):
    chosen = equal_shares(sizes, bits)
    assert covers(chosen, sizes)
    # Along the weights, bits follow the list given.
    seen = [key for key, _ in itertools.groupby(bits_of_weights(chosen, sizes))]
    remaining = iter(key for key, _ in itertools.groupby(bits))
    assert all(value in remaining for value in seen)


@given(sizes=layer_sizes(), bits=st.lists(st.integers(2, 8), min_size=1, max_size=5))
def test_the_mean_of_equal_shares_is_off_by_half_a_filter_a_cut(sizes, bits):
    sizes = [LayerSize(layer.name, layer.rows, layer.columns) for layer in sizes]
    mean = mean_bits(equal_shares(sizes, bits), sizes)
    total = sum(layer.weights for layer in sizes)
    steps = sum(abs(a - b) for a, b in itertools.pairwise(bits))
    bound = steps * max(layer.columns for layer in sizes) / 2 / total
    assert abs(mean - sum(bits) / len(bits)) <= bound + 1e-12


def predicted(
    chosen: Allocation, damage: dict[str, dict[int, float]], sizes: list[LayerSize]
) -> float:
    return sum(
        damage[layer.name][bits] * rows / layer.rows
        for layer in sizes
        for rows, bits in chosen[layer.name]
    )


@st.composite
def problems(
    draw: st.DrawFn, most_rows: int = 3, most_layers: int = 3
) -> tuple[list[LayerSize], dict[str, dict[int, float]]]:
    """Layers and damages, not always falling with the bits."""
    sizes = draw(layer_sizes(most_rows, most_layers))
    values = st.floats(0, 10, allow_nan=False)
    damage = {
        layer.name: draw(st.dictionaries(st.integers(2, 8), values, min_size=1, max_size=3))
        for layer in sizes
    }
    return sizes, damage


def every_choice(layer: LayerSize, widths: list[int]) -> list[tuple[tuple[int, int], ...]]:
    """All runs of a layer: any multiset of bits over its rows, or one for all."""
    if not layer.splittable:
        return [((layer.rows, bits),) for bits in widths]
    return [
        tuple((1, bits) for bits in choice)
        for choice in itertools.combinations_with_replacement(widths, layer.rows)
    ]


def best(damage: dict[str, dict[int, float]], sizes: list[LayerSize], budget: float) -> float:
    total = sum(layer.weights for layer in sizes)
    choices = [every_choice(layer, sorted(damage[layer.name])) for layer in sizes]
    allocations = (dict(zip(damage, runs, strict=True)) for runs in itertools.product(*choices))
    return min(
        predicted(chosen, damage, sizes)
        for chosen in allocations
        if mean_bits(chosen, sizes) * total <= budget * total + 1e-9
    )


@settings(deadline=None, max_examples=150)
@given(problem=problems(), budget=st.floats(2, 8))
def test_allocate_is_best_but_for_a_filter_or_a_layer_that_fits_no_more(problem, budget):
    sizes, damage = problem
    total = sum(layer.weights for layer in sizes)
    assume(sum(layer.weights * min(damage[layer.name]) for layer in sizes) <= budget * total)
    chosen = allocate(damage, sizes, budget)
    assert covers(chosen, sizes)
    assert mean_bits(chosen, sizes) <= budget + 1e-12
    least = best(damage, sizes, budget)
    found = predicted(chosen, damage, sizes)
    missed = max(
        (max(damage[layer.name].values()) - min(damage[layer.name].values()))
        / (layer.rows if layer.splittable else 1)
        for layer in sizes
    )
    assert least - 1e-9 <= found <= least + missed + 1e-9


@settings(deadline=None, max_examples=100)
@given(problem=problems(40, 6), budgets=st.tuples(st.floats(2, 8), st.floats(2, 8)))
def test_a_larger_budget_never_does_more_damage(problem, budgets):
    sizes, damage = problem
    low, high = sorted(budgets)
    total = sum(layer.weights for layer in sizes)
    assume(sum(layer.weights * min(damage[layer.name]) for layer in sizes) <= low * total)
    less, more = (predicted(allocate(damage, sizes, b), damage, sizes) for b in (low, high))
    assert more <= less + 1e-9


def test_at_most_one_layer_is_split_and_the_budget_is_used():
    sizes = [LayerSize(f"layer{place}", 100, 10 * place + 7) for place in range(6)]
    damage = {
        layer.name: {bits: (place + 1) * 4.0**-bits for bits in range(2, 9)}
        for place, layer in enumerate(sizes)
    }
    chosen = allocate(damage, sizes, 4.3)
    assert sum(len(runs) > 1 for runs in chosen.values()) <= 1
    assert 4.29 < mean_bits(chosen, sizes) <= 4.3


def test_sensitive_layers_get_more_bits_and_bits_that_save_nothing_are_not_spent():
    sizes = [LayerSize(name, 10, 10) for name in ("calm", "even", "noisy")]
    damage = {
        "calm": {2: 0.1, 4: 0.1, 6: 0.2},
        "even": {2: 1.0, 4: 0.5, 6: 0.4},
        "noisy": {2: 9.0, 4: 2.0, 6: 0.1},
    }
    expected = {"calm": ((10, 2),), "even": ((10, 4),), "noisy": ((10, 6),)}
    assert allocate(damage, sizes, 4) == expected
    assert allocate(damage, sizes, 8) == {**expected, "even": ((10, 6),)}


def test_a_budget_is_met_exactly():
    sizes = [LayerSize("a", 3, 7), LayerSize("b", 3, 7)]
    damage = {name: {4: 1.0, 5: 0.5} for name in "ab"}
    assert allocate(damage, sizes, 4) == {"a": ((3, 4),), "b": ((3, 4),)}
    assert allocate(damage, sizes, 4.5) == {"a": ((3, 5),), "b": ((3, 4),)}
    assert allocate(damage, sizes, 5) == {"a": ((3, 5),), "b": ((3, 5),)}


@pytest.mark.parametrize(("bits", "columns"), [((2, 2, 3), (1, 20, 14)), ((2, 3, 3), (1, 1, 1))])
def test_a_budget_of_just_the_fewest_bits_is_met_though_no_float_is_it(bits, columns):
    names = [f"layer{i}" for i in range(3)]
    damage = {name: {width: 0.0} for name, width in zip(names, bits, strict=True)}
    sizes = [LayerSize(name, 1, wide, False) for name, wide in zip(names, columns, strict=True)]
    fewest = sum(width * wide for width, wide in zip(bits, columns, strict=True)) / sum(columns)
    assert mean_bits(allocate(damage, sizes, fewest), sizes) == pytest.approx(fewest)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5)
    )


def rounded(model: nn.Module, bits: int) -> dict[str, Tensor]:
    weights = {name: model.get_submodule(name).weight.detach() for name in ("0", "4")}
    return {
        name: (weight / 0.5**bits).round() * 0.5**bits  # 2^-bits apart
        for name, weight in weights.items()
    }


def test_damage_is_the_mean_divergence_with_one_layer_quantized():
    model = network().train()
    images = torch.randn(150, 2, 6, 6, generator=torch.Generator().manual_seed(1))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    damage = sensitivity(model, images, lambda bits: rounded(model, bits), [2, 4])
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())

    model.eval()
    expected = model(images).detach().double().softmax(1)
    assert list(damage) == ["0", "4"]
    for name in damage:
        assert list(damage[name]) == [2, 4]
        for bits in (2, 4):
            changed = network().eval()
            changed.get_submodule(name).weight.data = rounded(model, bits)[name]
            found = changed(images).detach().double().softmax(1)
            divergence = (expected * (expected / found).log()).sum(1).mean().item()
            assert damage[name][bits] == pytest.approx(divergence, rel=1e-4)
            assert divergence > 0


def test_uint8_images_are_scaled_as_everywhere():
    model = network()
    images = torch.randint(
        0, 256, (9, 2, 6, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )
    whole, scaled = (
        sensitivity(model, batch, lambda bits: rounded(model, bits), [2])
        for batch in (images, images.float() / 255)
    )
    assert whole == scaled


def test_a_layer_alone_sees_the_float_inputs_on_both_sides():
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(6, 40, generator=generator, dtype=torch.float64)
    inputs = torch.randn(30, 40, generator=generator, dtype=torch.float64)
    other = torch.randn(30, 40, generator=generator, dtype=torch.float64)
    alphabet = Alphabet.from_weights(weight, 3)
    alone = mixed_precision.on_float_inputs(gpfq.solve)
    result = alone(weight, Samples.of(inputs, other), alphabet)
    expected = gpfq.quantize_layer(weight, inputs, inputs, alphabet)
    assert torch.equal(result.codes, expected.codes)
    assert result.error == expected.error
