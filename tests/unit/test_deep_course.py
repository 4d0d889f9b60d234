"""Deep Compression of whole networks: stage by stage, to files, and after kills."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from laq import training
from laq.checkpoints import packing
from laq.checkpoints.deep_container import file
from laq.config.recipes import deep_effect
from laq.deep_compression import pipeline, stages
from laq.experiments.deep import measured
from laq.models.networks import predict
from laq.training import resume
from laq.utils.devices import seed_everything
from laq.utils.errors import ConfigError
from tests.configs import SCHEMA
from tests.unit.test_qat_training import SPEC, SPLITS, trained
from tests.unit.test_training import CPU
from tests.unit.test_training_resume import Killed

torch.set_num_threads(1)

SHORT = {"rounds": 2, "epochs": 2, "tuning_epochs": 2, "batch_size": 64, "learning_rate": 0.01}


def settings(**changes) -> dict:
    """A variant's ``deep`` entry as the workflow hands it over, but for short."""
    keys = SCHEMA["$defs"]["deep"]["properties"]
    defaults = {key: of["default"] for key, of in keys.items()}
    return deep_effect({**defaults, **SHORT, "density": 0.2, "bits_conv": 4, **changes})


def compressed(state: Path | None = None, seed: int = 1, **changes) -> pipeline.Pipeline:
    network = copy.deepcopy(trained())
    generator = seed_everything(seed)
    return pipeline.compress(network, *SPLITS, settings(**changes), generator, CPU, state, SPEC)


@pytest.fixture(scope="module")
def done() -> pipeline.Pipeline:
    return compressed()


def top1(state: dict) -> float:
    network = copy.deepcopy(trained())
    network.load_state_dict(state)
    return float((predict(network, SPLITS[1][0], CPU).argmax(1) == SPLITS[1][1]).double().mean())


def test_every_stage_is_what_it_says(done):
    names = [f"{name}.weight" for name in done.met]
    weights = sum(trained().state_dict()[name].numel() for name in names)
    assert list(done.weights) == list(done.clusters) == list(done.shared) == names
    kept = sum(len(weight.positions) for weight in done.shared.values())
    assert kept == round(0.2 * weights)
    final = done.network.state_dict()
    for name in names:
        pruned, cluster, shared = done.weights[name], done.clusters[name], done.shared[name]
        assert torch.equal(done.pruned[name], pruned.weight())
        assert torch.equal(done.clustered[name], cluster.weight())
        assert torch.equal(final[name], shared.weight())
        assert torch.equal(pruned.positions, shared.positions)
        assert torch.equal(cluster.codes, shared.codes)
        assert len(shared.centroids) <= 2 ** (5 if name == "head.weight" else 4)
        assert not torch.equal(cluster.centroids, shared.centroids)
    apart = final.keys() - set(names)
    assert apart and all(torch.equal(done.pruned[n], done.clustered[n]) for n in apart)
    assert not all(torch.equal(done.pruned[n], final[n]) for n in apart), "biases learn on"


def test_the_history_says_what_each_stage_scores(done):
    rows = [(row["stage"], row["epoch"]) for row in done.history]
    assert rows == [
        *(("round 1", 1), ("round 2", 1), ("round 2", 2)),
        *(("shared", 0), ("centroids", 1), ("centroids", 2)),
    ]
    reached = {row["stage"]: row["test_top1"] for row in done.history}
    assert reached["round 2"] == top1(done.pruned)
    assert reached["shared"] == top1(done.clustered)
    assert reached["centroids"] == top1(done.network.state_dict())
    rates = {row["stage"]: row["learning_rate"] for row in done.history}
    assert rates["round 1"] == 0.01 and rates["round 2"] < 1e-3 and rates["centroids"] < 1e-4


def test_each_round_says_what_layers_lost_and_kept(done):
    shares = {1: 0.2**0.5, 2: 0.2}
    for number, share in shares.items():
        rows = [row for row in done.rounds if row["round"] == number]
        chosen = {row["layer"]: row["chosen"] for row in rows}
        weights = {row["layer"]: row["weights"] for row in rows}
        assert list(chosen) == list(done.met)
        assert sum(chosen.values()) == round(share * sum(weights.values()))
        for row in rows:
            assert row["share"] == row["kept"] / row["weights"]
            assert min(r["kept"] for r in rows if r["layer"] == row["layer"]) <= row["chosen"]
        if number == 2:
            before = {r["layer"]: r["chosen"] for r in done.rounds if r["round"] == 1}
            assert max(r["kept"] / before[r["layer"]] for r in rows) == 1
    last = {f"{layer}.weight": kept for layer, kept in chosen.items()}
    assert last == {name: len(weight.positions) for name, weight in done.shared.items()}


