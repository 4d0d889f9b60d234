"""Figures 2 and 3 as they are drawn: boxes, arrows and text keep apart, the same bytes twice."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle
from matplotlib.path import Path as MplPath
from matplotlib.transforms import Bbox

from laq.figures.roads import PER_ROW, road, rows_of
from laq.figures.style import WIDTH, save

Edges = tuple[float, float, float, float]  # left, right, top, bottom in inches


@st.composite
def graphs(draw: st.DrawFn) -> nx.DiGraph:
    """Up to 12 rules with text of any length."""
    count = draw(st.integers(1, 12))
    graph = nx.DiGraph()
    for number in range(count):
        text = [" ".join(["some_words"] * draw(st.integers(1, 30)))] * draw(st.integers(0, 3))
        graph.add_node(f"rule_{number}", text=text, before=draw(st.booleans()))
    for pair in combinations(sorted(graph), 2):
        if draw(st.integers(0, 2)) == 0:
            graph.add_edge(*pair)
    return graph


def drawn(graph: nx.DiGraph) -> tuple[Figure, list[Edges], list[MplPath]]:
    """The figure, its boxes, and the pieces of its arrows."""
    figure = road(graph, {rule: f"stage {rule[-1]}" for rule in graph}, "A study")
    patches = figure.axes[0].patches
    boxes = [
        (p.get_x(), p.get_x() + p.get_width(), p.get_y(), p.get_y() + p.get_height())
        for p in patches
        if isinstance(p, Rectangle)
    ]
    pieces = [p._path_original for p in patches if isinstance(p, FancyArrowPatch)]
    return figure, boxes, pieces


@settings(max_examples=15, deadline=None)
@given(graphs())
def test_boxes_and_text_keep_apart_and_no_arrow_crosses_a_box(graph: nx.DiGraph) -> None:
    figure, boxes, pieces = drawn(graph)
    assert len(boxes) == len(graph)
    for left, right, top, bottom in boxes:
        assert left > 0 and right < WIDTH and top > 0 and bottom < figure.get_figheight()
        inside = Bbox.from_extents(left, top, right, bottom).padded(-0.001)
        assert not any(piece.intersects_bbox(inside, filled=False) for piece in pieces)
    for one, other in combinations(boxes, 2):
        assert one[1] < other[0] or other[1] < one[0] or one[3] < other[2] or other[3] < one[2]
    figure.draw_without_rendering()
    height, dpi = figure.get_figheight(), figure.dpi
    for text in figure.axes[0].texts[1:]:  # after the title
        extent = text.get_window_extent()
        edges = (extent.x0, extent.x1, dpi * height - extent.y1, dpi * height - extent.y0)
        left, right, top, bottom = (edge / dpi for edge in edges)
        assert text.get_fontsize() >= 7
        assert any(
            box[0] < left and right < box[1] and box[2] < top and bottom < box[3] for box in boxes
        )
    plt.close(figure)


@settings(max_examples=50, deadline=None)
@given(graphs())
def test_a_rule_is_below_those_it_needs(graph: nx.DiGraph) -> None:
    rows = rows_of(graph)
    assert all(rows[source] < rows[target] for source, target in graph.edges)
    counts = np.bincount(list(rows.values()))
    assert counts.min() >= 1 and counts.max() <= PER_ROW


def test_an_arrow_has_a_head_at_each_rule_that_takes_its_files() -> None:
    graph = nx.DiGraph([("a", "b"), ("b", "c"), ("c", "d"), ("a", "d"), ("a", "c")])
    nx.set_node_attributes(graph, {rule: {"text": [], "before": False} for rule in graph})
    _, boxes, pieces = drawn(graph)
    ends = [tuple(piece.vertices[-1]) for piece in pieces]
    below = sorted(boxes, key=lambda box: box[2])
    for rule, (left, right, top, _) in zip(sorted(graph), below, strict=True):
        heads = {x for x, y in ends if y == pytest.approx(top) and left < x < right}
        assert len(heads) == graph.in_degree(rule)


def test_rules_that_lead_round_in_a_circle_are_refused() -> None:
    with pytest.raises(nx.NetworkXUnfeasible):
        road(nx.DiGraph([("a", "b"), ("b", "c"), ("c", "b")]), dict.fromkeys("abc", "s"), "A study")


def test_a_road_is_drawn_as_pdf_and_png_the_same_twice(tmp_path: Path) -> None:
    graph = nx.DiGraph([("make", "use")])
    graph.nodes["make"].update(text=["Make it.", "→ it.npz: 7 × 3 uint8"], before=True)
    graph.nodes["use"].update(text=["a: bits 4", "$1$"], before=False)
    for run in ("one", "two"):
        figure = road(graph, {"make": "first", "use": "second"}, "A study")
        texts = {text.get_text() for text in figure.axes[0].texts}
        assert {"A study", "make", "use", "→ it.npz: 7 × 3 uint8", "a: bits 4"} <= texts
        assert {text.get_text() for text in figure.legends[0].texts} == {"first", "second"}
        dollars = next(text for text in figure.axes[0].texts if "1" in text.get_text()[:3])
        assert dollars._preprocess_math(dollars.get_text()) == ("$1$", False)
        save(figure, tmp_path / f"{run}.pdf", tmp_path / f"{run}.png")
    for suffix in ("pdf", "png"):
        one, two = (tmp_path / f"{run}.{suffix}" for run in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()
