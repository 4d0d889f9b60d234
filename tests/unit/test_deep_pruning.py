"""Which weights stay, what layers lose by it, and training that keeps the others at zero."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from laq.deep_compression import masks as masked
from laq.deep_compression import sensitivity
from laq.deep_compression.masks import Masked
from laq.deep_compression.sensitivity import SensitivityPoint
from laq.training import finetune
from laq.utils.devices import seed_everything
from tests.unit.test_training import CPU, problem

torch.set_num_threads(1)


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 2)).eval()


# Few values, so that magnitudes are often equal.
WEIGHTS = arrays.arrays(
    np.float32, st.tuples(st.integers(1, 6), st.integers(1, 9)), elements=st.integers(-4, 4)
)


@settings(max_examples=60, deadline=None)
@given(WEIGHTS, st.floats(0, 1))
def test_exactly_the_share_is_kept_and_of_equals_the_first(weight, share):
    number = masked.count(share, weight.size)
    assert 1 <= number <= weight.size and (number == 1 or abs(number - share * weight.size) <= 0.5)
    mask = masked.largest(torch.from_numpy(weight), number).numpy()
    order = np.argsort(-np.abs(weight).reshape(-1), kind="stable")
    expected = np.zeros(weight.size, dtype=bool)
    expected[order[:number]] = True
    assert np.array_equal(mask.reshape(-1), expected)


def test_the_deviation_of_a_layer_is_its_threshold():
    weight = torch.randn(400, 50, generator=torch.Generator().manual_seed(0)) * 0.3
    values = weight.numpy().astype(np.float64)
    for quality in (0.5, 1.5, 2.5):
        kept = np.mean(np.abs(values) >= quality * values.std())
        assert masked.beyond(weight, quality) == pytest.approx(kept, abs=1e-12)
        normal = math.erfc(quality / math.sqrt(2))  # of a Gaussian layer
        assert kept == pytest.approx(normal, abs=0.01)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_what_is_pruned_stays_zero_and_what_is_left_learns(optimizer):
    model, constraint = network(), Masked(("1", "3"))
    constraint.prepare(model)
    # Momentum gathered before, which would move weights on without a gradient.
    train = {"epochs": 3, "batch_size": 10, "optimizer": optimizer, "learning_rate": 0.05}
    finetune(model, problem(40), problem(8), train, seed_everything(0), CPU, constraint=constraint)
    masked.prune(model, {"1": 70, "3": 5})
    start = {name: model.get_submodule(name).weight.detach().clone() for name in ("1", "3")}
    finetune(model, problem(40), problem(8), train, seed_everything(1), CPU, constraint=constraint)
    assert masked.kept(model, ("1", "3")) == {"1": 70, "3": 5}
    masks = masked.detach(model, ("1", "3"))
    for name, before in start.items():
        weight = model.get_submodule(name).weight
        assert isinstance(weight, nn.Parameter)
        assert torch.equal(weight != 0, before != 0)
        assert torch.equal(masks[name], before != 0)
        assert not torch.equal(weight, before)
    assert model.state_dict().keys() == network().state_dict().keys()


def test_a_weight_that_went_does_not_come_back():
    model = network()
    Masked(("1",)).prepare(model)
    masked.prune(model, {"1": 100})
    first = model[1].weight != 0
    with torch.no_grad():  # what a process would have after a fault
        model[1].parametrizations.weight.original.fill_(9.0)
    masked.prune(model, {"1": 60})
    second = model[1].weight != 0
    assert int(second.sum()) == 60 and not bool((second & ~first).any())


def test_layers_that_share_a_weight_are_pruned_as_one():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(6, 6), nn.Linear(6, 6)
            self.b.weight = self.a.weight

        def forward(self, x: Tensor) -> Tensor:
            return self.b(self.a(x))

    model = Twice()
    Masked(("a",)).prepare(model)
    masked.prune(model, {"a": 7})
    assert torch.equal(model.a.weight, model.b.weight) and int((model.b.weight != 0).sum()) == 7
    masked.detach(model, ("a",))
    assert model.a.weight is model.b.weight and int((model.a.weight != 0).sum()) == 7


def test_a_layer_is_measured_as_if_it_were_pruned_alone():
    model, (images, labels) = network(), problem(50)
    Masked(("1", "3")).prepare(model)
    masked.prune(model, {"1": 400, "3": 20})
    before = copy.deepcopy(model.state_dict())
    points = sensitivity.sensitivity(model, images, labels, {"1": 400, "3": 20}, (1.0, 0.5, 0.1))
    assert [(p.layer, p.kept, p.weights) for p in points] == [
        *(("1", kept, 768) for kept in (400, 200, 40)),
        *(("3", kept, 24) for kept in (20, 10, 2)),
    ]
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())
    for point in points:
        pruned = copy.deepcopy(model)
        masked.prune(pruned, {point.layer: point.kept})
        with torch.no_grad():
            logits = pruned(images.float() / 255)
        assert point.loss == pytest.approx(float(cross_entropy(logits, labels)), rel=1e-5)
        assert point.top1 == pytest.approx(float((logits.argmax(1) == labels).double().mean()))
        assert point.share == point.kept / point.weights


def points(**losses: dict[int, float]) -> list[SensitivityPoint]:
    return [
        SensitivityPoint(layer, max(own), kept, kept / max(own), loss, 0.0)
        for layer, own in losses.items()
        for kept, loss in own.items()
    ]


def test_weights_are_spent_where_they_save_the_most():
    found = points(a={100: 0.0, 50: 0.1, 10: 3.0}, b={1000: 0.0, 500: 0.5, 100: 0.9})
    # Per weight: a from 10 saves 0.0725, then 0.002; b from 100 saves 0.001.
    assert sensitivity.spend(found, 150) == {"a": 50, "b": 100}
    assert sensitivity.spend(found, 130) == {"a": 30, "b": 100}
    assert sensitivity.spend(found, 700) == {"a": 100, "b": 600}
    assert sensitivity.spend(found, 1100) == {"a": 100, "b": 1000}
    assert sensitivity.spend(found, 5) == {"a": 10, "b": 100}


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.dictionaries(st.integers(1, 60), st.floats(0, 5), min_size=1, max_size=5),
        min_size=1,
        max_size=4,
    ),
    st.floats(0, 1),
)
def test_all_that_may_be_kept_is_kept(losses, share):
    found = points(**{f"l{place}": own for place, own in enumerate(losses)})
    least, most = (sum(f(own) for own in losses) for f in (min, max))
    weights = round(least + share * (most - least))
    kept = sensitivity.spend(found, weights)
    assert sum(kept.values()) == weights
    for place, own in enumerate(losses):
        assert min(own) <= kept[f"l{place}"] <= max(own)
