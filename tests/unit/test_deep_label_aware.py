"""Label-aware compression: equal steps, equal accuracy, bounds where a curve says no more."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from laq.analysis.claims.effects import Rigour
from laq.analysis.deep.ratio_claims import gained, judge, mean, observations, slope
from laq.analysis.deep.reach import Reach, reach
from laq.data import Dataset
from laq.experiments.deep import label_aware
from laq.experiments.variants.task import Task
from laq.utils.errors import DataError
from tests.unit.test_deep_course import settings
from tests.unit.test_qat_training import SPEC, SPLITS, trained

torch.set_num_threads(1)
RIGOUR = Rigour(0.95, 400, 0, draws=2000)
INF = float("inf")


# Equal accuracy.


def test_a_curve_crosses_on_a_line_over_the_logarithm_of_the_ratio() -> None:
    # Halfway down between 10 and 40: at their geometric mean.
    assert reach([40, 10], [0.9, 1.0], 0.95).ratio == pytest.approx(20)


@pytest.mark.parametrize(
    ("top1", "level", "expected"),
    [
        ([1.0, 0.9, 0.8], 0.7, Reach(40, 40, INF)),  # never below
        ([0.6, 0.5, 0.4], 0.7, Reach(10, 1, 10)),  # begins below
        ([0.9, 0.7, 0.7], 0.7, Reach(40, 40, INF)),  # at the level is not below
        ([0.9, 0.9, 0.5], 0.9, Reach(20, 20, 20)),  # the right end of what is level
        # The dip at 20 and the rise at 40 are their mean, 0.8: the crossing is before both.
        ([1.0, 0.7, 0.9], 0.9, Reach(10 * 2**0.5, 10 * 2**0.5, 10 * 2**0.5)),
    ],
)
def test_curves_by_hand(top1: list[float], level: float, expected: Reach) -> None:
    found = reach([10, 20, 40], top1, level)
    assert vars(found) == pytest.approx(vars(expected))
    assert found.censored == (expected.low < expected.high)


@given(
    st.lists(st.tuples(st.integers(1, 99), st.integers(0, 20)), min_size=1, max_size=7),
    st.integers(0, 20),
    st.integers(0, 5),
)
def test_a_lower_level_is_never_reached_sooner(
    points: list[tuple[int, int]], level: int, less: int
) -> None:
    ratios, top1 = np.array(points).T
    high, low = (reach(ratios, top1 / 20, at / 20) for at in (level, level - less))
    assert low.ratio >= high.ratio - 1e-9
    assert high.low <= high.ratio <= high.high
    assert reach(ratios[::-1], top1[::-1] / 20, level / 20).ratio == pytest.approx(high.ratio)


# As many steps.


@given(st.integers(1, 30), st.integers(2, 3000), st.integers(2, 3000), st.integers(2, 128))
def test_all_classes_take_as_many_steps(epochs: int, one: int, other: int, batch: int) -> None:
    fewer, there = sorted((one, other))
    passes, number = label_aware.paced(epochs, fewer, there, batch)
    steps = epochs * label_aware._steps(fewer, batch)
    assert passes <= epochs and number <= there
    assert steps <= passes * label_aware._steps(number, batch) < steps + passes
    # With one pass fewer even all images would not make so many.
    assert (passes - 1) * label_aware._steps(there, batch) < steps


@pytest.fixture(scope="module")
def task() -> Task:
    train, test = (
        Dataset(images.numpy(), labels.numpy(), tuple("0123")) for images, labels in SPLITS
    )
    described = {"network": SPEC, "classes": list("0123"), "steps": [], "digest": "0"}
    return Task(
        copy.deepcopy(trained()),
        described,
        name="deep",
        recipe={},
        members=[1, 3],
        taken=list(range(4)),
        train=train,
        test=test,
        seed=5,
    )


def test_both_arms_are_made_of_their_own_images_in_as_many_steps(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, set[int]] = {"subset": set(), "all": set()}
    arm = ["subset"]
    plain = label_aware.Trainer.__call__

    def watched(self, network, images, constraint, stage, **changes):
        seen[arm[0]] |= set(images[1].tolist())
        return plain(self, network, images, constraint, stage, **changes)

    monkeypatch.setattr(label_aware.Trainer, "__call__", watched)
    asked, rows = settings(classes="all", tuning_epochs=1), []
    for arm[0] in label_aware.ARMS:
        rows += label_aware.measure(task, asked, [label_aware.DensityPoint(arm[0], 0.2)], tmp_path)
    assert seen == {"subset": {1, 3}, "all": set(range(4))}
    table = pd.DataFrame(rows).drop_duplicates()
    assert table[["classes", "scope"]].to_numpy().tolist() == [
        [classes, scope] for classes in ("none", "subset", "all") for scope in ("all", "subset")
    ]
    steps = table.groupby("classes")["steps"].first()
    assert steps["subset"] <= steps["all"] <= steps["subset"] + 3
    whole = table[table["classes"] == "none"]
    assert (whole["ratio"] == 1).all() and whole["n"].iloc[0] == int(
        np.isin(SPLITS[1][1].numpy(), [1, 3]).sum()
    )
    coded = table[table["classes"] != "none"]
    assert (coded["bytes"] * coded["ratio"]).tolist() == pytest.approx([whole["bytes"].iloc[0]] * 4)
    assert list(tmp_path.iterdir()) == []
    # The same again, to the byte.
    again = list(label_aware.measure(task, asked, [label_aware.DensityPoint("all", 0.2)], tmp_path))
    assert again[2:] == rows[-2:]


# What is gained, and what is concluded.


def curves(gains: list[float], top1: dict[str, list[float]] | None = None) -> pd.DataFrame:
    """A table of subsets on which the aware ratio is larger by these factors."""
    rates = {"subset": [1.0, 0.9], "all": [1.0, 0.9], **(top1 or {})}
    rows = []
    for number, gain in enumerate(gains):
        own = {"network": "net", "subset": f"s{number}", "median_icd": 10.0 * 2**number}
        own |= {"mean_icd": 10.0, "scope": "subset", "repeat": 1, "n": 100}
        rows.append({**own, "classes": "none", "density": 1.0, "top1": 1.0, "ratio": 1.0})
        for classes, factor in (("subset", gain), ("all", 1.0)):
            for kept, ratio, rate in zip((0.2, 0.1), (10.0, 40.0), rates[classes], strict=True):
                rows.append(
                    {
                        **own,
                        "classes": classes,
                        "density": kept,
                        "top1": rate,
                        "ratio": ratio * factor,
                    }
                )
    table = pd.DataFrame(rows)
    return table.assign(correct=(100 * table["top1"]).round(), bytes=1000)


def test_the_ratio_gained_is_that_at_equal_accuracy() -> None:
    found = gained(curves([1.5, 0.5]), 0.05)
    assert found["gained"].tolist() == pytest.approx([1.5, 0.5])
    assert found["ratio_agnostic"].tolist() == pytest.approx([20, 20])
    assert (found["gained_low"] == found["gained"]).all() and (found["censored"] == "").all()
    assert found["level"].tolist() == [0.95, 0.95]


def test_a_curve_that_never_falls_leaves_the_ratio_gained_open() -> None:
    row = gained(curves([1.5], {"subset": [1.0, 0.97]}), 0.05).iloc[0]
    assert (row["gained"], row["gained_low"], row["gained_high"]) == pytest.approx((3, 3, INF))
    assert row["censored"] == "aware is never below the level"
    row = gained(curves([1.5], {"all": [1.0, 0.97]}), 0.05).iloc[0]
    assert (row["gained"], row["gained_low"], row["gained_high"]) == pytest.approx((0.75, 0, 0.75))
    both = {"subset": [0.8, 0.7], "all": [1.0, 0.97]}
    row = gained(curves([1.5], both), 0.05).iloc[0]
    assert (row["gained_low"], row["gained_high"]) == pytest.approx((0, 15 / 40))
    assert row["censored"].count("level") == 2


def test_repeats_are_averaged_before_the_curve() -> None:
    first, second = curves([1.0]), curves([4.0]).assign(repeat=2)
    table = pd.concat([first, second[second["classes"] != "none"]])
    assert gained(table, 0.05)["gained"].tolist() == pytest.approx([2.0])


def simulated(seed: int, effect: float, slope_: float = 0.0, noise: float = 0.05) -> pd.DataFrame:
    """Ratios gained on twelve subsets about a truth, in logarithms."""
    rng = np.random.default_rng(seed)
    icd = np.geomspace(20, 2000, 12)
    at = effect + slope_ * np.log(icd / 200) + rng.normal(0, noise, 12)
    rows = {"network": "net", "scope": "subset", "median_icd": icd, "censored": ""}
    return pd.DataFrame(
        {**rows, "gained": np.exp(at), "gained_low": np.exp(at), "gained_high": np.exp(at)}
    )


def verdicts(table: pd.DataFrame) -> dict[str, str]:
    return judge(table, RIGOUR).set_index("claim")["verdict"].to_dict()


@pytest.mark.parametrize(
    ("effect", "slope_", "expected"),
    [
        (0.2, 0.1, ("reproduced", "reproduced")),
        (-0.2, -0.1, ("not reproduced", "not reproduced")),
        (0.0, 0.0, ("inconclusive", "inconclusive")),
    ],
)
def test_verdicts_are_the_truth_s(effect: float, slope_: float, expected: tuple[str, str]) -> None:
    found = verdicts(simulated(0, effect, slope_))
    assert found == dict(zip(("deep_ratio_gained", "deep_gain_grows"), expected, strict=True))
    row = judge(simulated(0, effect, slope_), RIGOUR).iloc[0]
    assert row["low"] < np.exp(effect) < row["high"] and row["n"] == 12


def test_a_false_conclusion_is_rare() -> None:
    drawn = [verdicts(simulated(seed, 0.0))["deep_ratio_gained"] for seed in range(40)]
    assert drawn.count("reproduced") <= 5 and drawn.count("not reproduced") <= 5


def test_what_is_open_to_one_side_decides_nothing_to_that_side() -> None:
    table = simulated(0, 0.2, 0.1)
    above = table.assign(gained_high=np.where(table.index == 3, INF, table["gained_high"]))
    below = table.assign(gained_low=np.where(table.index == 3, 0.0, table["gained_low"]))
    censored = np.where(table.index == 3, "aware is never below the level", "")
    first = judge(above.assign(censored=censored), RIGOUR).iloc[0]
    assert first["verdict"] == "reproduced" and first["high"] == INF and first["low"] > 1
    assert "1 of 12" in first["remark"] and "density" in first["remark"]
    second = judge(below.assign(censored=censored), RIGOUR).iloc[0]
    assert second["verdict"] == "inconclusive" and second["low"] == 0 and second["p"] == 1


def test_bounds_make_a_slope_as_flat_and_as_steep_as_they_can() -> None:
    table = simulated(0, 0.0, 0.1, noise=0.0)
    wide = table.assign(gained_low=table["gained"] / 2, gained_high=table["gained"] * 2)
    exact, found = (slope(each, RIGOUR).estimate for each in (table, wide))
    assert found.value == pytest.approx(exact.value)
    assert found.low < 0 < exact.low and found.high > exact.high
    assert mean(wide, RIGOUR).p > 0.05


def test_few_subsets_have_an_effect_and_no_verdict() -> None:
    found = judge(simulated(0, 0.3).head(4), RIGOUR)
    assert (found["verdict"] == "inconclusive").all() and found["effect"].notna().all()
    assert found["low"].isna().all()
    assert judge(simulated(0, 0.3).head(2), RIGOUR)["effect"].isna().tolist() == [False, True]


def test_subsets_of_the_same_classes_count_once(tmp_path: Path) -> None:
    curves([1.5, 1.2, 1.1]).to_csv(tmp_path / "table.csv", index=False)
    chosen = pd.DataFrame({"subset": ["s0", "s1", "s2"], "duplicate_of": [None, "s0", None]})
    chosen.to_csv(tmp_path / "subsets.csv", index=False)
    found = observations(tmp_path / "table.csv", tmp_path / "subsets.csv")
    assert list(dict.fromkeys(found["subset"])) == ["s0", "s2"]
    chosen.head(2).to_csv(tmp_path / "subsets.csv", index=False)
    with pytest.raises(DataError, match="s2"):
        observations(tmp_path / "table.csv", tmp_path / "subsets.csv")
