"""Figures 2 and 3: words that fit their boxes, paints that every eye can tell apart, files."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from laq.figures.diagrams.boxes import INDENT, Arrow, RoadStep, fit, repeat, text_width, wrap
from laq.figures.roads import paint_of, road
from laq.figures.style import WIDTH, save
from tests.unit.test_lanes import crosses

PAGE = 7.0
STAGES = [f"s{i}" for i in range(10)]  # as many as a study has


def test_words_are_broken_where_they_allow() -> None:
    lines = wrap("Draw or read the images of the study's data set.", 1.2)
    assert " ".join(lines) == "Draw or read the images of the study's data set."
    assert len(lines) > 1 and max(map(text_width, lines)) <= 1.2


def test_a_word_that_is_longer_than_a_line_is_broken_anywhere() -> None:
    lines = wrap("an Unbreakableandverylongindeed word", 0.5)
    assert "".join(lines).replace(" ", "") == "anUnbreakableandverylongindeedword"
    assert max(map(text_width, lines)) <= 0.5


@settings(max_examples=40, deadline=None)
@given(st.text("abcdefgh_ ", max_size=200), st.floats(0.5, 3), st.floats(0, 0.3))
def test_lines_after_the_first_leave_room_for_their_indent(
    text: str, width: float, indent: float
) -> None:
    lines = wrap(text, width, indent)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert all(text_width(line) <= width for line in lines[:1])
    assert all(text_width(line) <= width - indent for line in lines[1:])


def crowded(notes: int, length: int) -> tuple[dict[str, RoadStep], list[Arrow]]:
    """A box with long notes, and wires that pass it in lanes."""
    long = tuple(f"variant_{i}: " + ", ".join(["a setting 0.25"] * length) for i in range(notes))
    steps = {
        "first": RoadStep(("first",), "", "s0"),
        "noted": RoadStep(("noted",), "What it does.", "s1", long),
        "last": RoadStep(("last",), "", "s2"),
    }
    arrows = [
        *(Arrow("first", ("noted", "last"), (f"{i}.json",), f"{i}.json") for i in range(5)),
        Arrow("noted", ("last",), ("noted.csv",), "noted.csv"),
    ]
    return steps, arrows


@pytest.mark.parametrize("length", [1, 4, 12])
def test_notes_of_any_length_stay_in_their_box_and_boxes_on_the_page(length: int) -> None:
    steps, arrows = crowded(20, length)
    lines, layout = fit(steps, arrows, PAGE)
    box = layout.boxes["noted"]
    assert box.x > 0 and box.x + box.width < PAGE
    notes = [line for line in lines["noted"] if line.indent is not None]
    assert max(line.indent + text_width(line.text) for line in notes) < box.width
    assert " ".join(line.text for line in notes) == " ".join(steps["noted"].notes)
    assert sum(line.indent == 0 for line in notes) == 20
    assert {line.indent for line in notes} == ({0, INDENT} if length > 4 else {0})
    for route in layout.routes:
        assert all(0 < x < PAGE for piece in route.pieces for x in piece[::2])
        assert not any(crosses(box, piece) for piece in route.pieces)


def test_a_wire_that_comes_from_a_lane_says_its_name_again() -> None:
    steps, arrows = crowded(3, 1)
    _, layout = fit(steps, arrows, PAGE)
    names = repeat(layout, [[arrow.name] for arrow in arrows])
    assert {name for _, name, _ in names} == {f"{i}.json" for i in range(5)}
    assert all(arrows[number].name == name for number, name, _ in names)


def test_a_name_without_room_gives_way_to_a_shorter_one_or_to_none() -> None:
    steps, arrows = crowded(3, 1)
    _, layout = fit(steps, arrows, PAGE)
    long = "x" * 200
    assert {name for _, name, _ in repeat(layout, [[long, "x"]] * 6)} == {"x"}
    assert repeat(layout, [[long]] * 6) == repeat(layout, [[]] * 6) == []


def test_a_stage_has_the_same_paint_whatever_it_is_drawn_with() -> None:
    assert paint_of(STAGES, "s3") == paint_of([*STAGES[:4], "other"], "s3")
    assert paint_of(STAGES, "s3") != paint_of(STAGES, "s4")


def drawn(figure: Figure, text: str) -> tuple[float, float, float, float]:
    """Left, right, bottom, top of a text in inches."""
    found = next(each for each in figure.axes[0].texts if each.get_text() == text)
    box = found.get_window_extent()
    return tuple(edge / figure.dpi for edge in (box.x0, box.x1, box.y0, box.y1))


def test_a_long_title_has_the_room_that_its_lines_take() -> None:
    steps, arrows = crowded(1, 1)
    short = road(steps, arrows, STAGES, "A study")
    long = road(steps, arrows, STAGES, " ".join(["A_study of $words$"] * 15))
    assert long.get_figheight() > short.get_figheight() + 0.3
    title = next(text.get_text() for text in long.axes[0].texts if "A_study" in text.get_text())
    left, right, bottom, top = drawn(long, title)
    assert left > 0 and right < WIDTH and top < long.get_figheight()
    assert bottom > drawn(long, "first")[3]


def test_dollars_and_underscores_are_drawn_as_they_stand() -> None:
    steps = {
        "a": RoadStep(("a_$x$",), "Words $y$.", "$z$", ("note $n$ $",), ("f_$1$.pdf",)),
        "b": RoadStep(("b",), "", "$z$"),
    }
    figure = road(steps, [Arrow("a", ("b",), ("{v}$1$.csv",))], ["$z$"], "$t$")
    texts = [text for text in figure.axes[0].texts if text.get_text()]
    assert len([text for text in texts if "$" in text.get_text()]) == 7
    for text in texts:
        kept, formula = text._preprocess_math(text.get_text())
        assert not formula and "\\" not in kept


def test_the_legend_has_a_second_line_where_one_is_too_short() -> None:
    stages = [f"a stage with a long name {i}" for i in range(9)]
    steps = {stage: RoadStep((stage,), "", stage) for stage in stages}
    arrows = [Arrow(one, (two,), ("f",)) for one, two in pairwise(stages)]
    figure = road(steps, arrows, stages, "A study")
    legend = [t for t in figure.axes[0].texts if t.get_text() in stages and t.get_fontsize() == 7]
    edges = [text.get_window_extent() for text in legend]
    assert len(edges) == 9 and len({round(edge.y0) for edge in edges}) > 1
    assert all(edge.x0 > 0 and edge.x1 < WIDTH * figure.dpi and edge.y0 > 0 for edge in edges)


def test_a_road_is_drawn_as_pdf_and_png_the_same_twice(tmp_path) -> None:
    steps = {
        "make": RoadStep(("make",), "Make it.", "first"),
        "use": RoadStep(("use", "show"), "", "second", ("a: 4 bits",), ("fig.pdf", "table.csv")),
    }
    arrows = [Arrow("make", ("use",), ("it.npz", "7 × 3 uint8"))]
    for run in ("one", "two"):
        figure = road(steps, arrows, ["first", "second"], "A study")
        texts = {text.get_text() for text in figure.axes[0].texts}
        assert {"make", "use", "show", "a: 4 bits", "it.npz", "7 × 3 uint8"} <= texts
        assert figure.get_size_inches()[0] == WIDTH
        assert min(t.get_fontsize() for t in figure.axes[0].texts if t.get_text()) >= 7
        save(figure, tmp_path / f"{run}.pdf", tmp_path / f"{run}.png")
    for suffix in ("pdf", "png"):
        one, two = (tmp_path / f"{run}.{suffix}" for run in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()
