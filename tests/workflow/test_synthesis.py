"""Variants that are calibrated on images made without data: what is planned, made and rebuilt."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from laq.checkpoints import packing
from tests.workflow.conftest import CONFIG, Checkout

pytestmark = pytest.mark.long

NETWORK = "small_resnet"
FREE = """
  free: { compress: { bits: 3, images_from: synthetic } }
  free_blind: { compress: { bits: 3, images_from: synthetic, classes: none } }
  free_all: { compress: { bits: 3, images_from: generated, classes: all } }
"""
SYNTHESIS = """synthesis: { steps: 20, generator: { steps: 20 } }
figures: { synthetic: { subset: even } }
"""


@pytest.fixture
def study(finished: Checkout) -> Iterator[Checkout]:
    """The digits study with three variants that are calibrated without data."""
    with (
        finished.edited(CONFIG, "  original: {}\n", f"  original: {{}}{FREE}"),
        finished.edited(CONFIG, "study: Digits\n", f"study: Digits\n{SYNTHESIS}"),
    ):
        yield finished


def images(kind: str, *classes: str) -> set[str]:
    return {
        f"synthetic/{NETWORK}/{each}/{kind}.{suffix}"
        for each in classes
        for suffix in ("npz", "csv")
    }


def models(variant: str, *subsets: str) -> set[str]:
    return {f"models/{NETWORK}/{subset}/{variant}.safetensors" for subset in subsets}


SUBSETS = ("similar", "target_1", "target_2", "random", "dissimilar", "even")
FIGURE = {"figures/synthetic.pdf", "figures/synthetic.png"}


def concerned(planned: set[str]) -> set[str]:
    """Of planned files, images, checkpoints and the figure of images."""
    return {
        name
        for name in planned
        if re.match(r"(synthetic|models)/|figures/synthetic", name) and "/layers/" not in name
    }


def test_images_are_made_once_for_a_network_and_its_classes(study: Checkout) -> None:
    assert concerned(study.planned()) == (
        images("synthetic", *SUBSETS, "none")
        | images("generated", "all")
        | models("free", *SUBSETS)
        | models("free_blind", *SUBSETS)
        | models("free_all", *SUBSETS)
        | FIGURE
    )


def test_what_is_made_follows_its_own_settings_and_code(study: Checkout) -> None:
    root = study.path / "results/digits"
    before = {path: path.read_bytes() for path in root.rglob("models/*/even/*.safetensors")}
    targets = [*images("synthetic", "even", "none"), *images("generated", "all")]
    targets += [*models("free", "even"), *models("free_blind", "even"), *models("free_all", "even")]
    try:
        study.run(*(f"results/digits/{name}" for name in targets), f"results/digits/{min(FIGURE)}")
        pages = [root / name for name in (*targets, *FIGURE)]
        assert all(path.stat().st_size for path in pages)
        for variant, source in (
            ("free", {"classes": "subset", "images": 64, "from": "synthetic"}),
            ("free_blind", {"classes": "none", "images": 64, "from": "synthetic"}),
            ("free_all", {"classes": "all", "images": 64, "from": "generated"}),
        ):
            (path,) = models(variant, "even")
            assert packing.describe(root / path)["calibration"] == source
        labels = np.load(root / f"synthetic/{NETWORK}/even/synthetic.npz")["labels"]
        assert set(labels) == {0, 2, 4, 6, 8}
        assert not concerned(study.planned()) & {*targets, *FIGURE}

        generated = images("generated", "all") | models("free_all", "even") | FIGURE
        with study.edited(CONFIG, "generator: { steps: 20 }", "generator: { steps: 21 }"):
            planned = concerned(study.planned())
        assert planned & {*targets, *FIGURE} == generated
        assert not {path for path in planned if Path(path).stem in ("quant", "ft_quant", "ft")}
        assert all(path.read_bytes() == content for path, content in before.items())
    finally:
        for name in (*targets, *FIGURE, *(f"layers/{NETWORK}/even/{v}.csv" for v in _VARIANTS)):
            (root / name).unlink(missing_ok=True)


_VARIANTS = ("free", "free_blind", "free_all")
