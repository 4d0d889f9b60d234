"""What is known while planning is said while planning: faults refused, doubts as warnings."""

from __future__ import annotations

import copy
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from laq import data
from laq.config import load, outside_weights
from laq.data import sources
from laq.utils.errors import LaqError
from laq.utils.files import write_json
from tests.configs import ROOT


def folder(root: Path, counts: dict[str, int], part: str = "") -> Path:
    """Class folders of so many files, which planning does not open."""
    for name, count in counts.items():
        (root / part / name).mkdir(parents=True)
        for index in range(count):
            (root / part / name / f"{index}.png").touch()
    return root


def study(root: Path, **more: Any) -> dict[str, Any]:
    return {
        "dataset": {"kind": "image_folder", "path": str(root)},
        "networks": {"mine": {"architecture": "small_resnet"}},
        "features": {"source": "pixels"},
        "umap": {"neighbors": 5},
        "subsets": {"size": 2, "definitions": {"near": {"kind": "similar"}}},
        "variants": {"original": {}, "quant": {"compress": {"bits": 4, "images": 8}}},
        **more,
    }


def said(config: dict[str, Any]) -> list[str]:
    return load.checked(config, ROOT / "workflow/schemas")[1]


@pytest.fixture
def weights(tmp_path: Path) -> dict[str, Any]:
    """An entry of networks whose weights come from outside."""
    file = tmp_path / "w.pth"
    file.touch()
    return {
        "architecture": "resnet18",
        "mean": [0.5, 0.5, 0.5],
        "std": [0.25, 0.25, 0.25],
        "weights": {"source": "file", "file": str(file)},
    }


MANY = {"a": 40, "b": 40, "c": 40}


def test_an_unsplit_folder_and_weights_from_outside_are_warned_of(
    tmp_path: Path, weights: dict[str, Any]
) -> None:
    config = study(folder(tmp_path / "x", MANY), networks={"mine": weights})
    (line,) = said(config)
    assert "the weights of mine come from outside" in line and f"{tmp_path / 'x'} is not" in line
    assert "<path>/train/<class>/*" in line
    further = copy.deepcopy(config)
    further["networks"]["mine"]["training"] = {"epochs": 1}
    assert said(further) == [line]


def test_where_nobody_can_have_trained_on_the_test_images_nothing_is_said(
    tmp_path: Path, weights: dict[str, Any]
) -> None:
    assert said(study(folder(tmp_path / "x", MANY))) == []
    for part in ("train", "test"):
        folder(tmp_path / "split", MANY, part)
    assert said(study(tmp_path / "split", networks={"mine": weights})) == []
    published = {**weights, "weights": {"source": "torchvision"}, "training": {"epochs": 1}}
    assert said(study(tmp_path / "x", networks={"mine": published})) == []


def test_an_order_of_classes_in_doubt_is_said_until_it_is_set(
    tmp_path: Path, weights: dict[str, Any]
) -> None:
    for part in ("train", "test"):
        folder(tmp_path / "x", {"1": 40, "2": 40, "10": 40}, part)
    config = study(tmp_path / "x", networks={"mine": weights})
    (line,) = said(config)
    assert "From output 2 on" in line and "'10', '2', …, and timm '2', '10', …" in line
    for order in ("alphabetical", "natural"):
        config["dataset"]["class_order"] = order
        assert said(config) == []
    del config["dataset"]["class_order"], config["networks"]["mine"]["weights"]
    assert said(config) == []


def test_weights_that_do_not_say_how_images_are_normalised_are_named(
    tmp_path: Path, weights: dict[str, Any]
) -> None:
    for part in ("train", "test"):
        folder(tmp_path / "x", MANY, part)
    config = study(tmp_path / "x", networks={"mine": weights})
    del weights["std"]
    (line,) = said(config)
    assert line.startswith("the weights of mine") and "networks.mine.std: [0.25, " in line
    assert "networks.mine.mean" not in line
    del weights["mean"]
    (line,) = said(config)
    assert "networks.mine.mean: [0.5, 0.5, 0.5] and networks.mine.std: [0.25, " in line
    del config["networks"]["mine"]
    config["networks"]["other"] = {"architecture": "small_resnet"}
    config["partial_qat"] = {"further_networks": {"mine": weights}}
    (line,) = outside_weights.unnormalised(config, ["mine"])
    assert "partial_qat.further_networks.mine.mean" in line


