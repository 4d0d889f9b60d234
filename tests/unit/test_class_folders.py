"""Names of class folders: their normal form, their encoding, their order."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from laq.data import names, sources
from tests.configs import opened

FRUIT = ["Äpfel", "Birnen", "Möhren", "Nüsse"]
MIXED = ["1", "2", "10", "11", "Zebra", "apple", "Apple", "a10b", "a9c", "007"]


def settings(root: Path, **more: Any) -> dict[str, Any]:
    return {"kind": "image_folder", "path": str(root), "size": 8, "test_fraction": 0.25, **more}


def fill(root: Path, classes: list[str], form: str = "NFC", count: int = 4) -> Path:
    for label, name in enumerate(classes):
        folder = root / unicodedata.normalize(form, name)
        folder.mkdir(parents=True)
        for index in range(count):
            Image.new("RGB", (8, 8), (20 * label, 9 * index, 0)).save(folder / f"{index}.png")
    return root


def test_composed_and_decomposed_names_are_one_class(tmp_path: Path) -> None:
    fill(tmp_path / "train", FRUIT, "NFD")
    fill(tmp_path / "test", FRUIT, "NFC", 2)
    train, test = sources.make(settings(tmp_path), 0)
    # The training folder's order, as torchvision has it: a decomposed Ä begins with A.
    assert list(train.classes) == list(test.classes) == FRUIT
    for split in (train, test):
        np.testing.assert_array_equal(split.images[:, 0, 4, 4], 20 * split.labels)
    fill(tmp_path / "other/train", FRUIT, "NFC")
    fill(tmp_path / "other/test", FRUIT, "NFD")
    assert sources.class_names(settings(tmp_path / "other")) == [*FRUIT[1:], FRUIT[0]]


def study(root: Path, form: str, **dataset: Any) -> dict[str, Any]:
    """A study of the folder whose config is written in a normal form."""
    asked = [unicodedata.normalize(form, name) for name in ("Äpfel", "Möhren")]
    return {
        "dataset": {"kind": "image_folder", "path": str(root), **dataset},
        "networks": {"tiny": {"architecture": "small_resnet"}},
        "features": {"source": "pixels"},
        "umap": {"neighbors": 3},
        "subsets": {
            "size": 2,
            "definitions": {
                "mine": {"kind": "classes", "classes": asked},
                "fruit": {"kind": "superclasses"},
            },
        },
        "variants": {"original": {}},
    }


@pytest.mark.parametrize("there", ["NFC", "NFD"])
@pytest.mark.parametrize("written", ["NFC", "NFD"])
def test_the_config_and_the_folder_may_differ_in_form(
    there: str, written: str, tmp_path: Path
) -> None:
    fill(tmp_path / "x", FRUIT, there)
    groups = {"red": [unicodedata.normalize(written, name) for name in ("Äpfel", "Nüsse")]}
    config = opened(study(tmp_path / "x", written, superclasses=groups))
    assert config["subsets"]["definitions"]["mine"]["classes"] == ["Äpfel", "Möhren"]
    assert config["dataset"]["superclasses"] == {"red": ["Äpfel", "Nüsse"]}


def test_orders_are_those_of_torchvision_and_timm(tmp_path: Path) -> None:
    from timm.data import create_dataset
    from torchvision.datasets import ImageFolder

    fill(tmp_path, MIXED)
    assert sources.class_names(settings(tmp_path)) == ImageFolder(tmp_path).classes
    ours = sources.class_names(settings(tmp_path, class_order="natural"))
    theirs = create_dataset("", root=str(tmp_path)).reader.class_to_idx
    theirs = sorted(theirs, key=theirs.__getitem__)
    # timm draws lots between Apple and apple.
    assert [name.lower() for name in ours] == [name.lower() for name in theirs]
    assert ours.index("Apple") < ours.index("apple")


def test_labels_follow_the_order(tmp_path: Path) -> None:
    fill(tmp_path, MIXED)
    for order in names.ORDERS:
        for split in sources.make(settings(tmp_path, class_order=order), 0):
            shades = [20 * MIXED.index(split.classes[label]) for label in split.labels]
            assert split.images[:, 0, 4, 4].tolist() == shades
