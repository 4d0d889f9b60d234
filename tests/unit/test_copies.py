"""Copies among a user's images: found by pixels, named, and kept in one split."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from laq.data import copies, sources
from laq.data.splits import stratified_split


def settings(root: Path, **more: Any) -> dict[str, Any]:
    return {"kind": "image_folder", "path": str(root), "size": 8, "test_fraction": 0.25, **more}


def fill(folder: Path, count: int, seed: int) -> None:
    """Images of noise, no two alike."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for index in range(count):
        pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:02}.png")


@pytest.fixture
def split(tmp_path: Path) -> Path:
    for place, (part, name) in enumerate(
        (part, name) for part in ("train", "test") for name in ("cat", "dog")
    ):
        fill(tmp_path / part / name, 4, seed=place)
    return tmp_path


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    for place, name in enumerate(("cat", "dog")):
        fill(tmp_path / "flat" / name, 12, seed=place)
    return tmp_path / "flat"


def told(root: Path, **more: Any) -> dict[str, int]:
    return sources.made(settings(root, **more), 0)[2][0]["copies"]


def test_images_are_in_a_group_where_their_pixels_are_the_same() -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 2, 2), dtype=np.uint8)
    found = copies.groups(images[[0, 1, 0, 2, 1]])
    assert found.tolist() == [0, 1, 0, 2, 1] and found.dtype == np.int64


def test_test_images_that_are_copies_of_training_images_are_named(split: Path, caplog: Any) -> None:
    shutil.copy(split / "train/cat/01.png", split / "test/cat/copy of 01.png")
    Image.open(split / "train/dog/02.png").save(split / "test/dog/saved anew.bmp")
    counts = {"all": 2, "across_splits": 2, "identical_files": 1, "across_classes": 0}
    assert told(split) == counts
    assert (
        "2 of 10 test images are copies of training images, 1 of them byte for byte" in caplog.text
    )
    assert "test/cat/copy of 01.png = train/cat/01.png" in caplog.text
    assert "test/dog/saved anew.bmp = train/dog/02.png" in caplog.text


@pytest.mark.parametrize("seed", range(5))
def test_copies_come_into_one_split(flat: Path, seed: int) -> None:
    for index in range(6):
        for copy in ("a", "b"):
            shutil.copy(flat / f"cat/{index:02}.png", flat / f"cat/{copy} {index:02}.png")
    shutil.copy(flat / "dog/00.png", flat / "cat/dog.png")
    train, test, (origin,) = sources.made(settings(flat), seed)
    assert not {x.tobytes() for x in train.images} & {x.tobytes() for x in test.images}
    assert origin["copies"] == {
        "all": 13,
        "across_splits": 0,
        "identical_files": 0,
        "across_classes": 1,
    }
    assert np.bincount(test.labels).min() >= 1 and 4 <= len(test.labels) <= 9


@pytest.mark.parametrize("seed", range(20))
def test_groups_stay_whole_and_every_class_has_both_splits(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(4), 20)
    # Of one class: groups of every size, and some that reach into the next class.
    groups = rng.integers(0, 8, 80) + 6 * labels
    test = stratified_split(labels, list("abcd"), 0.2, seed, groups)
    assert all(len(set(test[groups == group].tolist())) == 1 for group in np.unique(groups))
    for label in range(4):
        assert 1 <= test[labels == label].sum() <= 19
