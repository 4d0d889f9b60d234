"""Layout of the diagrams: nothing overlaps, whatever the graph."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from laq.figures.diagrams.boxes import repeat, text_width
from laq.figures.diagrams.lanes import LaneLayout, Rectangle, Wire, arrange

PAGE = 7.0


@st.composite
def diagrams(draw: st.DrawFn) -> tuple[dict[str, tuple[float, float]], list[Wire]]:
    """Boxes and wires of a random acyclic graph: each wire goes to later boxes."""
    names = [f"r{i}" for i in range(draw(st.integers(2, 9)))]
    lengths = st.floats(0.6, 1.6)
    sizes = {name: (draw(lengths), draw(st.floats(0.3, 1.5))) for name in names}
    wires = []
    for place, source in enumerate(names[:-1]):
        for _ in range(draw(st.integers(0, 2))):
            targets = draw(st.sets(st.sampled_from(names[place + 1 :]), min_size=1, max_size=4))
            label = (draw(st.floats(0.3, 1.2)), draw(st.floats(0.1, 0.3)))
            wires.append(Wire(source, tuple(sorted(targets)), label))
    return sizes, wires


def apart(one: Rectangle, other: Rectangle) -> bool:
    return (
        one.x + one.width <= other.x + 1e-6
        or other.x + other.width <= one.x + 1e-6
        or one.bottom <= other.y + 1e-6
        or other.bottom <= one.y + 1e-6
    )


def crosses(place: Rectangle, piece: tuple[float, float, float, float]) -> bool:
    """Whether an upright or level piece runs through a rectangle."""
    x1, y1, x2, y2 = piece
    return (
        max(x1, x2) > place.x + 1e-6
        and min(x1, x2) < place.x + place.width - 1e-6
        and max(y1, y2) > place.y + 1e-6
        and min(y1, y2) < place.bottom - 1e-6
    )


def overlap(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Whether two pieces run on top of each other for more than a point."""
    for along, across in ((0, 1), (1, 0)):
        same = one[across] == one[across + 2] and other[across] == other[across + 2]
        if same and abs(one[across] - other[across]) < 0.02:
            low = max(min(one[along], one[along + 2]), min(other[along], other[along + 2]))
            high = min(max(one[along], one[along + 2]), max(other[along], other[along + 2]))
            return high - low > 1e-6
    return False


@settings(max_examples=60, deadline=None)
@given(diagrams())
def test_boxes_labels_and_lines_keep_apart(
    made: tuple[dict[str, tuple[float, float]], list[Wire]],
) -> None:
    sizes, wires = made
    layout = arrange(sizes, wires, PAGE)
    places = [*layout.boxes.values(), *(route.label for route in layout.routes)]
    assert all(apart(one, other) for one, other in combinations(places, 2))
    for number, route in enumerate(layout.routes):
        for piece in route.pieces:
            assert not any(crosses(box, piece) for box in layout.boxes.values())
            others = [r.label for n, r in enumerate(layout.routes) if n != number]
            assert not any(crosses(label, piece) for label in others)


@settings(max_examples=60, deadline=None)
@given(diagrams())
def test_no_two_wires_run_on_top_of_each_other(
    made: tuple[dict[str, tuple[float, float]], list[Wire]],
) -> None:
    layout = arrange(*made, PAGE)
    for one, other in combinations(layout.routes, 2):
        assert not any(overlap(a, b) for a in one.pieces for b in other.pieces)


def test_wires_into_a_narrow_box_below_labels_keep_apart() -> None:
    sizes = {f"r{i}": (1.0, 1.0) for i in range(7)} | {"r4": (0.75, 1.0), "r7": (0.625, 1.0)}
    wires = [
        Wire("r0", ("r1", "r2", "r7"), (1.0, 0.25)),
        Wire("r1", ("r2", "r3", "r4", "r7"), (1.0, 0.25)),
        Wire("r2", ("r3",), (1.0, 0.25)),
        Wire("r2", ("r3", "r4", "r7"), (1.0, 0.25)),
        Wire("r3", ("r5", "r7"), (1.0, 0.25)),
    ]
    layout = arrange(sizes, wires, PAGE)
    for one, other in combinations(layout.routes, 2):
        assert not any(overlap(a, b) for a in one.pieces for b in other.pieces)


