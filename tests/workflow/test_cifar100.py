"""The studies of CIFAR-100 in miniature: the same rules, only numbers and a network differ."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tests import cifar
from tests.recommended import recommended
from tests.workflow.conftest import PROJECT, Checkout

pytestmark = pytest.mark.long

CONFIG, RECOMMENDED = (
    yaml.safe_load((PROJECT / f"config/{name}.yaml").read_text())
    for name in ("cifar100", "cifar100_recommended")
)
VARIANTS = list(CONFIG["variants"])
TRAIN, TEST = 5, 2  # images a class
COMMIT = "c0ffee" + "0" * 34
Archive = tuple[Path, dict[str, Any]]
VEHICLES = ["bicycle", "bus", "motorcycle", "pickup_truck", "train"]


def published_weights(cache: Path, architecture: str) -> None:
    """A network's weights for 100 classes, where huggingface_hub looks for what it has fetched."""
    from laq.models import networks

    torch.manual_seed(0)
    stem = {"stem": "standard"} if "/" in architecture else {}
    network = networks.create(architecture, 100, channels=3, **stem)
    network = getattr(network, "body", network)
    name = CONFIG["networks"]["resnet50"]["weights"]["repository"].replace("/", "--")
    repository = cache / f"models--{name}"
    snapshot = repository / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text(COMMIT)
    torch.save(network.state_dict(), snapshot / "pytorch_model.bin")


def imagenet_weights(path: Path, architecture: str) -> dict[str, str | bool]:
    """A network in torchvision's format, that nobody trained; the settings that name its file."""
    from torchvision import models

    torch.manual_seed(1)
    torch.save(models.get_model(architecture).state_dict(), path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"file": str(path), "sha256": sha256, "download": False}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """The folder of CIFAR-100's archive with 5 images a class to train with, 2 to test with.

    And what makes it the published one.
    """
    folder = tmp_path_factory.mktemp("archive")
    return folder, cifar.write_archive(folder, "cifar100", TRAIN, TEST, seed=0)


def miniature(config: dict[str, Any], archive: Path, imagenet: Any) -> dict[str, Any]:
    """``config`` with the archive in a folder, 4 calibration images, and 1 epoch."""
    config = yaml.safe_load(yaml.safe_dump(config, sort_keys=False))
    config |= {"root": "results/miniature", "device": "cpu", "threads": 2, "memory_mb": 256}
    config["dataset"] |= {"path": str(archive), "download": False}
    config["networks"]["resnet50"]["weights"]["download"] = False
    config["networks"]["resnet50"] |= {"resize": 36, "crop": 32}
    config["features"]["weights"] |= imagenet
    config["umap"] = {"neighbors": 5}
    for recipe in config["variants"].values():
        if "compress" in recipe:
            recipe["compress"]["images"] = 4
        if "finetune" in recipe:
            recipe["finetune"]["epochs"] = 1
    return config


def ran(config: dict[str, Any], published: dict[str, Any], folder: Path) -> Path:
    """The results of a study of ``config``, whose weights are in ``folder``/hub."""
    checkout = Checkout.create(folder / "laq")
    cifar.declare(checkout.path, published)
    path = folder / "miniature.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_CACHE", str(folder / "hub"))
        patch.setenv("HF_HUB_OFFLINE", "1")
        checkout.run(config=str(path))
    return checkout.path / "results/miniature"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, archive: Archive) -> Path:
    """The published study on 2 subsets."""
    if not os.environ.get("LAQ_WHOLE"):
        pytest.skip("six minutes, asked for by LAQ_WHOLE=1; digits have all of its rules")
    folder = tmp_path_factory.mktemp("cifar100")
    published_weights(folder / "hub", "timm/resnet50")
    imagenet = imagenet_weights(folder / "imagenet.pth", "resnet50")
    config = miniature(CONFIG, archive[0], imagenet)
    definitions = config["subsets"]["definitions"]
    config["subsets"]["definitions"] = {
        kind: {**definitions[kind], "count": 1} for kind in ("similar", "dissimilar")
    }
    return ran(config, archive[1], folder)


@pytest.fixture(scope="module")
def recommended_study(tmp_path_factory: pytest.TempPathFactory, archive: Archive) -> Path:
    """The recommended study of a small network on a target and one superclass, all made once."""
    if not os.environ.get("LAQ_WHOLE"):
        pytest.skip("four minutes, asked for by LAQ_WHOLE=1; digits have all of its parts")
    folder = tmp_path_factory.mktemp("recommended")
    published_weights(folder / "hub", "small_resnet")
    imagenet = imagenet_weights(folder / "imagenet.pth", "resnet18")
    config = miniature(RECOMMENDED, archive[0], imagenet)
    config["dataset"]["superclasses"] = {"vehicles 1": VEHICLES}
    weights = config["networks"]["resnet50"]["weights"]
    config["networks"]["resnet50"] = {"architecture": "small_resnet", "weights": weights}
    config["features"]["architecture"] = "resnet18"
    config["features"]["weights"]["name"] = "IMAGENET1K_V1"
    config["subsets"]["definitions"]["target"]["count"] = 1
    for recipe in config["variants"].values():
        recipe.pop("repeats", None)
    config["sweep"] |= {"bits": [3], "images": [], "repeats": 1}
    config["similarity"] = {"images": 4, "repeats": 1}
    config["deploy"]["subsets"] = ["superclasses_vehicles_1"]
    return ran(config, archive[1], folder)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_every_setting_of_the_study_is_made_and_evaluated(study: Path) -> None:
    table = rows(study / "accuracy.csv")
    assert {row["variant"] for row in table} == set(VARIANTS)
    assert len(table) == 2 * 2 * len(VARIANTS)  # subsets, scopes
    assert all(row["n"] == str(10 * TEST) for row in table)


