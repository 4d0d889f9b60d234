"""Figures of Deep Compression, from small tables: what stands where, and what is said of it."""

from __future__ import annotations

import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from laq.analysis.claims.effects import Rigour
from laq.analysis.deep.ratio_claims import gained, judge
from laq.figures import deep, deep_label_aware
from tests.unit.test_deep_label_aware import curves

NETWORKS = ("one", "$two$_net")
STAGES = pd.DataFrame(
    {"network": network, "stage": stage, "top1": 0.99}
    for network in NETWORKS
    for stage in ("original", "pruned")
)
RIGOUR = Rigour(0.95, 200, 0, draws=500)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def marks(panel: Axes) -> set[tuple[float, float]]:
    """Places of all marks of a panel, rounded."""
    return {
        (round(float(x), 6), round(float(y), 6))
        for line in panel.get_lines()
        if line.get_marker() not in ("None", None, "")
        for x, y in zip(*line.get_data(), strict=True)
    }


def test_curves_stand_at_ratio_and_accuracy_with_training_and_without() -> None:
    table = pd.DataFrame(
        {
            "network": network,
            "method": method,
            "training": training,
            "ratio": ratio,
            "n": 100,
            "correct": 90 + step,
            "top1": (90 + step) / 100,
        }
        for network in NETWORKS
        for step, method in enumerate(deep.METHODS)
        for training, ratio in (("none", 4.0), ("retrained", 8.0))
    )
    figure = deep.curves(table, STAGES, "A & B_1", 0.95)
    assert len(figure.axes) == 4
    assert marks(figure.axes[0]) == {(8, 90 + step) for step in range(4)}
    assert marks(figure.axes[1]) == {(4, 90 + step) for step in range(4)}
    for panel in figure.axes:  # the bars of all points are within
        low, high = panel.get_ylim()
        assert low < 83 and high > 97
    figure.canvas.draw()


def weights_table() -> pd.DataFrame:
    rows = []
    for network in NETWORKS:
        for layer, size in (("small", 5), ("large", 500)):
            for stage in ("original", "pruned", "clustered", "shared"):
                count = size if stage == "original" else 3
                for place in (-0.2, 0.1):
                    end = place + (0.1 if stage in ("original", "pruned") else 0)
                    row = {"network": network, "layer": layer, "stage": stage}
                    rows.append({**row, "low": place, "high": end, "count": count})
    return pd.DataFrame(rows)


def test_the_largest_layer_is_shown_stage_by_stage() -> None:
    figure = deep.weights(weights_table(), "Study")
    heads = [panel.get_title().split("\n") for panel in figure.axes[:3]]
    assert heads[0][-1] == "1,000 weights" and heads[1][-1] == "6 are left"
    assert heads[2][-1] == "2 values"
    said = {text.get_text() for panel in figure.axes for text in panel.texts}
    assert any("large" in text for text in said) and not any("small" in text for text in said)
    assert marks(figure.axes[2]) == {(-0.2, 3), (0.1, 3)}
    figure.canvas.draw()


def test_random_centroids_stand_at_their_mean_and_bars_go_from_the_worst_to_the_best() -> None:
    table = pd.DataFrame(
        {
            "network": network,
            "bits": bits,
            "initial": way,
            "repeat": repeat,
            "stage": stage,
            "error": 0.1 * repeat,
            "n": 100,
            "correct": 90 + repeat,
            "top1": (90 + repeat) / 100,
        }
        for network in NETWORKS
        for bits in (2, 3)
        for way in deep.WAYS
        for repeat in ((1, 2, 3) if way == "random" else (1,))
        for stage in ("clustered", "shared")
    )
    figure = deep.initial(table, STAGES, "Study", 0.95)
    assert marks(figure.axes[0]) == {(bits, y) for bits in (2, 3) for y in (10, 20)}
    assert marks(figure.axes[2]) == {(bits, y) for bits in (2, 3) for y in (91, 92)}
    assert figure.axes[0].get_ylim()[1] > 30  # above the highest bar
    bars = [
        segment[:, 1].round(6).tolist()
        for bar in figure.axes[2].collections
        for segment in bar.get_segments()
    ]
    assert bars.count([91, 93]) == 2
    figure.canvas.draw()


def label_aware(table: pd.DataFrame) -> list[Axes]:
    gains = gained(table, 0.05)
    claims = judge(gains, RIGOUR)
    figure = deep_label_aware.label_aware(table, gains, claims, "Study", "log", 0.05, RIGOUR)
    figure.canvas.draw()
    return figure.axes


def test_the_ratio_gained_stands_at_the_subsets_icd() -> None:
    left, right = label_aware(curves([1.5, 1.2, 1.1, 1.3, 1.4, 1.2]))
    places = [10.0 * 2**number for number in range(6)]
    assert marks(right) >= set(zip(places, [1.5, 1.2, 1.1, 1.3, 1.4, 1.2], strict=True))
    assert right.get_title().startswith("mean 1.28 (") and right.get_title().endswith("n = 6")
    assert (10, 100) in marks(left) and (40, 90) in marks(left)
    heights = {round(float(line.get_ydata()[0])) for line in left.get_lines()}
    assert {100, 95} <= heights
