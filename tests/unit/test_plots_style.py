"""The look that figures share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib import pyplot as plt

from laq.figures.style import (
    NAMES,
    looks,
    save,
)

# Machado et al. 2009, at full severity, on linear RGB.
BLINDNESS = {
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "none": np.eye(3),
}


def test_named_variants_differ_in_colour_and_in_marker() -> None:
    drawn = looks(NAMES).values()
    assert len({look.marker for look in drawn}) == len({look.colour for look in drawn}) == 8


def test_a_variant_looks_the_same_whatever_it_is_drawn_with() -> None:
    every = looks(["original", "mine", "quant", "yours"])
    assert looks(["quant"])["quant"] == every["quant"]
    assert looks(["original", "mine"])["mine"] == every["mine"]


def test_two_runs_give_the_same_bytes(tmp_path: Path) -> None:
    opened = plt.get_fignums()
    for run in "ab":
        figure, axes = plt.subplots()
        axes.plot([1, 2], [3, 4], label="x")
        axes.legend()
        save(figure, tmp_path / run / "figure.pdf", tmp_path / run / "figure.png")
    for file in ("figure.pdf", "figure.png"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert (tmp_path / "a/figure.pdf").read_bytes().startswith(b"%PDF")
    assert plt.get_fignums() == opened


def test_a_format_that_is_not_known_leaves_nothing_behind(tmp_path: Path) -> None:
    figure, _ = plt.subplots()
    with pytest.raises(ValueError, match="nonsense"):
        save(figure, tmp_path / "figure.nonsense")
    plt.close(figure)
    assert not list(tmp_path.iterdir())