def test_every_layer_of_the_resnet_50_is_quantized_at_every_width(study: Path) -> None:
    for subset in ("similar", "dissimilar"):
        for name in VARIANTS:
            if "compress" not in CONFIG["variants"][name]:
                continue
            layers = rows(study / f"layers/resnet50/{subset}/{name}.csv")
            assert len(layers) == 54
            assert not any(row["reason"] for row in layers)


def test_features_are_2048_of_each_image_and_figures_are_drawn(study: Path) -> None:
    from laq.distances import features

    matrix, labels = features.read(study / "features/train.parquet")
    assert matrix.shape == (100 * TRAIN, 2048)
    assert (torch.bincount(torch.from_numpy(labels)) == TRAIN).all()
    for figure in ("fig1", "fig2", "fig3", "fig4", "fig5", "fig6", "fig7"):
        assert (study / f"figures/{figure}.pdf").stat().st_size > 5000
    assert rows(study / "tables/claims.csv")


def test_the_recommended_study_runs_on_superclasses_with_all_its_parts(
    recommended_study: Path,
) -> None:
    study, tested = recommended_study, {"target": 10 * TEST, "superclasses_vehicles_1": 5 * TEST}
    table = rows(study / "accuracy.csv")
    assert len(table) == 2 * 2 * len(RECOMMENDED["variants"])  # subsets, scopes
    assert {row["variant"] for row in table} == RECOMMENDED["variants"].keys()
    assert {row["subset"]: int(row["n"]) for row in table} == tested
    chosen = json.loads((study / "subsets/superclasses_vehicles_1.json").read_text())
    assert chosen["superclass"] == "vehicles 1" and sorted(chosen["classes"]) == VEHICLES
    sensitive = RECOMMENDED["variants"]["sensitive"]["compress"]
    for subset in tested:
        layers = rows(study / f"layers/resnet50/{subset}/sensitive.csv")
        assert len(layers) == 13 and len({row["bits"] for row in layers}) > 1
        whole = {float(row["bits"]) for row in layers if not row["split"]}
        assert whole <= set(sensitive["widths"])
        weights = [int(row["weights"]) for row in layers]
        spent = sum(n * float(row["bits"]) for n, row in zip(weights, layers, strict=True))
        assert 0.99 * sensitive["bits"] < spent / sum(weights) <= sensitive["bits"]
    assert {row["subset"] for row in rows(study / "tables/similarity.csv")} == tested.keys()
    points = {(row["subset"], row["bits"], row["classes"]) for row in rows(study / "sweep.csv")}
    assert {(subset, "3", "subset") for subset in tested} <= points
    for figure in range(1, 10):
        assert (study / f"figures/fig{figure}.pdf").stat().st_size > 5000


def test_the_recommended_study_says_what_to_deploy_and_writes_it(recommended_study: Path) -> None:
    table = rows(recommended_study / "tables/deploy.csv")
    for subset in ("target", "superclasses_vehicles_1"):
        mine = [row for row in table if row["subset"] == subset]
        assert len(mine) == len(RECOMMENDED["variants"])
        (chosen,) = [row["variant"] for row in mine if row["recommended"] == "True"]
        assert chosen == recommended(mine, 0.01)
    written = rows(recommended_study / "tables/onnx.csv")
    assert [(row["subset"], row["variant"], row["scope"]) for row in written] == [
        ("superclasses_vehicles_1", variant, scope)
        for variant in RECOMMENDED["deploy"]["variants"]
        for scope in ("all", "subset")
    ]
    assert all(int(row["int4"]) > 700_000 for row in written)


@pytest.mark.parametrize(
    ("name", "networks", "subsets", "variants", "exported"),
    [
        ("cifar100", 1, 33, 15, None),
        ("cifar100_recommended", 1, 53, 18, "4"),
        ("mnist", 2, 6, 4, None),
    ],
)
def test_the_whole_study_is_planned_without_its_data(
    name: str, networks: int, subsets: int, variants: int, exported: str | None, tmp_path: Path
) -> None:
    checkout = Checkout.create(tmp_path / "laq")
    printed = checkout.run("--dry-run", "--quiet", "host", config=f"config/{name}.yaml")
    planned = dict(re.findall(r"^(\w+)\s+(\d+)$", printed, flags=re.M))
    assert planned["select_subset"] == str(subsets)
    assert planned["evaluate_subset"] == str(networks * subsets)
    made = int(planned["compress_network"]) + int(planned["finetune_network"])
    assert made == networks * subsets * variants
    assert planned.get("export_onnx") == planned.get("evaluate_onnx") == exported
