"""Recommendations: the best arm within a budget, the nearest where there is none, the command."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

import recommend_layers
from laq.analysis.partial import candidates, recommendation, sizes, table
from laq.analysis.partial.candidates import CandidateArm
from laq.analysis.partial.recommendation import Budget
from laq.utils.errors import DataError
from tests.unit import partial_tables as made

LIMITS = [{"bytes": 100_000.0}, {"drop": 0.01}, {"step_bytes": 150_000.0, "drop": 0.02}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("partial_qat")
    made.write(folder, made.runs())
    return folder


@pytest.fixture(scope="module")
def arms(folder: Path) -> list[CandidateArm]:
    runs = table.read(folder / "runs.csv")
    names = sizes.names_of(runs, "small_vit")
    layers = sizes.read(folder / "small_vit/tensors.csv", names)
    found, top1 = candidates.arms(runs, layers, "small_vit", 0.95, 60, 0)
    assert top1 == pytest.approx(0.95, abs=0.005)
    return found


def test_every_k_of_every_position_is_a_candidate_and_so_is_what_was_run_by_name(
    arms: list[CandidateArm],
) -> None:
    places = [(arm.position, arm.k, arm.width) for arm in arms if arm.position in table.ORDERED]
    assert sorted(places) == sorted(
        (position, k, width)
        for position in table.ORDERED
        for k in range(1, len(made.VIT) + 1)
        for width in ("2", "4")
    )
    for arm in arms:
        if arm.position in table.ORDERED:
            assert list(arm.layers) == made.taken(list(made.VIT), arm.position, arm.k)
            truth = made.power("small_vit", arm.position, arm.bits, arm.k, arm.k / len(made.VIT))
            assert arm.drop == pytest.approx(truth, abs=0.006)
            assert arm.low < arm.drop < arm.high
    named = {(arm.layers, arm.width): arm for arm in arms if arm.position == "named"}
    assert len(named) == 6
    attention = next(
        arm for (layers, _), arm in named.items() if "blocks.0.attention.qkv" in layers
    )
    assert attention.drop == attention.measured == pytest.approx(0.02, abs=0.004)
    assert arms[0].layers == () and arms[0].drop == 0


@pytest.mark.parametrize("limits", LIMITS)
def test_no_arm_within_the_budget_is_better(
    arms: list[CandidateArm], limits: dict[str, float]
) -> None:
    budget = Budget(limits)
    chosen = recommendation.recommend(arms, budget)
    within = [
        arm
        for arm in arms
        if all((arm.drop if n == "drop" else arm.bytes[n]) <= m for n, m in limits.items())
    ]
    assert chosen in within
    if "drop" in limits:
        assert chosen.bytes["bytes"] == min(arm.bytes["bytes"] for arm in within)
    else:
        least = max(0, min(arm.drop for arm in within))
        assert chosen.drop <= least + recommendation.ALIKE
        alike = [arm for arm in within if arm.drop <= least + recommendation.ALIKE]
        assert chosen.bytes["bytes"] == min(arm.bytes["bytes"] for arm in alike)


def test_no_network_is_foretold_to_be_right_more_often_than_always(folder: Path) -> None:
    """Of an arm with two runs far apart, whose interval would go beyond."""
    runs = table.read(folder / "runs.csv")
    few = runs[runs["repeat"] < 3]
    named = (few["position"] == "named") & (few["repeat"] == 1)
    few = few.assign(top1=few["top1"].where(~named, 0.5))
    described = sizes.read(folder / "small_vit/tensors.csv", sizes.names_of(runs, "small_vit"))
    found, top1 = candidates.arms(few, described, "small_vit", 0.95, 60, 0)
    assert all(top1 - 1 <= arm.low <= arm.high <= top1 for arm in found)
    assert any(arm.high == top1 or arm.low == top1 - 1 for arm in found)


def test_to_be_sure_less_is_quantized(arms: list[CandidateArm]) -> None:
    limits = {"drop": 0.02}
    likely = recommendation.recommend(arms, Budget(limits))
    sure = recommendation.recommend(arms, Budget(limits, sure=True))
    assert sure.high <= 0.02 and sure.bytes["bytes"] >= likely.bytes["bytes"]


def test_a_budget_that_nothing_meets_names_the_nearest(arms: list[CandidateArm]) -> None:
    least = min(arms, key=lambda arm: arm.bytes["bytes"])
    with pytest.raises(DataError) as refused:
        recommendation.recommend(arms, Budget({"bytes": 1000.0}))
    said = str(refused.value)
    assert "no arm takes at most 1,000 bytes of the file" in said
    assert f"{least.bytes['bytes']:,.0f} bytes" in said and "14 layers at 2 bits" in said
    row = recommendation.rows("small_vit", arms, 0.95, [Budget({"bytes": 1000.0})])[0]
    assert row["layers"] is None and row["remark"] == said


def test_the_config_s_budgets_are_shares_of_what_the_float_network_takes(
    arms: list[CandidateArm],
) -> None:
    asked = {"bytes": [0.5], "update_bytes": [0.25], "drop": [0.01]}
    found = recommendation.budgets(asked, {"bytes": 1000.0, "update_bytes": float("nan")})
    assert [budget.limits for budget in found] == [{"bytes": 500.0}, {"drop": 0.01}]


def test_the_command_says_what_the_table_would(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("laq.analysis.partial.recommendation.RESAMPLES", 40)
    asked = [str(folder), "--network", "small_vit", "--bytes", "100000"]
    assert recommend_layers.main(asked) == 0
    text = capsys.readouterr().out
    assert recommend_layers.main([*asked, "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["bytes"] <= 100_000 and row["low"] < row["top1"] < row["high"]
    assert row["layers"].replace(" ", ", ") in text and f"{row['bytes']:,}" in text
    assert pd.Series(row)[list(recommendation.COLUMNS)].size == len(recommendation.COLUMNS)
