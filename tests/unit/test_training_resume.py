"""A training that was killed goes on from its last epoch, to the bytes of one that was not."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from torch import nn

from laq.models.small_resnet import SmallResNet
from laq.training import finetune, resume, train
from laq.utils.devices import seed_everything
from tests.unit.test_training import CPU, SETTINGS, problem

torch.set_num_threads(1)


class Killed(Exception):
    pass


def network(kind: str = "resnet") -> nn.Module:
    if kind == "resnet":
        return SmallResNet(2, channels=1, widths=(4, 6))
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Dropout(), nn.Linear(8, 2))


def run(state: Path | None, function=train, kind="resnet", seed=0, other=None, **changes):
    generator = seed_everything(seed)
    model = network(kind)
    splits = problem(40), problem(20, seed=1)
    if other is not None:  # one pixel, or one label
        split, part = other
        splits[split][part].view(-1)[7] ^= 1
    history = function(model, *splits, SETTINGS | changes, generator, CPU, state)
    return model.state_dict(), history


def interrupt(monkeypatch, state: Path, after: int = 2, **arguments) -> None:
    """Run a training that is killed once its state was written ``after`` times."""
    save, saved = resume.Keeper.save, []

    def killed(keeper, content):
        keeper._cost = 0.0  # at every epoch, however short it was
        save(keeper, content)
        saved.append(keeper.path.stat().st_size)
        if len(saved) == after:
            raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(resume.Keeper, "save", killed)
        run(state, **arguments)


def assert_same(one, other) -> None:
    assert one[1] == other[1]
    for name, tensor in one[0].items():
        assert torch.equal(tensor, other[0][name]), name


@pytest.fixture
def state(tmp_path) -> Path:
    return resume.beside(tmp_path / "original.safetensors")


TRAININGS = {
    "sgd on one cycle": {},
    "adamw with decay for weights alone": {
        "function": finetune,
        "decay_norms": False,
        "schedule": "cosine",
        "warmup": 1.0,
        "clip_norm": 0.5,
    },
    "every augmentation": {"flip": True, "erase": 3, "policy": "trivial", "schedule": "constant"},
    "steps in 16 bits": {
        "precision": "bfloat16",
        "schedule": "step",
        "milestones": [2, 3],
        "weight_decay": 0.0,
    },
    "dropout": {"kind": "dropout"},
}


@pytest.mark.parametrize("arguments", TRAININGS.values(), ids=TRAININGS)
@pytest.mark.parametrize("after", [1, 3])
def test_a_killed_training_ends_as_an_undisturbed_one(monkeypatch, state, caplog, arguments, after):
    undisturbed = run(None, **arguments)
    interrupt(monkeypatch, state, after, **arguments)
    torch.manual_seed(99)
    with caplog.at_level(logging.INFO, "laq"):
        resumed = run(state, **arguments)
    assert f"going on after epoch {after}: {state}" in caplog.text
    assert f"epoch {after}/" not in caplog.text, "no epoch is done twice"
    assert_same(resumed, undisturbed)


OTHER = {
    "settings": {"learning_rate": 0.04},
    "a pixel": {"other": (0, 0)},
    "a label": {"other": (0, 1)},
    "a test image": {"other": (1, 0)},
    "a test label": {"other": (1, 1)},
    "seed": {"seed": 1},
    "network": {"kind": "dropout"},
}


@pytest.mark.parametrize("changes", OTHER.values(), ids=OTHER)
def test_a_state_of_another_training_is_not_gone_on_with(monkeypatch, state, caplog, changes):
    interrupt(monkeypatch, state)
    with caplog.at_level(logging.INFO, "laq"):
        anew = run(state, **changes)
    assert "is of other settings, data, seed, code or versions: training starts anew" in caplog.text
    assert_same(anew, run(None, **changes))


@pytest.mark.parametrize("name", ["code", "_version"])
def test_a_state_of_other_code_is_not_gone_on_with(monkeypatch, state, caplog, name):
    interrupt(monkeypatch, state)
    monkeypatch.setattr(resume, name, lambda *_: "another")
    with caplog.at_level(logging.INFO, "laq"):
        run(state)
    assert "training starts anew" in caplog.text


DAMAGES = {
    "empty": lambda whole: b"",
    "cut in the head": lambda whole: whole[:40],
    "cut in half": lambda whole: whole[: len(whole) // 2],
    "a flipped bit": lambda whole: whole[:3000] + bytes([whole[3000] ^ 4]) + whole[3001:],
    "a flipped bit of the digest": lambda whole: whole[:40] + bytes([whole[40] ^ 1]) + whole[41:],
    "something else": lambda whole: b"no state at all" * 100,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_state_is_told_and_left(monkeypatch, state, caplog, damage):
    interrupt(monkeypatch, state)
    state.write_bytes(damage(state.read_bytes()))
    anew = run(state)
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert record.getMessage() == f"{state} is damaged: training starts anew"
    assert_same(anew, run(None))


def test_nothing_in_a_state_is_unpickled(monkeypatch, state):
    interrupt(monkeypatch, state)
    asked = []
    load = torch.load
    monkeypatch.setattr(torch, "load", lambda *a, **k: asked.append(k) or load(*a, **k))
    run(state)
    assert [keywords["weights_only"] for keywords in asked] == [True]


def test_a_disk_that_takes_no_state_ends_no_training(tmp_path, caplog):
    (tmp_path / "file").write_text("not a folder")
    result = run(tmp_path / "file" / ".original.state")
    assert "the training goes on without its state" in caplog.text
    assert_same(result, run(None))


def test_nothing_is_left_once_the_result_is_stored(state):
    folder = resume.files_of_processes(state)
    folder.mkdir()
    killed = state.with_name(f".{state.name}.abcd1234")
    killed.mkdir()
    other = state.with_name(".original-2.state")
    for path in (state, killed / state.name, other, folder / "images.safetensors"):
        path.write_bytes(b"x")
    resume.clear(state)
    assert list(state.parent.iterdir()) == [other]
    resume.clear(state)
