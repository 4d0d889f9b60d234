"""Lines of text in figures."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import pyplot as plt

from laq.figures.style import WIDTH, heading
from laq.figures.words import text_width, wrap


@settings(deadline=None, max_examples=50)
@given(st.text(st.characters(codec="latin-1", exclude_categories=["C"]), max_size=60))
def test_lines_are_within_the_width_and_lose_no_letter(text: str) -> None:
    lines = wrap(text, 1.0, 9)
    assert all(text_width(line, 9) <= 1.0 + 1e-9 for line in lines)
    assert "".join(lines).replace(" ", "") == "".join(text.split())


@pytest.mark.parametrize("name", [r"Cost $\foo$ in $x_1$", "Wm " * 60, "W" * 150, "é_*`<b>"])
def test_a_heading_is_drawn_as_it_stands_and_within_the_page(name: str) -> None:
    figure = plt.figure(figsize=(WIDTH, 3))
    drawn = figure.suptitle(heading(f"{name}: files on the disk"), fontsize=10)
    figure.draw_without_rendering()
    box = drawn.get_window_extent().transformed(figure.dpi_scale_trans.inverted())
    plt.close(figure)
    assert box.x0 >= 0 and box.x1 <= WIDTH
    assert not drawn.get_usetex() and drawn.get_text().replace(r"\$", "$").startswith(name[:9])