def test_shares_by_hand_and_by_deviation_are_kept_to():
    ratios = {"stem.0": 0.5, "head": 0.25}
    short = {"epochs": 1, "tuning_epochs": 0, "skip_layers": ["stages.1.conv2"]}
    made = compressed(pruning="ratios", ratios=ratios, **short)
    assert "stages.1.conv2.weight" not in made.shared
    assert made.reasons == {"stages.1.conv2": "kept in float by the config"}
    for name, weight in made.shared.items():
        size = trained().state_dict()[name].numel()
        assert len(weight.positions) == round(ratios.get(name.removesuffix(".weight"), 1) * size)
    assert [row["stage"] for row in made.history] == ["round 1", "round 2", "shared"]
    for name, tensor in made.clustered.items():
        assert torch.equal(made.network.state_dict()[name], tensor)
    alone = compressed(pruning="deviation", quality=1.0, rounds=1, **short)
    for name, weight in alone.shared.items():
        values = trained().state_dict()[name].double()
        beyond = values.abs() >= values.std(correction=0)
        # One round prunes the network as it came, so that the very weights are known.
        assert weight.positions.tolist() == beyond.reshape(-1).nonzero().squeeze(1).tolist()


BAD = {
    "a layer to keep that is none": (
        {"skip_layers": ["stem"]},
        r"called stem \(deep.skip_layers\); there are: s",
    ),
    "a share of no layer": (
        {"pruning": "ratios", "ratios": {"fc": 0.1}},
        r"called fc \(deep.ratios\)",
    ),
}


@pytest.mark.parametrize(("changes", "message"), BAD.values(), ids=BAD)
def test_layers_that_there_are_not_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        compressed(**changes)


def written(done: pipeline.Pipeline, path: Path) -> bytes:
    file.save(path, done.network.state_dict(), {"network": SPEC}, done.shared)
    return path.read_bytes()


def test_the_file_is_the_network_that_was_trained(tmp_path, done):
    path = tmp_path / "deep.safetensors"
    written(done, path)
    logits = predict(packing.load(path), SPLITS[1][0], CPU)
    assert torch.equal(logits, predict(done.network, SPLITS[1][0], CPU))


def test_every_stage_is_weighed_as_a_file_and_coding_costs_no_accuracy(tmp_path, done):
    original: nn.Module = trained()
    scored = measured.scores(original, done, SPLITS[1], [0, 1, 2, 3], CPU)
    sized = measured.sizes(
        sum(p.numel() for p in original.parameters()), done, {"network": SPEC}, "huffman", tmp_path
    )
    table = measured.table(scored, sized)
    assert [row["stage"] for row in table[::2]] == list(measured.STAGES)
    by_stage = {row["stage"]: row for row in table if row["scope"] == "all"}
    assert by_stage["original"]["bytes"] == 4 * by_stage["original"]["parameters"]
    assert by_stage["coded"]["bytes"] == len(written(done, tmp_path / "x.safetensors"))
    sizes = [row["bytes"] for row in by_stage.values()]
    assert sizes[0] > sizes[1] > max(sizes[2:])  # so small a network is no smaller by tables
    assert (
        by_stage["coded"]["top1"] == by_stage["shared"]["top1"] == top1(done.network.state_dict())
    )
    assert by_stage["pruned"]["top1"] == top1(done.pruned)
    assert list(tmp_path.iterdir()) == [tmp_path / "x.safetensors"]


# The states that a course writes: one after each round, and one in a training of two epochs.
STATES = {"after a round": 1, "in the last one": 2, "after it": 3, "in that of centroids": 4}


@pytest.mark.parametrize("after", STATES.values(), ids=STATES)
def test_a_killed_course_ends_as_an_undisturbed_one(tmp_path, monkeypatch, done, after):
    state = resume.beside(tmp_path / "deep.safetensors")
    save, saved = resume.Keeper.save, []

    def killed(keeper, content):
        keeper._cost = 0.0  # at every epoch, however short it was
        found = save(keeper, content)
        saved.append(keeper.path)
        if len(saved) == after:
            raise Killed
        return found

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(resume.Keeper, "save", killed)
        compressed(state)
    torch.manual_seed(99)
    trainings, finetune = [], training.finetune
    monkeypatch.setattr(
        training, "finetune", lambda *a, **k: trainings.append(1) or finetune(*a, **k)
    )
    resumed = compressed(state)
    # The stages that were done are not done again.
    assert len(trainings) == {1: 2, 2: 2, 3: 1, 4: 1}[after]
    assert written(resumed, tmp_path / "a") == written(done, tmp_path / "b")
    key = str  # NaN is unequal to itself
    assert key(resumed.history) == key(done.history) and resumed.rounds == done.rounds
    stages.clear(state)
    assert not list(tmp_path.glob(".*"))
