"""What moves answers into the subset: effects of known size, their verdicts, their figure."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest

from laq.analysis import conditions
from laq.figures.conditions import figure

BASE = {"bits": 4, "scale": 1.16, "images": 64, "ridge": 0.0, "layers": "all"}
N = 1000
SUBSETS = [f"s{i}" for i in range(6)]
# Share inside beside .6: by clipping .2, by re-fitting .06 at the mean, by the head -.1.
CLIPPED, REFITTED, HEADLESS = 0.2, 0.06, -0.1


def share(place: int, point: dict[str, Any]) -> float:
    refitted = REFITTED + 0.02 * (place - 2.5)
    return (
        0.6
        + CLIPPED * (point["scale"] == 0.4) * (point["classes"] == "subset")
        + refitted * (point["ridge"] < 1)
        - HEADLESS * (point["layers"] == "without_head")
        + 0.001 * place
    )


@pytest.fixture(scope="module")
def trials() -> pd.DataFrame:
    crossed = product([4, 2], [1.16, 0.4], [64], [0.0, 1e-6, 1.0], ["all"])
    alone = product([4, 2], [1.16], [64], [0.0], ["without_head"])
    settings = [dict(zip(BASE, each, strict=True)) for each in (*crossed, *alone)]
    rows = [
        {
            "network": "net",
            "subset": subset,
            **point,
            "classes": classes,
            "repeat": 1,
            "scope": scope,
            "n": N,
            "correct": 500,
            "top1": 0.5,
            "in_subset": round(N * share(place, {**point, "classes": classes}))
            if scope == "all"
            else N,
        }
        for place, subset in enumerate(SUBSETS)
        for point in settings
        for classes in ("subset", "all")
        for scope in ("all", "subset")
    ]
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def original() -> pd.DataFrame:
    rows = [
        {"setting": "net", "subset": subset, "scope": scope, "n": N, "top1": top1, "in_subset": 600}
        for subset in SUBSETS
        for scope, top1 in (("all", 0.45), ("subset", 0.55))
    ]
    return pd.DataFrame(rows)


def test_effects_are_those_of_the_condition_alone(
    trials: pd.DataFrame, original: pd.DataFrame
) -> None:
    found = conditions.changes(trials, original)
    assert len(found) == len(trials) / 2
    verdicts = conditions.judged(found, BASE, 0.95).set_index("hypothesis")
    effect = verdicts["effect"].to_dict()
    assert effect["clipping"] == pytest.approx(CLIPPED, abs=1e-3)
    assert effect["refitting"] == pytest.approx(REFITTED, abs=1e-3)
    assert effect["silent_inputs"] == pytest.approx(0, abs=1e-9)
    assert effect["rounding"] == pytest.approx(0, abs=1e-9)
    assert effect["head"] == pytest.approx(HEADLESS, abs=1e-3)
    # Half of the crossed trials are clipped, and so are 6 of all 14.
    assert effect["label_aware"] == pytest.approx(CLIPPED * 6 / 14, abs=1e-3)
    # The mean of .06 and of .001 times the subsets' places.
    assert effect["as_published"] == pytest.approx(REFITTED + 0.0025, abs=1e-3)
    assert "few_images" not in effect and "depth" not in effect  # levels lack their other end
    np.testing.assert_allclose(verdicts.loc["as_published", "top1_all"], 0.05)
    np.testing.assert_allclose(verdicts.loc["as_published", "top1_subset"], -0.05)
    assert (verdicts["n"] == len(SUBSETS)).all()
    verdict = verdicts["verdict"].to_dict()
    assert verdict["clipping"] == "supported" and verdict["head"] == "contradicted"
    assert verdict["refitting"] == "undecided"  # subsets differ by more than it exceeds 5 points


def test_the_figure_shows_what_the_table_says(trials: pd.DataFrame, original: pd.DataFrame) -> None:
    found = conditions.changes(trials, original)
    verdicts = conditions.judged(found, BASE, 0.95)
    drawn = figure(found, verdicts, BASE, "Made data", 0.95)
    effects, clipping, rounding = drawn.axes
    marks = [line for line in effects.lines if line.get_marker() == "s"]
    shown = [float(np.asarray(line.get_xdata()).item()) for line in marks]
    np.testing.assert_allclose(shown, 100 * verdicts["effect"])
    assert [label.get_text() for label in clipping.get_xticklabels()] == ["0.4", "1.16"]
    assert [label.get_text() for label in rounding.get_xticklabels()] == ["2", "4"]
    inside = clipping.lines[0].get_ydata()
    np.testing.assert_allclose(np.diff(inside), [-100 * CLIPPED], atol=0.1)
