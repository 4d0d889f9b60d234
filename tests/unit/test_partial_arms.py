"""Arms of partial training: which layers, which images, and what is told of each tensor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from laq.checkpoints import lineage, packing
from laq.config import partial_jobs
from laq.data import Dataset
from laq.experiments.partial import arms, selection
from laq.experiments.partial.arms import planned
from laq.experiments.partial.runner import PartialResults, PartialRunner
from laq.experiments.partial.selection import Layers
from laq.experiments.trial_cache import Kept
from laq.models import networks
from laq.qat import grid
from laq.qat.lsq import LearnedStep
from laq.utils.errors import ConfigError
from tests.configs import checked, edited

torch.set_num_threads(1)

SPEC = {"name": "small_resnet", "classes": 4, "channels": 1, "widths": [6, 12]}
NAMES = ("stem.0", "stages.0.conv1", "stages.0.conv2", "stages.1.conv1", "stages.1.conv2")
NAMES += ("stages.1.shortcut.0", "head")


def layers(count: int, weights: list[int] | None = None) -> Layers:
    names = [f"layer{place}" for place in range(count)]
    sizes = dict(zip(names, weights or [1] * count, strict=True))
    return Layers(sizes, {name: (name,) for name in names}, {})


# Selection


@given(count=st.integers(1, 60), asked=st.integers(1, 70))
def test_numbers_of_layers_are_even_and_end_with_all(count: int, asked: int) -> None:
    found = selection.counts(count, asked)
    assert found == sorted(set(found)) and found[0] >= 1 and found[-1] == count
    assert len(found) == min(asked, count)
    apart = np.diff([0, *found])
    assert apart.max() - apart.min() <= 1 or count <= asked


@given(count=st.integers(2, 40), data=st.data())
def test_layers_of_a_position_are_consecutive_and_where_it_says(count: int, data: Any) -> None:
    own, k = layers(count), data.draw(st.integers(1, count - 1))
    found = {p: selection.choices(own, p, [k])[0] for p in selection.ENDS}
    for choice in found.values():
        start = own.names.index(choice.names[0])
        assert choice.names == own.names[start : start + k] and choice.k == k
    assert found["first"].names == own.names[:k] and found["last"].names == own.names[-k:]
    before = own.names.index(found["middle"].names[0])
    assert 0 <= (count - before - k) - before <= 1
    # More layers hold fewer: curves against k are of growing sets.
    for position, choice in found.items():
        (more, *_), *_ = [selection.choices(own, position, [k + 1])] if k + 1 < count else [[None]]
        assert more is None or position == "middle" or {*choice.names} < {*more.names}


@given(weights=st.lists(st.integers(1, 1000), min_size=1, max_size=30))
def test_shares_of_single_layers_sum_to_the_whole_network_s(weights: list[int]) -> None:
    own = layers(len(weights), weights)
    single = selection.choices(own, "single")
    assert [choice.k for choice in single] == list(range(1, len(weights) + 1))
    assert sum(own.share(choice.names) for choice in single) == pytest.approx(1)
    (whole,) = selection.choices(own, "whole")
    assert whole.names == own.names and own.share(whole.names) == 1


def test_all_layers_are_one_arm_whatever_the_position() -> None:
    for asked in ("all", 5, [5], [2, 5]):
        assert all(choice.k < 5 for choice in selection.choices(layers(5), "last", asked))
    assert [choice.k for choice in selection.choices(layers(5), "first", "all")] == [1, 2, 3, 4]
    with pytest.raises(ConfigError, match="has 5 layers that can be quantized, not 6"):
        selection.choices(layers(5), "last", [2, 6])


def test_layers_that_share_a_weight_are_chosen_together() -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Flatten(), *(torch.nn.Linear(16, 16) for _ in range(3)), torch.nn.Linear(16, 2)
    )
    network[2].weight = network[1].weight
    images = torch.zeros(1, 1, 4, 4, dtype=torch.uint8)
    own = selection.layers_of(network, images)
    assert own.names == ("1", "3", "4") and own.with_sharing(["1", "4"]) == ["1", "2", "4"]
    assert own.share(own.names) == 1 and own.share(["4"]) == 32 / (2 * 256 + 32)


# Images


@given(
    sizes=st.lists(st.integers(1, 20), min_size=2, max_size=5),
    count=st.integers(1, 120),
    seed=st.integers(0, 9),
)
def test_a_budget_is_spent_evenly(sizes: list[int], count: int, seed: int) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    images = np.arange(len(labels), dtype=np.uint8).reshape(-1, 1, 1, 1)
    found = arms.drawn(Dataset(images, labels, tuple("abcde"[: len(sizes)])), count, seed)
    assert len(found.labels) == count
    times = np.bincount(found.images.ravel(), minlength=len(labels))
    assert times.max() - times.min() <= 1
    assert (labels[found.images.ravel()] == found.labels).all()
    drawn = np.bincount(labels, weights=times - times.min(), minlength=len(sizes))
    full = drawn >= np.array(sizes)
    assert full.all() or drawn.max() - drawn[~full].min() <= 1


# Arms of a network


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    network = networks.create(**SPEC)
    network.train()(torch.rand(32, 1, 8, 8))  # statistics that are not those of a new network
    path = tmp_path_factory.mktemp("parent") / "original.safetensors"
    description = {"network": SPEC, "classes": [*"abcd"], "variant": "original", "parent": None}
    packing.save(path, network.state_dict(), {**description, "steps": [], "seed": 0})
    return path


def settings(name: str, **changes: Any) -> dict[str, Any]:
    """A job's, of a small section."""
    section = {"repeats": 2, "images": 24, "k": [2], "bits": [3], "training": {"batch_size": 8}}
    section["compared"] = {"gpfq": {"compress": {"bits": 3, "images": 16}}}
    partial = checked(edited({"partial_qat": {**section, **changes}}))["partial_qat"]
    return partial_jobs.settings(partial, "small", name)


