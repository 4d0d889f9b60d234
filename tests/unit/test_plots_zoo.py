"""The zoo's figures: the front, what is named, and gains that are known without measuring."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import pyplot as plt

from laq.figures import zoo

METHODS = {
    "original": ("float", 32000, 0.97, ["none"]),
    "near_2": ("nearest", 4000, 0.5, ["none"]),
    "gpfq_2": ("GPFQ", 4010, 0.9, ["subset", "all", "synthetic"]),
    "gpfq_4": ("GPFQ", 8000, 0.98, ["subset", "all", "synthetic"]),
    "w8a8": ("activations too", 16000, 0.96, ["subset", "all"]),
}


@pytest.fixture
def table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "network": network,
            "method": method,
            "family": family,
            "scope": scope,
            "calibration": calibration,
            "top1": top1 - 0.1 * (calibration != "subset"),
            "low": top1 - 0.2,
            "high": top1,
            "bytes": size,
            "gain": np.nan if calibration == "all" else 0.1 * (calibration == "subset"),
            "gain_low": -0.01,
            "gain_high": 0.2,
        }
        for network in ("one", "$two$")
        for method, (family, size, top1, calibrations) in METHODS.items()
        for calibration in calibrations
        for scope in ("all", "subset")
    )


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), min_size=1, max_size=12))
def test_the_front_is_what_no_other_outdoes(points: list[tuple[int, int]]) -> None:
    sizes, top1 = np.array(points, float).T
    found = {points[place] for place in zoo.front(sizes, top1)}
    assert found == {
        (s, t)
        for s, t in points
        if not any(a <= s and b >= t and (a, b) != (s, t) for a, b in points)
    }


def test_methods_stand_at_their_label_aware_accuracy_and_the_front_is_named(
    table: pd.DataFrame,
) -> None:
    figure = zoo.accuracy_against_bytes(table, "A & B_1")
    panels = figure.axes
    assert [panel.get_title() for panel in panels[2:]] == ["\non All", "\non Sub"]
    for panel in panels:
        points = {
            (float(x), round(float(y), 9))
            for line in panel.get_lines()
            if line.get_linestyle() == "None"
            for x, y in zip(*line.get_data(), strict=True)
        }
        # What looks at no image stands at its own.
        shown = {(size, 100 * (top1 - 0.1 * (calibrations == ["none"])))
                 for _, size, top1, calibrations in METHODS.values()}  # fmt: skip
        assert points >= {(x, round(y, 9)) for x, y in shown if x > 4000}
        named = {text.get_text() for text in panel.texts}
        assert {"gpfq_2", "gpfq_4"} <= named and not named & {"w8a8", "near_2", "original"}
    figure.canvas.draw()


def test_gains_are_of_the_calibrations_that_may_gain(table: pd.DataFrame) -> None:
    figure = zoo.gains(table, "Study", 0.9)
    first = figure.axes[0]
    names = [text.get_text() for text in first.get_yticklabels()]
    assert names == ["gpfq_2", "gpfq_4", "w8a8"]  # near_2 looks at no image
    points = [
        (round(float(x), 9), round(float(y)))
        for line in first.get_lines()
        if line.get_linestyle() == "None"
        for x, y in zip(*line.get_data(), strict=True)
    ]
    assert sorted(points) == sorted([(10, 0), (10, 1), (10, 2), (0, 0), (0, 1)])
    assert "90 %" in figure.get_suptitle()
    assert first.get_xscale() == "symlog" and "logarithmic" in first.get_xlabel()
    figure.canvas.draw()