@settings(max_examples=60, deadline=None)
@given(diagrams())
def test_every_wire_leads_from_its_source_to_its_targets(
    made: tuple[dict[str, tuple[float, float]], list[Wire]],
) -> None:
    sizes, wires = made
    layout = arrange(sizes, wires, PAGE)
    for wire, route in zip(wires, layout.routes, strict=True):
        assert route.pieces[0][1] == layout.boxes[wire.source].bottom
        assert len(route.heads) == len(wire.targets)
        for target in wire.targets:
            box = layout.boxes[target]
            assert any(box.x < x < box.x + box.width and y == box.y for x, y in route.heads)
            assert box.y > layout.boxes[wire.source].bottom
        assert len(reached(route.pieces)) == len(route.pieces)


def reached(pieces: list[tuple[float, float, float, float]]) -> set[int]:
    """Pieces that hang together with the first one."""
    found, waiting = {0}, [0]
    while waiting:
        x1, y1, x2, y2 = pieces[waiting.pop()]
        for number, (a1, b1, a2, b2) in enumerate(pieces):
            touch = (
                max(min(x1, x2), min(a1, a2)) <= min(max(x1, x2), max(a1, a2)) + 1e-9
                and max(min(y1, y2), min(b1, b2)) <= min(max(y1, y2), max(b1, b2)) + 1e-9
            )
            if touch and number not in found:
                found.add(number)
                waiting.append(number)
    return found


@pytest.mark.parametrize("boxes", [1, 3, 9])
def test_a_row_that_is_too_wide_is_broken(boxes: int) -> None:
    sizes = {"first": (1.0, 0.4)} | {f"b{i}": (2.0, 0.4) for i in range(boxes)}
    layout = arrange(sizes, [Wire("first", tuple(list(sizes)[1:]), (0.5, 0.2))], PAGE)
    assert all(box.x >= 0 and box.x + box.width <= PAGE for box in layout.boxes.values())
    assert layout.rows == 1 + -(-boxes // 3)


def test_a_circle_is_refused() -> None:
    wires = [Wire("a", ("b",), (0.1, 0.1)), Wire("b", ("a",), (0.1, 0.1))]
    with pytest.raises(ValueError, match="circle"):
        arrange({"a": (1, 1), "b": (1, 1)}, wires, PAGE)


def test_branches_have_a_dot_and_bends_have_none() -> None:
    sizes = dict.fromkeys("abc", (1.0, 0.4))
    straight = arrange(sizes, [Wire("a", ("b",), (0.5, 0.2))], PAGE)
    assert straight.routes[0].junctions == []
    branched: LaneLayout = arrange(sizes, [Wire("a", ("b", "c"), (0.5, 0.2))], PAGE)
    assert len(branched.routes[0].junctions) == 1


@settings(max_examples=60, deadline=None)
@given(diagrams())
def test_repeated_names_stand_on_their_wire_and_on_nothing_else(
    made: tuple[dict[str, tuple[float, float]], list[Wire]],
) -> None:
    layout = arrange(*made, PAGE)
    choices = [[f"file_{n}.safetensors", f"file_{n}"] for n in range(len(layout.routes))]
    names = repeat(layout, choices)
    places = [place for _, _, place in names]
    blocks = [*layout.boxes.values(), *(route.label for route in layout.routes)]
    assert all(apart(one, other) for one, other in combinations(places, 2))
    assert all(apart(place, block) for place in places for block in blocks)
    for number, name, place in names:
        assert name in choices[number] and text_width(name) <= place.width
        through = [
            other
            for other, route in enumerate(layout.routes)
            if any(crosses(place, piece) for piece in route.pieces)
        ]
        assert through == [number]
