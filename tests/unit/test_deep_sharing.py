"""Weights that share values: where the search begins, where it ends, and how values learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from laq.checkpoints.deep_container import container
from laq.checkpoints.deep_container.coders import CODERS
from laq.checkpoints.deep_container.sparse_weight import PrunedWeight, SharedWeight
from laq.deep_compression import centroid_finetuning, weight_clustering
from laq.training import finetune
from laq.utils.devices import seed_everything
from tests.configs import SCHEMA
from tests.unit.test_training import CPU, problem

torch.set_num_threads(1)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def bimodal(n: int = 4000) -> torch.Tensor:
    """Kept weights as pruning leaves them: none near 0, few that are large."""
    drawn = torch.randn(n, generator=generator(), dtype=torch.float64) * 0.02
    return (drawn.sign() * (0.02 + drawn.abs())).sort().values


def test_first_centroids_are_those_of_the_paper():
    values = bimodal()
    linear = weight_clustering.linear(values, 16, generator())
    assert linear.tolist() == pytest.approx(
        np.linspace(values[0].item(), values[-1].item(), 16).tolist()
    )
    density = weight_clustering.density(values, 16, generator())
    heights = [(values <= centroid).double().mean().item() for centroid in density]
    assert heights == pytest.approx([(place + 0.5) / 16 for place in range(16)], abs=1e-3)
    forgy = weight_clustering.random(values, 16, generator())
    assert set(forgy.tolist()) < set(values.tolist()) and len(forgy.unique()) == 16
    assert not torch.equal(forgy, weight_clustering.random(values, 16, generator(1)))
    # Few weights are large: of the three linear alone begins with centroids there.
    far = values.abs().quantile(0.98)
    far_out = [int((way.abs() > far).sum()) for way in (linear, density, forgy)]
    assert far_out[0] >= 4 > 1 >= far_out[1] and far_out[0] > far_out[2]


@pytest.mark.parametrize("way", weight_clustering.WAYS)
def test_first_centroids_ascend_whatever_their_number(way):
    values = torch.tensor([-2.0, -1.0, -1.0, 3.0])
    for count in (1, 2, 3):
        found = weight_clustering.WAYS[way](values, count, generator())
        assert found.dtype == torch.float64 and len(found) == count
        assert bool((found.diff() >= 0).all())
        assert -2 <= found.min() <= found.max() <= 3
    assert SCHEMA["$defs"]["deep"]["properties"]["initial"]["enum"] == list(weight_clustering.WAYS)


def as_weight(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A weight (2, n) that keeps ``values`` at every other place, in disorder, and its mask."""
    weight = torch.zeros(2 * len(values))
    weight[::2] = values[torch.randperm(len(values), generator=generator())].float()
    kept = torch.zeros(len(weight), dtype=torch.bool)
    kept[::2] = True
    weight[1::2] = 7.0  # what pruned weights were is no matter
    return weight.view(2, -1), kept.view(2, -1)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(-4, 4, width=32), min_size=2, max_size=60),
    st.sampled_from(list(weight_clustering.WAYS)),
    st.integers(1, 4),
)
def test_iterations_never_end_worse_than_they_began(numbers, way, bits):
    values = torch.tensor(numbers).sort().values
    count = min(2**bits, len(values.unique()))
    begun = weight_clustering.WAYS[way](values, count, generator())
    weight, kept = as_weight(values)
    found = weight_clustering.share(weight, kept, bits, way, generator())
    start = weight_clustering.distortion(values, begun)
    lost = float((found.values.double() - weight[kept].double()).square().sum())
    assert lost <= start * (1 + 1e-5) + 1e-9
    assert len(found.centroids) <= 2**bits
    assert found.codes.unique().tolist() == list(range(len(found.centroids)))
    assert bool((found.centroids.diff() > 0).all())
    # Each weight has the nearest centroid.
    away = (weight[kept][:, None] - found.centroids).abs()
    assert torch.equal((found.values - weight[kept]).abs(), away.min(1).values)


