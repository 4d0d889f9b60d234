"""The x axis of figures against distance: limits, ticks, points side by side."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from laq.analysis.curves import fit_curves
from laq.figures.accuracy import SCOPES
from laq.figures.axis import asides, limits, print_width, roomy, span
from laq.figures.words import text_width
from tests.unit.test_plots_accuracy import FOUR, HOW, draw, print_places, table

SPANS = [
    (3, 40),
    (200, 900),
    (0.5, 6),
    (1000, 1400),
    (2000, 150_000),
    (30_000, 90_000),
    (2e4, 1e6),
    (45, 1e5),
    (1e-3, 1e9),
    (7, 7.0001),
]


@pytest.fixture(autouse=True)
def no_figures_left() -> Iterator[None]:
    yield
    plt.close("all")


def between(low: float, high: float, count: int = 6):
    """Curves of subsets at distances from ``low`` to ``high``."""
    data = table(count=count)
    old = np.sort(data["median_icd"].unique())
    new = dict(zip(old, np.geomspace(low, high, count), strict=True))
    return fit_curves(data.assign(median_icd=data["median_icd"].map(new)), **HOW)


def labels(panel: Axes) -> list:
    """Boxes of the tick labels that are seen, major and minor, from left to right."""
    texts = panel.get_xticklabels() + panel.get_xticklabels(minor=True)
    low, high = panel.get_xlim()
    seen = [text for text in texts if text.get_text() and low <= text.get_position()[0] <= high]
    return sorted((text.get_window_extent() for text in seen), key=lambda box: box.x0)


@pytest.mark.parametrize("scale", ["linear", "log"])
@pytest.mark.parametrize("ends", SPANS, ids=str)
def test_tick_labels_do_not_overlap_whatever_is_spanned(
    ends: tuple[float, float], scale: str
) -> None:
    of = between(*ends)
    figure = draw(of, scale=scale, published=of)
    figure.draw_without_rendering()
    assert len(figure.axes) == 4  # with those on top
    for panel in figure.axes:
        boxes = labels(panel)
        assert len(boxes) >= 2
        gap = 2 * figure.dpi / 72
        assert all(one.x1 + gap < other.x0 for one, other in pairwise(boxes))


@pytest.mark.parametrize("ratio", np.geomspace(1.2, 200, 13))
@pytest.mark.parametrize("low", [1.0, 2.1, 6.3, 20_500.0])
def test_a_log_axis_has_two_labels_or_more_that_do_not_overlap(low: float, ratio: float) -> None:
    figure, panel = plt.subplots(figsize=(print_width(2) / 72, 1))
    figure.subplots_adjust(0, 0.5, 1, 1)
    panel.tick_params(labelsize=8)
    span(panel, (low, low * ratio), "log")
    figure.draw_without_rendering()
    boxes = labels(panel)
    assert len(boxes) >= 2
    assert all(one.x1 < other.x0 for one, other in pairwise(boxes))


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


@pytest.mark.parametrize(
    "new",
    [[0.3, 30, 60, 67], [*np.linspace(0.3, 15, 20), *np.linspace(45, 67, 10)]],
    ids=["few", "as published"],
)
def test_no_point_of_a_linear_axis_moves_below_zero(new: list[float]) -> None:
    data = table(count=len(new))
    old = np.sort(data["median_icd"].unique())
    data["median_icd"] = data["median_icd"].map(dict(zip(old, new, strict=True)))
    figure = draw(fit_curves(data, **HOW), scale="linear")
    figure.draw_without_rendering()
    for panel in figure.axes[: len(SCOPES)]:
        zero = panel.transData.transform((0, 0))[0]
        shown = np.array([print_places(panel, arm.variant)[:, 0] for arm in FOUR])
        assert shown.min() >= zero
        gap = np.median(np.diff(panel.transData.transform(np.stack([new, new], 1))[:, 0]))
        assert np.ptp(shown, axis=0).max() <= gap


def test_points_side_by_side_keep_off_the_neighbours() -> None:
    x = np.linspace(50, 60, 30)
    for scale in ("linear", "log"):
        shifts = asides(x, limits(x, scale), scale, 4, 2)
        assert len(shifts) == 4 and np.sum(shifts) == pytest.approx(0)
        assert 0 < np.ptp(shifts) < print_width(2) / 30
    assert np.ptp(asides([50.0], limits([50.0], "log"), "log", 4, 2)) == pytest.approx(9 * 3 / 4)


def test_labels_that_would_meet_are_left_out_and_the_last_is_kept() -> None:
    texts = [str(2**power) for power in range(12)]
    places = np.linspace(0, 118, 12)
    kept = roomy(places, texts)
    assert kept[0] == "1" and kept[-1] == "2048" and "" in kept
    shown = [(at, text) for at, text in zip(places, kept, strict=True) if text]
    for (at, text), (next_at, next_text) in pairwise(shown):
        assert at + 36 * text_width(text, 8) < next_at - 36 * text_width(next_text, 8)
    assert roomy([0, 50, 100], ["16", "64", "256"]) == ["16", "64", "256"]