def refused(config: dict[str, Any]) -> str:
    with pytest.raises(LaqError) as caught:
        said(config)
    return str(caught.value)


def test_a_class_too_small_for_its_gaussian_is_refused(tmp_path: Path) -> None:
    config = study(folder(tmp_path, {**MANY, "rare": 3, "scarce": 2}))
    message = refused(config)
    assert "need 3 training images of each" in message
    assert "rare (2), scarce (1)" in message and "icd.shrinkage above 0" in message
    config["icd"] = {"shrinkage": 0.1}
    message = refused(config)
    assert "need 2 training images of each" in message and "fewer: scarce (1);" in message
    assert "icd.shrinkage" not in message


def test_calibration_on_more_images_than_there_are_is_said(tmp_path: Path) -> None:
    config = study(folder(tmp_path, {"a": 40, "b": 10, "c": 40}))
    assert said(config) == []
    config["variants"]["quant"]["compress"]["images"] = 41
    (line,) = said(config)
    assert line.startswith("variants.quant.compress.images: subset near may have no more than 40")
    definitions = {"mine": {"kind": "classes", "classes": ["a", "c"]}}
    config["subsets"]["definitions"] = definitions
    assert said(config) == []
    config["variants"]["quant"]["compress"]["images"] = 65
    config["sweep"] = {"variant": "quant", "images": [16, 80]}
    (line,) = said(config)
    assert "variants.quant.compress.images, sweep.images: subset mine" in line and "64" in line
    del config["sweep"]
    config["variants"]["quant"]["compress"]["images"] = "all"
    assert said(config) == []


def test_planning_opens_no_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"kind": "image_folder", "path": str(folder(tmp_path, MANY))}
    settings |= {"size": 8, "test_fraction": 0.2}
    (tmp_path / "a/without suffix").touch()

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a file was opened")

    monkeypatch.setattr("builtins.open", refuse)
    monkeypatch.setattr("io.open", refuse)
    assert sources.survey(settings).training.tolist() == [33, 32, 32]


@pytest.mark.parametrize("parts", [("",), ("train", "test")])
def test_the_run_says_it_too(
    parts: tuple[str, ...], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import torch

    from laq.models import networks

    for part in parts:
        folder(tmp_path / "x", {"a": 2, "b": 2}, part)
    images = np.zeros((4, 1, 8, 8), dtype=np.uint8)
    split = data.Dataset(images, np.array([0, 0, 1, 1]), ("a", "b"))
    for name in ("train.npz", "test.npz"):
        data.save(split, tmp_path / name)
    write_json(tmp_path / "classes.json", ["a", "b"])
    network = {"name": "small_resnet", "widths": [4]}
    state = networks.create(**network, classes=2, channels=1).state_dict()
    torch.save(state, tmp_path / "w.pth")
    weights = {"source": "file", "file": str(tmp_path / "w.pth")}
    names = {"train": "train.npz", "test": "test.npz", "classes": "classes.json"}
    names |= {"checkpoint": "made.safetensors", "history": "made.csv"}
    runpy.run_path(str(ROOT / "workflow/scripts/train_network.py"))["train_network"](
        **{key: str(tmp_path / name) for key, name in names.items()},
        published=[],
        entry="mine",
        network=network,
        weights=weights,
        training=None,
        seed=0,
        device="cpu",
        config=study(
            tmp_path / "x", networks={"mine": {"architecture": "small_resnet", "weights": weights}}
        ),
    )
    assert ("come from outside" in caplog.text) == (parts == ("",))
