"""The look that figures share."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from matplotlib import pyplot as plt

from laq.plots.style import NAMES, STYLE, WIDTH, legend_columns, looks, name, save

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


def test_twenty_more_variants_can_be_told_apart() -> None:
    variants = [*NAMES, *(f"extra_{i}" for i in range(20))]
    drawn = looks(variants)
    assert list(drawn) == variants
    assert len(set(drawn.values())) == len(variants)


@pytest.mark.parametrize("blindness", BLINDNESS)
@pytest.mark.parametrize(
    "together",
    [
        ["original", "quant", "ft", "ft_quant"],
        ["original", "quant", "mp53", "mp35"],
        ["quant", "agnostic"],
    ],
    ids=["figure 5", "figure 6", "figure 8"],
)
def test_colours_of_a_figure_are_far_apart_to_a_colour_blind_eye(
    together: list[str], blindness: str
) -> None:
    drawn = looks(together)
    seen = {key: _perceived(look.colour, blindness) for key, look in drawn.items()}
    for one, other in combinations(together, 2):
        # A just noticeable difference is about 2.3 in this space.
        assert np.linalg.norm(seen[one] - seen[other]) > 20, (one, other)


def _perceived(colour: tuple[float, float, float], blindness: str) -> np.ndarray:
    """CIELAB of an sRGB colour as it is seen."""
    rgb = np.array(colour)
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.array(BLINDNESS[blindness]) @ linear, 0, 1)
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    x, y, z = np.cbrt(to_xyz @ linear / [0.9505, 1, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_a_variant_without_a_name_goes_by_its_id() -> None:
    assert name("ft_quant") == "FT + Quant"
    assert name("my_variant") == "my_variant"


def test_text_is_readable_at_print_size() -> None:
    sizes = [size for key, size in STYLE.items() if key.endswith("size")]
    assert sizes and min(sizes) >= 7
    assert WIDTH <= 7


def test_a_legend_has_as_many_columns_as_the_page_is_wide() -> None:
    assert legend_columns(["Original", "Quant", "FT", "FT + Quant"]) == 4
    assert legend_columns(["a variant with quite a long name for a legend"] * 4) == 1
    assert legend_columns(["a" * 200]) == 1


def test_two_runs_give_the_same_bytes(tmp_path: Path) -> None:
    for run in "ab":
        figure, axes = plt.subplots()
        axes.plot([1, 2], [3, 4], label="x")
        axes.legend()
        save(figure, tmp_path / run / "figure.pdf", tmp_path / run / "figure.png")
    for file in ("figure.pdf", "figure.png"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert (tmp_path / "a/figure.pdf").read_bytes().startswith(b"%PDF")
    assert not plt.get_fignums()


def test_a_format_that_is_not_known_leaves_nothing_behind(tmp_path: Path) -> None:
    figure, _ = plt.subplots()
    with pytest.raises(ValueError, match="nonsense"):
        save(figure, tmp_path / "figure.nonsense")
    plt.close(figure)
    assert not list(tmp_path.iterdir())
