"""The trials of a sweep."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from laq.experiments.sweep import points, settings_of
from laq.utils.errors import ConfigError

BITS = st.lists(st.integers(2, 32), max_size=4)
IMAGES = st.lists(st.integers(1, 500), max_size=4)
RECIPE = {"bits": 4, "images": 64, "ridge": 1.0, "skip_layers": ["stem"]}


def point(bits: int, images: int, classes: str) -> dict[str, Any]:
    return {"bits": bits, "images": images, "classes": classes}


def test_a_sweep_changes_one_setting_at_a_time() -> None:
    assert points(RECIPE, {"bits": [3, 4], "images": [16, 64]}) == [
        *(point(3, 64, "subset"), point(3, 64, "all")),
        *(point(4, 16, "subset"), point(4, 16, "all")),
        *(point(4, 64, "subset"), point(4, 64, "all")),
    ]


@given(BITS, IMAGES)
def test_every_point_comes_once_and_with_its_control(bits: list[int], images: list[int]) -> None:
    found = points(RECIPE, {"bits": bits, "images": images})
    keys = [tuple(point.values()) for point in found]
    assert len(set(keys)) == len(found)
    assert {point["bits"] for point in found} == {4, *bits}
    assert {point["images"] for point in found} == {64, *images}
    assert all(point["bits"] == 4 or point["images"] == 64 for point in found)
    aware = [{**point, "classes": "all"} for point in found if point["classes"] == "subset"]
    assert aware == [point for point in found if point["classes"] == "all"]


@given(BITS, IMAGES)
def test_crossed_every_value_meets_every_other_but_layers_meet_bits_alone(
    bits: list[int], images: list[int]
) -> None:
    levels = {"bits": bits, "images": images, "layers": ["without_head"]}
    found = points(RECIPE, levels, crossed=True)
    assert len({tuple(point.values()) for point in found}) == len(found)
    aware = [point for point in found if point["classes"] == "subset"]
    whole = {(point["bits"], point["images"]) for point in aware if point["layers"] == "all"}
    assert whole == {(b, i) for b in {4, *bits} for i in {64, *images}}
    headless = {(p["bits"], p["images"]) for p in aware if p["layers"] == "without_head"}
    assert headless == {(b, 64) for b in {4, *bits}}
    assert len(found) == 2 * (len(whole) + len(headless))


def test_layers_of_a_trial_become_layers_that_are_kept_in_float() -> None:
    stem, block, head = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Linear(4 * 4 * 4, 2)
    network = nn.Sequential(stem, block, nn.ReLU(), nn.Flatten(), head).eval()
    images = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    recipe = {**RECIPE, "skip_layers": []}

    def kept(layers: str) -> list[str]:
        return settings_of(recipe, {"bits": 2, "layers": layers}, network, images)["skip_layers"]

    assert [kept(each) for each in ("all", "without_head", "first_half")] == [[], ["4"], ["4"]]
    made = settings_of(RECIPE, {"bits": 2, "classes": "all"}, network, images)
    assert made == {**RECIPE, "bits": 2, "classes": "all"}
    with pytest.raises(ConfigError, match="all, without_head, first_half, not 'last'"):
        kept("last")
