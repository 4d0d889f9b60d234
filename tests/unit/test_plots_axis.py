"""The x axis of figures against distance: limits, ticks, points side by side."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from matplotlib import pyplot as plt

from laq.figures.axis import limits


@pytest.fixture(autouse=True)
def no_figures_left() -> Iterator[None]:
    yield
    plt.close("all")


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_limits_hold_a_single_distance_in_their_midst(scale: str) -> None:
    low, high = limits([40.0, 40.0], scale)
    assert low < 40 < high
    middle = np.sqrt(low * high) if scale == "log" else (low + high) / 2
    assert middle == pytest.approx(40)


def test_limits_leave_out_what_the_axis_cannot_show() -> None:
    low, high = limits([0.0, np.nan, 2.0, 8.0], "log")
    assert 1 < low < 2 and 8 < high < 16
    assert np.isfinite(limits([0.0], "log")).all()
    low, high = limits([0.0], "linear")
    assert low < 0 < high
