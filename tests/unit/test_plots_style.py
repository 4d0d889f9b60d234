"""The look that figures share."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from matplotlib import pyplot as plt

from laq.figures.style import (
    LINE,
    NAMES,
    STYLE,
    WIDTH,
    legend_columns,
    looks,
    name,
    save,
    taller,
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


def test_twenty_more_variants_can_be_told_apart() -> None:
    variants = [*NAMES, *(f"extra_{i}" for i in range(20))]
    drawn = looks(variants)
    assert list(drawn) == variants
    assert len(set(drawn.values())) == len(variants)


def test_curves_of_twelve_more_variants_differ_in_colour_or_line_and_none_is_dashed() -> None:
    drawn = looks(f"extra_{i}" for i in range(12)).values()
    assert len({(look.colour, look.line) for look in drawn}) == 12
    assert "--" not in {look.line for look in drawn}  # published curves are
    assert {look.line for look in looks(NAMES).values()} == {"-"}


def test_no_colour_is_too_pale_to_be_seen_on_white() -> None:
    for look in looks([*NAMES, "further_1", "further_2", "further_3"]).values():
        red, green, blue = _linear(look.colour)
        luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
        assert 1.05 / (luminance + 0.05) > 1.6, look  # yellow, at 1.4, is


@pytest.mark.parametrize("blindness", BLINDNESS)
@pytest.mark.parametrize(
    "together",
    [
        ["original", "quant", "ft", "ft_quant"],
        ["original", "quant", "mp53", "mp35"],
        ["quant", "agnostic", "bits32"],
        ["original", "quant", "ft", "further_1"],
        ["original", "quant", "further_1", "further_2", "further_3"],
    ],
    ids=["figure 5", "figure 6", "figure 8", "a further variant", "three of them"],
)
def test_colours_of_a_figure_are_far_apart_to_a_colour_blind_eye(
    together: list[str], blindness: str
) -> None:
    drawn = looks(together)
    seen = {key: _perceived(look.colour, blindness) for key, look in drawn.items()}
    for one, other in combinations(together, 2):
        # A just noticeable difference is about 2.3 in this space. Further variants, of which
        # there may be many, differ in marker and line too.
        helped = drawn[one].line != drawn[other].line and drawn[one].marker != drawn[other].marker
        assert np.linalg.norm(seen[one] - seen[other]) > (10 if helped else 20), (one, other)


def _perceived(colour: tuple[float, float, float], blindness: str) -> np.ndarray:
    """CIELAB of an sRGB colour as it is seen."""
    linear = np.clip(np.array(BLINDNESS[blindness]) @ _linear(colour), 0, 1)
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    x, y, z = np.cbrt(to_xyz @ linear / [0.9505, 1, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def _linear(colour: tuple[float, float, float]) -> np.ndarray:
    """Linear RGB of an sRGB colour."""
    rgb = np.array(colour)
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


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


def test_a_figure_outgrows_one_by_the_lines_of_its_legend_and_heading() -> None:
    assert taller(["Original", "Quant"], "one line") == 0
    assert taller(["a variant with quite a long name for a legend"] * 4, "two\nlines") == 4 * LINE


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