def test_pruned_weights_are_no_part_of_the_codebook():
    weight, kept = as_weight(bimodal(500))
    found = weight_clustering.share(weight, kept, 3, "linear", generator(), 5)
    assert found.index_bits == 5 and found.shape == weight.shape
    dense = found.weight()
    assert torch.equal(dense != 0, kept) and len(dense.unique()) == len(found.centroids) + 1
    assert 6 <= len(found.centroids) <= 8  # of linear ones some begin where no weight is
    other = weight.clone()
    other[~kept] = 0.001
    again = weight_clustering.share(other, kept, 3, "linear", generator())
    assert torch.equal(again.centroids, found.centroids)


@pytest.mark.parametrize("bits", weight_clustering.BITS)
def test_codebooks_of_2_to_256_values_come_back_from_their_bytes(bits):
    weight = torch.randn(40, 100, generator=generator())
    for index_bits in (None, 4, 5, 8):
        made = weight_clustering.share(
            weight, weight.abs() > 1, bits, "density", generator(), index_bits
        )
        assert len(made.centroids) == 2**bits
        for coder in CODERS:
            read = container.decode(container.encode({}, {}, {"w": made}, coder)).weights["w"]
            assert torch.equal(read.weight(), made.weight())
            assert len(read.weight().unique()) == 2**bits + 1


@pytest.mark.parametrize("way", weight_clustering.WAYS)
@pytest.mark.parametrize("value", [0.0, 1e-44])
def test_a_layer_of_zeros_is_shared_and_comes_back(way, value):
    weight = torch.full((4, 5), value)
    for kept in (torch.ones_like(weight) > 0, torch.rand(4, 5, generator=generator()) < 0.3):
        for chosen in (kept, kept & False):
            made = weight_clustering.share(weight, chosen, 3, way, generator())
            pruned = PrunedWeight.of(weight, chosen)
            for coder in CODERS:
                content = container.encode({}, {}, {"shared": made, "pruned": pruned}, coder)
                read = container.decode(content).weights
                assert torch.equal(read["shared"].weight(), made.weight())
                assert torch.equal(read["pruned"].weight(), weight * chosen)
            assert (made.weight() - weight * chosen).abs().max() < 1e-40


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 2))


def clustered(model: nn.Module) -> dict[str, SharedWeight]:
    """Its layers' weights, half of them pruned, with 4 values each; the network is prepared."""
    weights = {}
    for name in ("1", "3"):
        weight = model.get_submodule(name).weight.detach()
        kept = weight.abs() >= weight.abs().median()
        weights[name] = weight_clustering.share(weight, kept, 2, "linear", generator())
    centroid_finetuning.of(weights).prepare(model)
    centroid_finetuning.load(model, weights)
    return weights


def test_the_gradient_of_a_centroid_is_the_sum_of_those_of_its_weights():
    plain, model = network(), network()
    weights = clustered(model)
    with torch.no_grad():
        for name, weight in weights.items():
            plain.get_submodule(name).weight.copy_(weight.weight())
    images, labels = problem(20)
    for each in (plain, model):
        nn.functional.cross_entropy(each(images.float() / 255), labels).backward()
    for name, weight in weights.items():
        gradients = plain.get_submodule(name).weight.grad.reshape(-1)
        expected = torch.zeros(len(weight.centroids))
        for position, code in zip(weight.positions.tolist(), weight.codes.tolist(), strict=True):
            expected[code] += gradients[position]
        found = model.get_submodule(name).parametrizations.weight[0].values.grad
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)
        assert torch.equal(model.get_submodule(name).bias.grad, plain.get_submodule(name).bias.grad)


def test_centroids_learn_and_codes_stay():
    model = network()
    weights = clustered(model)
    train = {"epochs": 2, "batch_size": 10, "learning_rate": 0.01, "weight_decay": 0.5}
    constraint = centroid_finetuning.of(weights)
    finetune(model, problem(40), problem(8), train, seed_everything(0), CPU, constraint=constraint)
    found = centroid_finetuning.detach(model, weights)
    assert model.state_dict().keys() == network().state_dict().keys()
    for name, weight in weights.items():
        assert torch.equal(found[name].codes, weight.codes)
        assert torch.equal(found[name].positions, weight.positions)
        assert not torch.equal(found[name].centroids, weight.centroids)
        assert torch.equal(model.get_submodule(name).weight, found[name].weight())
