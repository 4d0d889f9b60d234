"""The zoo: what its config may say, what is measured, and what the table says of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from laq import data, training
from laq.analysis.statistics.paired import mean_interval
from laq.analysis.zoo import observations, summarise
from laq.checkpoints import packing
from laq.config import zoo_entries, zoo_kinds
from laq.config.study import effect
from laq.experiments import compression
from laq.experiments.evaluation import score
from laq.experiments.variants import compressed, deep
from laq.experiments.zoo.runner import ZooRunner
from laq.models import networks
from laq.models.networks import predict
from laq.utils import devices
from tests.configs import checked, edited

GPTQ = {"compress": {"method": "gptq", "alphabet": "symmetric", "bits": 2}}
NEAREST = {"compress": {"method": "rtn", "alphabet": "symmetric", "bits": 3}}
ASKED = ["subset", "all", "synthetic"]


def zoo(methods: dict[str, Any], **keys: Any) -> dict[str, Any]:
    return checked(edited({"zoo": {"methods": methods, **keys}}))["zoo"]


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        (GPTQ, ASKED),
        (NEAREST, ["none"]),
        ({"compress": {"bits": 3, "method": "stochastic"}}, ["none"]),
        ({"compress": {"bits": 3, "method": "rtn", "widths": [2, 4]}}, ASKED),
        ({"compress": {"bits": 3, "method": "rtn", "activations": {}}}, ASKED),
        ({"compress": {"bits": 3, "method": "rtn", "bias_correction": True}}, ASKED),
        ({"compress": {"bits": 3, "method": "rtn", "batchnorm": "reestimated"}}, ASKED),
        ({"compress": {"bits": 3, "method": "adaround"}}, ASKED),
        ({"compress": {"bits": 3, "method": "rtn", "activations": {"mode": "dynamic"}}}, ["none"]),
        ({"qat": {"bits": 2}}, ["subset", "all"]),
        ({"finetune": {}}, ["subset", "all"]),
        ({"deep": {}}, ["subset", "all"]),
    ],
)
def test_an_entry_has_the_calibrations_that_make_a_difference(
    recipe: dict[str, Any], expected: list[str]
) -> None:
    own = zoo({"a": recipe})["methods"]["a"]
    assert zoo_entries.calibrations(own, ASKED) == expected


# What is measured


@pytest.fixture(scope="module")
def split() -> data.Dataset:
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 30)
    images = generator.integers(0, 120, (120, 1, 8, 8), dtype=np.uint8)
    images[np.arange(120), 0, 2 * labels, :] += 120  # a bright row says which class
    return data.Dataset(images, labels, tuple("abcd"))


@pytest.fixture(scope="module")
def parent(split: data.Dataset, tmp_path_factory: pytest.TempPathFactory) -> str:
    description = {"name": "small_resnet", "classes": 4, "channels": 1, "widths": [4, 8]}
    generator = devices.seed_everything(0, "training")
    network = networks.create(**description)
    own = tuple(map(torch.from_numpy, (split.images, split.labels)))
    settings = {"epochs": 2, "learning_rate": 0.05, "shift": 0}
    training.train(network, own, own, settings, generator, torch.device("cpu"))
    path = tmp_path_factory.mktemp("zoo") / "original.safetensors"
    facts = {"classes": list("abcd"), "variant": "original", "parent": None, "steps": [], "seed": 0}
    packing.save(path, network.state_dict(), {"network": description, **facts})
    return str(path)


def course(parent: str, split: data.Dataset, place: Path, recipe: dict[str, Any]) -> ZooRunner:
    from laq.checkpoints import lineage

    own = effect(zoo({"a": recipe})["methods"]["a"]) if recipe else {}
    described = lineage.of_parent(parent, "original", split, None, 0)
    cpu = torch.device("cpu")
    return ZooRunner(parent, described, "a", own, split, split, 0, 2**26, cpu, place)


@pytest.mark.parametrize("calibration", ["subset", "all"])
def test_what_is_measured_is_the_compressed_network(
    parent: str, split: data.Dataset, tmp_path: Path, calibration: str
) -> None:
    recipe = {"compress": {**GPTQ["compress"], "images": 16}}
    measured = course(parent, split, tmp_path, recipe)
    rows, seconds = measured.measure([0, 2], calibration)
    settings = {**measured.recipe["compress"], "classes": calibration}
    taken = [0, 2] if calibration == "subset" else None
    network = packing.load(parent)
    made, _ = compression.for_subset(network, split, [0, 2], taken, settings, 0)
    images, labels = map(torch.from_numpy, data.of_classes(split, [0, 2]))
    direct = score(predict(made.network, images, torch.device("cpu")), labels, [0, 2])
    for row, expected in zip(rows, direct, strict=True):
        assert {key: row[key] for key in ("scope", "n", "correct", "in_subset")} == {
            key: getattr(expected, key) for key in ("scope", "n", "correct", "in_subset")
        }
    weights = sum(run.codes.numel() for runs in made.packed.values() for run in runs)
    coded = sum(run.nbytes for runs in made.packed.values() for run in runs)
    assert (rows[0]["weights"], rows[0]["bits_per_weight"]) == (weights, 8 * coded / weights)
    again = compressed.make(measured._task([0, 2], calibration, None))
    packing.save(tmp_path / "a.safetensors", again.state, again.description, again.packed)
    assert coded < rows[0]["bytes"] == (tmp_path / "a.safetensors").stat().st_size
    (tmp_path / "a.safetensors").unlink()
    assert seconds.keys() == {"make", "store", "evaluate"}
    assert list(tmp_path.iterdir()) == []


DEEP = {"density": 0.2, "rounds": 1, "epochs": 1, "tuning_epochs": 1, "bits_linear": 2}


def test_a_deep_entry_is_weighed_as_the_file_that_a_variant_is(
    parent: str, split: data.Dataset, tmp_path: Path
) -> None:
    measured = course(parent, split, tmp_path, {"deep": DEEP})
    rows, _ = measured.measure([0, 2], "subset")
    made = deep.make(measured._task([0, 2], "subset", None))
    made.save(tmp_path / "a.safetensors")
    runs = [run for (run,) in packing.read(tmp_path / "a.safetensors").packed.values()]
    weights, coded = sum(run.codes.numel() for run in runs), sum(run.nbytes for run in runs)
    whole = sum(p.numel() for p in packing.load(parent).parameters() if p.ndim > 1)
    assert rows[0]["weights"] == weights == whole
    assert rows[0]["bits_per_weight"] == 8 * coded / weights < 5
    assert coded < rows[0]["bytes"] == (tmp_path / "a.safetensors").stat().st_size
    told = zoo_entries.columns(zoo({"a": {"deep": DEEP}})["methods"]["a"])
    assert (told["rule"], told["bits"], told["family"]) == ("deep", "8+2", "pruned, coded")
    assert measured.recipe["deep"]["density"] == 0.2


def test_an_entry_without_a_step_is_the_file_itself(
    parent: str, split: data.Dataset, tmp_path: Path
) -> None:
    rows, _ = course(parent, split, tmp_path, {}).measure([0, 2], "none")
    assert [row["bytes"] for row in rows] == [Path(parent).stat().st_size] * 2
    assert [(row["weights"], row["bits_per_weight"]) for row in rows] == [(0, 32.0)] * 2


@pytest.mark.parametrize(
    ("recipe", "calibration", "once"),
    [
        (NEAREST, "none", True),
        ({"finetune": {"epochs": 1}}, "all", True),
        ({"qat": {"bits": 2, "epochs": 1}}, "all", True),
        ({"qat": {"bits": 2, "epochs": 1}}, "subset", False),
        (GPTQ, "all", False),
        ({"compress": {"method": "stochastic", "bits": 3}}, "none", False),
    ],
)
def test_a_network_is_made_again_only_where_it_would_be_another(
    parent: str, split: data.Dataset, tmp_path: Path, recipe: Any, calibration: str, once: bool
) -> None:
    assert zoo_kinds.serves_every_subset(zoo({"a": recipe})["methods"]["a"], calibration) == once
    rows = {}
    for order in ([0, 1], [2, 3]), ([2, 3],):
        measured = course(parent, split, tmp_path, recipe)
        for members in order:
            rows[len(order), *members] = measured.measure(members, calibration)[0]
    counts = [[row["correct"] for row in rows[key, 2, 3]] for key in (2, 1)]
    assert counts[0] == counts[1], "what was made first makes a difference"


def test_images_made_without_data_calibrate_in_place_of_training_images(
    parent: str, split: data.Dataset, tmp_path: Path
) -> None:
    other = data.Dataset(255 - split.images, split.labels, split.classes)
    measured = course(parent, split, tmp_path, GPTQ)
    task = measured._task([0, 1], "synthetic", other)
    assert task.train is other and task.recipe["compress"]["images_from"] == "synthetic"
    rows, _ = measured.measure([0, 1], "synthetic", other)
    assert rows[0]["n"] == 60


# The table


SUBSETS = [f"s{place}" for place in range(7)]


def written(tmp_path: Path, drop: int | None = None) -> tuple[str, str]:
    """A table of three methods on seven subsets, of which the last two are of the same classes."""
    generator = np.random.default_rng(1)
    arms = [("original", "none"), ("near", "none"), *(("q", each) for each in ASKED)]
    rows = [
        {
            "network": "net",
            "method": method,
            "subset": subset,
            "calibration": calibration,
            "scope": scope,
            "n": 100,
            "correct": (right := int(generator.integers(40, 100))),
            "top1": right / 100,
            "bytes": 100 + place,
            "bits_per_weight": 3.5,
        }
        for method, calibration in arms
        for place, subset in enumerate(SUBSETS)
        for scope in ("all", "subset")
    ]
    rows = [row for place, row in enumerate(rows) if place != drop]
    pd.DataFrame(rows).to_csv(tmp_path / "zoo.csv", index=False)
    twins = pd.DataFrame({"subset": SUBSETS, "duplicate_of": [None] * 6 + ["s5"]})
    twins.to_csv(tmp_path / "subsets.csv", index=False)
    return str(tmp_path / "zoo.csv"), str(tmp_path / "subsets.csv")


def test_the_summary_is_of_differences_subset_by_subset(tmp_path: Path) -> None:
    table = observations(*written(tmp_path))
    assert set(table["subset"]) == set(SUBSETS[:6]), "the same classes count once"
    own = {name: {"family": "GPFQ"} for name in ("original", "near", "q")}
    found = summarise(table, own, 0.9, 500, 3).set_index(["method", "calibration", "scope"])
    wide = table.pivot(index="subset", columns=["method", "calibration", "scope"], values="top1")
    for scope in ("all", "subset"):
        q, agnostic, original = (
            wide[arm]
            for arm in (("q", "subset", scope), ("q", "all", scope), ("original", "none", scope))
        )
        row = found.loc["q", "subset", scope]
        for prefix, name, values in (
            ("", "top1", q),
            ("change_", "change", q - original),
            ("gain_", "gain", q - agnostic),
        ):
            expected = mean_interval(values.round(12), 0.9, 500, 3)
            got = row[name], row[f"{prefix}low"], row[f"{prefix}high"]
            assert got == (expected.value, expected.low, expected.high)
        assert row["gain"] == pytest.approx(q.mean() - agnostic.mean())
        assert (row["n"], row["bytes"], row["bits_per_weight"]) == (6, 102, 3.5)
        near = found.loc["near", "none", scope]
        assert not near[["gain", "gain_low", "gain_high"]].any()
        assert np.isnan(found.loc["q", "all", scope]["gain"])
        assert tuple(found.loc["original", "none", scope][["change", "change_low"]]) == (0, 0)
