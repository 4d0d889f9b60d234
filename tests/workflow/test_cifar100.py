"""The published study in miniature: config/cifar100.yaml, the same rules, only numbers differ."""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tests.cifar import write_archive
from tests.workflow.conftest import PROJECT, Checkout

CONFIG = yaml.safe_load((PROJECT / "config/cifar100.yaml").read_text())
COMMIT = "c0ffee" + "0" * 34


def published_weights(cache: Path) -> None:
    """ResNet-50's weights for 100 classes, where huggingface_hub looks for what it has fetched."""
    from laq import architectures

    torch.manual_seed(0)
    network = architectures.build("timm/resnet50", 100, 32, "small")
    name = CONFIG["networks"]["resnet50"]["weights"]["repository"].replace("/", "--")
    repository = cache / f"models--{name}"
    snapshot = repository / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text(COMMIT)
    torch.save(network.state_dict(), snapshot / "pytorch_model.bin")


def imagenet_weights(path: Path) -> str:
    """A ResNet-50 in torchvision's format, that nobody trained; returns its sha256."""
    from torchvision import models

    torch.manual_seed(1)
    torch.save(models.resnet50().state_dict(), path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def miniature(path: Path) -> dict[str, Any]:
    """The published config with 8 images a class, 2 subsets, 4 calibration images, 1 epoch."""
    md5 = write_archive(path / "cifar-100-python.tar.gz", "cifar100", 8, 4, seed=0)
    config = yaml.safe_load(yaml.safe_dump(CONFIG, sort_keys=False))
    config |= {"root": "results/miniature", "device": "cpu", "threads": 1, "memory_mb": 256}
    config["dataset"] |= {"path": str(path), "md5": md5, "download": False}
    config["networks"]["resnet50"]["weights"]["download"] = False
    weights = {
        "file": str(path / "imagenet.pth"),
        "sha256": imagenet_weights(path / "imagenet.pth"),
    }
    config["features"]["weights"] |= {**weights, "download": False}
    config["umap"] = {"neighbors": 5}
    definitions = config["subsets"]["definitions"]
    config["subsets"]["definitions"] = {
        kind: {**definitions[kind], "count": 1} for kind in ("similar", "dissimilar")
    }
    for recipe in config["variants"].values():
        if "compress" in recipe:
            recipe["compress"]["images"] = 4
        if "finetune" in recipe:
            recipe["finetune"]["epochs"] = 1
    return config


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cifar100")
    published_weights(folder / "hub")
    (folder / "data").mkdir()
    checkout = Checkout.create(folder / "laq")
    config = folder / "miniature.yaml"
    config.write_text(yaml.safe_dump(miniature(folder / "data"), sort_keys=False))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_CACHE", str(folder / "hub"))
        patch.setenv("HF_HUB_OFFLINE", "1")
        checkout.run(config=str(config))
    yield checkout.path / "results/miniature"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_every_setting_of_the_study_is_made_and_evaluated(study: Path) -> None:
    table = rows(study / "accuracy.csv")
    assert {row["variant"] for row in table} == CONFIG["variants"].keys()
    assert len(table) == 2 * 2 * len(CONFIG["variants"])  # subsets, scopes
    assert all(row["n"] == "40" for row in table)  # 10 classes of 4 test images


def test_every_layer_of_the_resnet_50_is_quantized_at_every_width(study: Path) -> None:
    for subset in ("similar", "dissimilar"):
        for name, recipe in CONFIG["variants"].items():
            if "compress" not in recipe:
                continue
            layers = rows(study / f"layers/resnet50/{subset}/{name}.csv")
            assert len(layers) == 54
            assert not any(row["reason"] for row in layers)


def test_features_are_2048_of_each_image_and_figures_are_drawn(study: Path) -> None:
    from laq import features

    matrix, labels = features.read(study / "features/train.parquet")
    assert matrix.shape == (800, 2048)
    assert (torch.bincount(torch.from_numpy(labels)) == 8).all()
    for figure in ("fig1", "fig2", "fig3", "fig4", "fig5", "fig6", "fig7"):
        assert (study / f"figures/{figure}.pdf").stat().st_size > 5000
    assert rows(study / "tables/claims.csv")


@pytest.mark.parametrize(
    ("name", "subsets", "variants"), [("cifar100", 33, 15), ("cifar100_recommended", 53, 18)]
)
def test_the_whole_study_is_planned_without_its_data(
    name: str, subsets: int, variants: int, tmp_path: Path
) -> None:
    checkout = Checkout.create(tmp_path / "laq")
    printed = checkout.run("--dry-run", "--quiet", "host", config=f"config/{name}.yaml")
    planned = dict(re.findall(r"^(\w+)\s+(\d+)$", printed, flags=re.M))
    assert planned["select_subset"] == planned["evaluate_subset"] == str(subsets)
    made = int(planned["compress_network"]) + int(planned["finetune_network"])
    assert made == subsets * variants
