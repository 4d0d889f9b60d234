"""Which images calibrate, and a variant's settings as they reach the quantizer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from laq.config.methods import ALPHABETS, METHODS
from laq.config.recipes import compression_effect
from laq.config.schema import complete
from laq.experiments.compression import compress
from laq.models.small_resnet import SmallResNet
from laq.ptq import gpfq, mixed_precision
from laq.ptq.calibration import calibration_pool
from laq.ptq.layer import QuantizedLayer, Samples
from laq.ptq.patches import Sampling
from laq.ptq.sequential import layers_in_order, quantize_network
from laq.quantizers.uniform import Alphabet
from tests.configs import BASE, SCHEMA

torch.set_num_threads(1)

LABELS = np.arange(120) % 10
SETTINGS = complete(yaml.safe_load(BASE), SCHEMA)["variants"]["quant"]["compress"] | {
    "patches": "all"
}


def chosen(
    classes: str, count: int | str, subset=(2, 5, 7), seed: int = 0, batch="shared"
) -> np.ndarray:
    taken = {"all": None, "subset": list(subset), "other": [0, 1]}[classes]
    settings = {"images": count, "batch": batch}
    return calibration_pool(LABELS, taken, list(subset), settings, seed)[0]


@settings(deadline=None)
@given(
    subset=st.sets(st.integers(0, 9), min_size=1, max_size=10),
    count=st.integers(1, 150),
    classes=st.sampled_from(["subset", "all"]),
    seed=st.integers(0, 2**31),
)
def test_so_many_distinct_images_of_the_right_classes_in_order(subset, count, classes, seed):
    indices = chosen(classes, count, subset, seed)
    eligible = {i for i in range(120) if classes == "all" or LABELS[i] in subset}
    assert set(indices) <= eligible
    assert len(set(indices)) == len(indices) == min(count, 12 * len(subset))
    assert (np.diff(indices) > 0).all()
    again = chosen(classes, count, sorted(subset, reverse=True), seed)
    assert np.array_equal(indices, again)


def test_all_classes_at_the_same_count_come_from_outside_the_subset_too():
    inside, everywhere = chosen("subset", 30), chosen("all", 30)
    assert len(inside) == len(everywhere) == 30
    assert set(LABELS[inside]) == {2, 5, 7}
    assert set(LABELS[everywhere]) > {2, 5, 7}


@pytest.mark.parametrize("classes", ["subset", "all"])
def test_subsets_and_seeds_do_not_share_a_batch(classes):
    def places(subset: tuple[int, ...], seed: int) -> tuple[int, ...]:
        """Where the drawn images stand in the list they are drawn from."""
        eligible = np.flatnonzero(np.isin(LABELS, subset) | (classes == "all"))
        return tuple(np.searchsorted(eligible, chosen(classes, 20, subset, seed)))

    assert len({places((2, 5, 7), 0), places((2, 5, 7), 1), places((2, 5, 8), 0)}) == 3


def test_all_images_where_there_are_fewer_and_never_more_than_the_subset_has():
    assert chosen("subset", 36).tolist() == [i for i in range(120) if i % 10 in (2, 5, 7)]
    assert len(chosen("all", 500)) == len(chosen("all", "all")) == 36
    assert len(chosen("other", 500)) == 24


def compressed(
    noise: int = 1, generator: torch.Generator | None = None, batch: int | None = None, **changes
):
    torch.manual_seed(0)
    network = SmallResNet(4, widths=(3, 4))
    generator = generator or torch.Generator().manual_seed(0)
    images = torch.randint(256, (6, 3, 8, 8), dtype=torch.uint8)
    drawn = torch.Generator().manual_seed(noise)
    return compress(network, images, SETTINGS | changes, generator, drawn, batch)


def test_settings_reach_the_quantizer():
    plain = compressed()
    assert {(row.bits, row.levels, row.reason) for row in plain.layers} == {(4, 15, "")}
    assert plain.bits == 4
    assert compressed(alphabet="paper").layers[0].levels == 17
    assert compressed(bits=2).layers[0].levels == 3
    assert compressed(scale=2.32).layers[0].step == pytest.approx(2 * plain.layers[0].step)
    assert compressed(quantile=0.5).layers[0].step < plain.layers[0].step
    (run,) = compressed(granularity="per_channel").packed["head.weight"]
    assert run.grid.step.shape == (4, 1)
    drawn = compressed(patches="published", fraction=0.5)
    assert plain.layers[0].samples == 6 * 64
    assert drawn.layers[0].samples == 6 * 5  # of 3×3 patches of each padded 8×8 image
    fresh = compressed(batch=2)
    assert fresh.layers[0].samples == 2 * 64
    assert compressed(fold_batchnorm=True).layers[0].step != plain.layers[0].step


@pytest.mark.parametrize("method", METHODS)
def test_every_method_quantizes_every_layer(method):
    result = compressed(method=method)
    assert {row.reason for row in result.layers} == {""}
    assert all(0 < row.error < 1 for row in result.layers)
    for name, runs in result.packed.items():
        values = torch.cat([run.values for run in runs])
        assert torch.equal(result.network.state_dict()[name], values)


@pytest.mark.parametrize(
    ("alphabet", "granularity"),
    [(name, kind) for name, known in ALPHABETS.items() for kind in known.granularities],
)
def test_every_alphabet_takes_what_the_effect_of_a_recipe_leaves(alphabet, granularity):
    known = ALPHABETS[alphabet]
    method = "gptq" if known.equispaced else "rtn"
    changes = {"method": method, "alphabet": alphabet, "granularity": granularity, "group": 3}
    bits = min(4, known.bits[-1])
    settings = compression_effect(SETTINGS | changes | {"bits": bits})
    torch.manual_seed(0)
    network, images = SmallResNet(4, widths=(3, 4)), torch.rand(6, 3, 8, 8)
    result = compress(network, images, settings, *(torch.Generator() for _ in "ab"))
    for row in result.layers:
        assert (row.reason, row.bits) == ("", bits) and row.levels <= 2**bits + 1
        (run,) = result.packed[f"{row.layer}.weight"]
        assert row.bytes == run.nbytes and run.grid.scheme == alphabet
    described = result.network.state_dict()
    assert all(torch.equal(described[name], run.values) for name, (run,) in result.packed.items())


@pytest.mark.parametrize("method", ["gpfq", "gptq", "qronos", "rtn"])
def test_sweeps_lower_the_error_of_every_layer_given_its_inputs(method):
    plain = compressed(method=method, ridge=0.0).layers[0].error
    errors = [compressed(method=method, ridge=0.0, sweeps=n).layers[0].error for n in (1, 4)]
    assert plain > errors[0] >= errors[1]
    held = compressed(method=method, ridge=1000.0, sweeps=1)
    assert held.layers[0].error > errors[0]


@pytest.mark.parametrize("method", ["gpfq", "sgpfq"])
def test_a_ridge_holds_codes_to_their_weights(method):
    def distance(ridge: float) -> float:
        result = compressed(method=method, ridge=ridge)
        weights = result.network.state_dict()
        torch.manual_seed(0)
        network = SmallResNet(4, widths=(3, 4)).state_dict()
        return sum(float((weights[name] - network[name]).square().sum()) for name in result.packed)

    assert distance(1000.0) < distance(1.0) < distance(0.0)


@pytest.mark.parametrize(
    ("alphabet", "ridge", "granularity"),
    [("packed", 1, "per_channel"), ("symmetric", 1, "per_channel"), ("paper", 0, "per_tensor")],
)
def test_defaults_are_published_where_the_alphabet_is(alphabet, ridge, granularity):
    config = yaml.safe_load(BASE)
    config["variants"]["quant"]["compress"] = {"bits": 4, "alphabet": alphabet}
    found = complete(config, SCHEMA)["variants"]["quant"]["compress"]
    assert (found["ridge"], found["granularity"]) == (ridge, granularity)


def test_a_list_of_bits_is_laid_over_equal_shares_in_forward_order():
    result = compressed(bits=[5, 3])
    weights = sum(row.weights for row in result.layers)
    bits = [row.bits for row in result.layers]
    assert (bits[0], bits[-1]) == (5, 3)
    assert result.bits == pytest.approx(4, abs=0.1)
    mean = sum(row.bits * row.weights for row in result.layers) / weights
    assert result.bits == pytest.approx(mean)
    split = [row for row in result.layers if row.split]
    assert len(split) <= 1
    with_float = compressed(bits=[5, 3], skip_layers=["stem.0"])
    assert with_float.bits == pytest.approx(4, abs=0.1)


def test_a_budget_is_spent_on_the_widths_given():
    result = compressed(bits=4, widths=[2, 3, 4, 6])
    assert {int(part) for row in result.layers for part in bits_of(row)} <= {2, 3, 4, 6}
    assert 3.5 < result.bits <= 4


def bits_of(row) -> list[float]:
    return [run.split(":")[0] for run in row.split.split()] or [row.bits]


def test_a_split_layer_keeps_each_filters_own_step():
    result = compressed(bits=[5, 3], granularity="per_channel")
    (split,) = [row for row in result.layers if row.split]
    first, second = result.packed[f"{split.layer}.weight"]
    torch.manual_seed(0)
    weight = SmallResNet(4, widths=(3, 4)).get_submodule(split.layer).weight.detach().flatten(1)
    for bits, run, rows in zip(
        (5, 3), (first, second), weight.split([len(first.codes), len(second.codes)]), strict=True
    ):
        torch.testing.assert_close(
            run.grid.step, Alphabet.from_weights(rows, bits, "packed", per_channel=True).step
        )
    whole = compressed(bits=[5, 3], granularity="per_tensor")
    steps = [run.grid.step for run in whole.packed[f"{split.layer}.weight"]]
    expected = [Alphabet.from_weights(weight, bits, "packed").step for bits in (5, 3)]
    torch.testing.assert_close(torch.stack(steps), torch.stack(expected))


def test_rounding_at_random_draws_from_its_own_generator():
    def codes(noise: int, method: str = "sgpfq") -> Tensor:
        return compressed(patches="published", noise=noise, method=method)

    one, two, nearest = codes(1), codes(2), codes(1, "gpfq")
    differ = [
        not torch.equal(one.packed[name][0].codes, two.packed[name][0].codes) for name in one.packed
    ]
    assert any(differ)
    # The first layer's reference is the float network's output on the patches drawn.
    assert one.layers[0].silent == two.layers[0].silent == nearest.layers[0].silent
    patches = [torch.Generator().manual_seed(0) for _ in range(2)]
    for generator, method in zip(patches, ("gpfq", "sgpfq"), strict=True):
        compressed(patches="published", method=method, generator=generator)
    assert torch.equal(patches[0].get_state(), patches[1].get_state())


def test_a_budget_is_allocated_by_damages_on_float_inputs():
    torch.manual_seed(0)
    network = SmallResNet(4, widths=(3, 4)).eval()
    images = torch.randint(256, (6, 3, 8, 8), dtype=torch.uint8)
    sizes = [
        mixed_precision.LayerSize.of(name, layer)
        for name, layer in layers_in_order(network, images, {}).items()
    ]

    def quantize(bits: int) -> dict[str, Tensor]:
        def alone(weight: Tensor, samples: Samples, alphabet: Alphabet) -> QuantizedLayer:
            inputs, _ = samples.gather()
            return gpfq.quantize_layer(weight, inputs, inputs, alphabet, ridge=SETTINGS["ridge"])

        result = quantize_network(
            network,
            images,
            solver=alone,
            alphabets=lambda _, w: [
                (len(w), Alphabet.from_weights(w, bits, "packed", per_channel=True))
            ],
            sampling=Sampling("all"),
        )
        return {size.name: result.network.get_submodule(size.name).weight for size in sizes}

    damage = mixed_precision.sensitivity(network, images, quantize, [2, 4, 6])
    expected = mixed_precision.allocate(damage, sizes, 4)
    result = compressed(bits=4, widths=[6, 2, 4])
    found = {row.layer: runs_of(row) for row in result.layers}
    assert found == expected


def runs_of(row) -> tuple[tuple[int, int], ...]:
    rows = int(row.shape.split("x")[0])
    runs = [run.split(":") for run in row.split.split()] or [(row.bits, rows)]
    return tuple((int(rows), int(bits)) for bits, rows in runs)


@pytest.mark.parametrize("method", ["gpfq", "sgpfq"])
def test_the_same_generators_give_the_same_codes(method):
    first, second = (compressed(patches="published", method=method) for _ in range(2))
    for name, runs in first.packed.items():
        for run, other in zip(runs, second.packed[name], strict=True):
            assert torch.equal(run.codes, other.codes)
    assert first.layers == second.layers


@pytest.mark.parametrize("alphabet", ALPHABETS)
def test_a_job_needs_no_setting_that_makes_no_difference(alphabet):
    bits = ALPHABETS[alphabet].bits[0]
    whole = SETTINGS | {
        "method": "rtn",
        "alphabet": alphabet,
        "bits": bits,
        "granularity": "per_tensor",
    }
    used = compression_effect(whole)
    assert len(used) < len(whole)
    torch.manual_seed(0)
    network = SmallResNet(4, widths=(3,))
    images = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    first, second = (
        compress(network, images, settings, torch.Generator(), torch.Generator()).packed
        for settings in (whole, used)
    )
    assert all(
        torch.equal(run.codes, other.codes)
        for name in first
        for run, other in zip(first[name], second[name], strict=True)
    )