def course(parent: Path, place: Path, own: dict[str, Any], **changes: Any) -> PartialRunner:
    generator = np.random.default_rng(0)
    splits = [
        Dataset(generator.integers(0, 256, (n, 1, 8, 8), np.uint8), np.arange(n) % 4, tuple("abcd"))
        for n in (40, 20)
    ]
    fields = {
        "network": "small",
        "parent": str(parent),
        "described": lineage.describe(parent),
        "train": splits[0],
        "test": splits[1],
        "subsets": {"two": [1, 3]},
        "images": own["images"],
        "training": own["training"],
        "seed": 0,
        "memory": 2**20,
        "device": torch.device("cpu"),
        "place": place,
        "job": own["position"],
    }
    return PartialRunner(**{**fields, **changes})


def run(parent: Path, place: Path, name: str, subsets: tuple[str, ...] = (), **changes: Any) -> Any:
    own = settings(name, **changes)
    place.mkdir(exist_ok=True)
    whole = course(parent, place, own)
    arms = list(planned(whole.layers, own["position"], own, list(subsets)))
    kept = Kept(place / f"{name}.csv", whole.facts(), whole.arrays)
    return whole, arms, whole.run(arms, kept), kept


def test_the_control_is_the_arm_without_a_quantized_layer(
    parent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An arm whose grids let everything through ends as the control, bit for bit: the same batches,
    steps, statistics and rates. With them it does not."""
    whole, (arm, *_), _, _ = run(parent, tmp_path, "control")
    control, before = whole.make(arm), whole.original.state_dict()
    assert control.packed == {} and not torch.equal(
        control.state["stem.0.weight"], before["stem.0.weight"]
    )
    for name in before:
        if "running" in name or "tracked" in name:
            assert torch.equal(control.state[name], before[name]), name
    one = next(iter(planned(whole.layers, "last", settings("last-3"), [])))
    quantized = whole.make(one)
    assert set(quantized.packed) == {"stages.1.shortcut.0.weight", "head.weight"}
    assert not torch.equal(quantized.state["stem.0.weight"], control.state["stem.0.weight"])
    monkeypatch.setattr(LearnedStep, "forward", lambda self, weight: weight)
    trained: dict[str, torch.Tensor] = {}

    def detach(network: torch.nn.Module, names: Any) -> Any:
        trained.update((n, p.detach().clone()) for n, p in network.named_parameters())
        return real(network, names)

    real = grid.detach
    monkeypatch.setattr(grid, "detach", detach)
    through = whole.make(one)
    for name, expected in control.state.items():
        stem = name.removesuffix(".weight")
        behind = f"{stem}.parametrizations.weight.original"
        found = trained[behind] if name in through.packed else through.state[name]
        assert torch.equal(found, expected), name


def test_what_is_not_chosen_keeps_its_bits_where_layers_are_trained_alone(
    parent: Path, tmp_path: Path
) -> None:
    whole, (arm, *_), found, _ = run(parent, tmp_path, "last_alone-3")
    made, before = whole.make(arm), whole.original.state_dict()
    changed = {name for name in before if not torch.equal(before[name], made.state[name])}
    assert changed == {"stages.1.shortcut.0.weight", "head.weight", "head.bias"}
    row, control = found.rows[0], run(parent, tmp_path, "control")[2].rows[0]
    assert (row["trained"], row["position"]) == ("quantized", "last")
    assert row["update_bytes_float"] < control["update_bytes_float"]
    assert row["step_bytes"] < row["step_bytes_float"] < control["step_bytes_float"]
    assert control["step_bytes"] == control["step_bytes_float"]


def test_every_tensor_is_told_once_and_as_it_is(parent: Path, tmp_path: Path) -> None:
    inputs = {"training": {"batch_size": 8, "activations": {"bits": 5}}}
    whole, (arm, *_), found, _ = run(parent, tmp_path, "middle-3", repeats=1, **inputs)
    made = whole.make(arm)
    told = {row["tensor"]: row for row in found.tensors}
    assert len(told) == len(found.tensors)
    expected = {*made.state, *(f"{name}.input" for name in NAMES)}
    assert set(told) == expected
    chosen = arm.choice.names
    assert chosen == ("stages.0.conv2", "stages.1.conv1")
    quantized = {name for name, row in told.items() if row["quantized"] == "yes"}
    assert quantized == {f"{name}.{part}" for name in chosen for part in ("weight", "input")}
    assert {told[f"{name}.weight"]["tensor_bits"] for name in chosen} == {3}
    assert {told[f"{name}.input"]["tensor_bits"] for name in chosen} == {5}
    assert all(row["reason"] for row in told.values())
    assert told["stem.0.weight"]["reason"] == "not chosen: the middle 2 of 7 layers"
    roles = {row["role"] for row in told.values()}
    assert roles == {"weight", "bias", "input", "norm", "statistic", "grid of an input"}
    assert told["stages.1.bn1.running_mean"]["reason"].endswith("those of the trained network")
    for name in made.state:
        assert told[name]["numbers"] == made.state[name].numel()


def test_arms_are_label_aware_and_tested_on_the_subset(parent: Path, tmp_path: Path) -> None:
    _, arms, found, _ = run(parent, tmp_path, "whole-3", ("two",), repeats=1)
    assert [arm.classes for arm in arms] == ["all", "two"]
    keys = [(r["classes"], r["tested"], r["scope"], r["n"]) for r in found.rows]
    assert keys == [
        ("all", "all", "all", 20),
        *(("all", "two", scope, 10) for scope in ("all", "subset")),
        *(("two", "two", scope, 10) for scope in ("all", "subset")),
    ]


def test_what_is_compared_starts_from_the_control_of_its_seed(parent: Path, tmp_path: Path) -> None:
    whole, arms, found, _ = run(parent, tmp_path, "compared", ("two",))
    assert [(a.repeat, a.classes) for a in arms] == [(1, "all"), (2, "all"), (1, "two"), (2, "two")]
    control = run(parent, tmp_path, "control", ("two",))
    for arm, own in zip(arms, control[1], strict=True):
        expected = control[0].make(own).state
        network, described = whole.control(arm)
        assert all(torch.equal(network.state_dict()[name], expected[name]) for name in expected)
        assert described["variant"] == "float" and described["repeat"] == arm.repeat
    row = found.rows[0]
    assert (row["arm"], row["position"], row["k"], row["bits"]) == ("gpfq", "whole", 7, 3)
    assert row["weights_share"] == 1


def test_a_job_goes_on_with_the_arm_that_was_running(
    parent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = run(parent, tmp_path / "a", "first-3", ("two",))[2]
    real, made = PartialRunner.measure, []

    def measure(self: PartialRunner, arm: Any) -> PartialResults:
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(arm)
        return real(self, arm)

    monkeypatch.setattr(PartialRunner, "measure", measure)
    with pytest.raises(KeyboardInterrupt):
        run(parent, tmp_path / "b", "first-3", ("two",))
    files = list((tmp_path / "b/.first-3.kept").iterdir())
    assert len(files) == 2
    files[0].write_text("{")  # damaged: made anew
    made.clear()
    monkeypatch.setattr(
        PartialRunner, "measure", lambda self, arm: made.append(arm) or real(self, arm)
    )
    _, arms, found, kept = run(parent, tmp_path / "b", "first-3", ("two",))
    assert len(arms) == 4 and len(made) == 3
    assert json.dumps(found.rows) == json.dumps(undisturbed.rows)
    assert json.dumps(found.tensors) == json.dumps(undisturbed.tensors)
    kept.clear()
    assert not kept.folder.exists()


def test_arms_of_other_data_or_settings_are_not_taken(parent: Path, tmp_path: Path) -> None:
    own = settings("last-3")
    whole = course(parent, tmp_path, own)
    table = tmp_path / "last-3.csv"
    facts = whole.facts()
    Kept(table, facts, whole.arrays).keep({"arm": 1}, {"rows": [{"top1": 0.1 + 0.2}]})
    again = Kept(table, facts, whole.arrays)
    assert again.find({"arm": 1}) == {"rows": [{"top1": 0.1 + 0.2}]}
    assert again.find({"arm": 2}) is None
    assert Kept(table, {**facts, "device": "cuda"}, whole.arrays).find({"arm": 1}) is None
    assert Kept(table, facts, [whole.arrays[0] + 1]).find({"arm": 1}) is None


# Jobs


SECTION = {"bits": [4], "named": {"small": {"ends": ["stem", "head"]}}, "whole_bits": [2]}


def jobs_of(**changes: Any) -> dict[str, dict[str, Any]]:
    partial = checked(edited({"partial_qat": {**SECTION, **changes}}))["partial_qat"]
    return {
        name: partial_jobs.settings(partial, "small", name)
        for name in partial_jobs.names(partial, "small")
    }


def test_a_change_concerns_the_jobs_that_it_changes_and_no_other() -> None:
    before = jobs_of()
    positions = ("first", "middle", "last", "single", "last_alone", "whole", "named")
    assert list(before) == ["control", *(f"{each}-4" for each in positions), "whole-2"]

    def new(**changes: Any) -> set[str]:
        after = jobs_of(**changes)
        return {name for name in after if after[name] != before.get(name)}

    assert new(bits=[4, 8]) == {f"{each}-8" for each in positions}
    assert new(bits=[2, 4]) == {f"{each}-2" for each in positions if each != "whole"}
    assert new(alone=["first", "last"]) == {"first_alone-4"}
    assert new(k=3) == {"first-4", "middle-4", "last-4", "last_alone-4"}
    assert new(named={"small": {"ends": ["head"]}}) == {"named-4"}
    assert new(compared={"gpfq": {"compress": {"bits": 4}}}) == {"compared"}
    assert new(repeats=2) == set(before) == new(training={"epochs": 2})
    assert new(training={"momentum": 0.5}) == set()  # of an optimizer that is not in use


# Tables
