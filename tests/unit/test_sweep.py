"""The points of a sweep."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from laq.sweep import Point, points

BITS = st.lists(st.integers(2, 32), max_size=4)
IMAGES = st.lists(st.integers(1, 500), max_size=4)


def test_a_sweep_changes_one_setting_at_a_time() -> None:
    assert points({"bits": 4, "images": 64}, [3, 4], [16, 64]) == [
        *(Point(3, 64, "subset"), Point(3, 64, "all")),
        *(Point(4, 16, "subset"), Point(4, 16, "all")),
        *(Point(4, 64, "subset"), Point(4, 64, "all")),
    ]


@given(BITS, IMAGES)
def test_every_point_comes_once_and_with_its_control(bits: list[int], images: list[int]) -> None:
    found = points({"bits": 4, "images": 64}, bits, images)
    assert len(set(found)) == len(found)
    assert {point.bits for point in found} == {4, *bits}
    assert {point.images for point in found} == {64, *images}
    assert all(point.bits == 4 or point.images == 64 for point in found)
    assert {point._replace(classes="all") for point in found if point.classes == "subset"} == {
        point for point in found if point.classes == "all"
    }
