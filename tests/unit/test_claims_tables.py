"""What surrounds the engine: the sweep's arms, other readings of the data, the page, the script."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from judge_claims import judge_claims
from laq.analysis.claims import (
    CLAIMS,
    Evidence,
    Rigour,
    judge,
    read_otherwise,
    render,
    with_sweep,
)
from laq.utils.errors import DataError
from laq.utils.files import read_table
from tests import simulated
from tests.simulated import SETTING, evidence, observations, own_arms

N = 12
QUICK = Rigour(resamples=200, flips=999, draws=10_000)
SCATTER = 0.002 * simulated.WAVE
ROLES = ("original", "quant", "ft", "ft_quant", "mp53", "mp35", "agnostic", "bits32")


def study() -> dict:
    return {role: scopes for role, scopes in simulated.study().items() if role in ROLES}


def sweep(points: dict[tuple[int, int], float], repeat: int = 1) -> pd.DataFrame:
    """A sweep.csv whose label-aware points are better by so much at (bits, images)."""
    parts = []
    for (bits, images), gain in points.items():
        for classes, value in (("subset", 0.8 + gain), ("all", 0.8)):
            rows = observations({"quant": {"all": value + SCATTER * (gain + 1)}}, N, repeat=repeat)
            rows = rows.drop(columns=["setting", "variant"])
            parts.append(rows.assign(bits=bits, images=images, classes=classes))
    return pd.concat(parts, ignore_index=True).assign(n=None, correct=None)


def survives(table: pd.DataFrame, found: Evidence | None = None) -> pd.Series:
    found = with_sweep(found or evidence(study(), N), table, bits=4, images=64)
    return judge(found, QUICK).set_index("claim").loc["survives_images"]


def test_the_sweep_is_read_at_its_largest_calibration_size_and_the_variants_bits():
    row = survives(sweep({(4, 64): 0.05, (2, 64): 0.30, (4, 16): 0.20, (4, 256): 0.02}))
    assert (row["effect"], row["n"]) == (pytest.approx(0.02, abs=1e-3), N)
    assert row["verdict"] == "reproduced"
    assert row["remark"] == "4 bits, 256 calibration images"


@pytest.mark.parametrize("most", [64, 100])
def test_a_sweep_to_hardly_more_than_the_variants_own_images_says_nothing_of_many(most):
    row = survives(sweep({(2, 64): 0.30, (4, 16): 0.20, (4, most): -0.05, (8, 64): 0.40}))
    assert (row["n"], row["verdict"]) == (0, "inconclusive")
    assert "label-aware with many images" in row["remark"]


def test_a_sweep_calibrated_on_something_else_is_refused_by_name():
    table = sweep({(4, 64): 0.05, (4, 256): 0.02}).replace({"classes": {"all": "everything"}})
    with pytest.raises(DataError, match=r"everything.*classes knows subset and all"):
        with_sweep(evidence(study(), N), table, bits=4, images=64)


def repeated() -> Evidence:
    """Quant and its control made three times: the second time the control wins."""
    quant = study()["quant"]["all"]
    parts = [observations(study(), N)]
    for repeat, lead in ((2, -0.02), (3, 0.03)):
        again = {
            "quant": {"all": quant, "subset": quant},
            "agnostic": {"all": quant - lead + SCATTER, "subset": quant},
        }
        parts.append(observations(again, N, repeat=repeat))
    return Evidence(pd.concat(parts, ignore_index=True), own_arms(ROLES))


def test_each_repeat_alone_is_the_study_with_that_repeat_and_no_other():
    found = repeated()
    main = judge(found, QUICK)
    table = read_otherwise(found, QUICK, main)
    assert list(dict.fromkeys(zip(table["icd"], table["repeat"], strict=True))) == [
        ("median", "mean"),
        *(("median", str(repeat)) for repeat in (1, 2, 3)),
        ("mean", "mean"),
    ]
    label_aware = table[table["claim"] == "label_aware"].set_index(["icd", "repeat"])
    verdicts = ["reproduced", "reproduced", "not reproduced", "reproduced", "reproduced"]
    assert label_aware["verdict"].tolist() == verdicts
    assert label_aware["changed"].tolist() == [False, False, True, False, False]
    # What was made once takes part in every reading.
    assert (table[table["claim"] == "ft_best"]["n"] == N).all()
    # The first repeat alone is a study that has no other.
    once = judge(Evidence(observations(study(), N), own_arms(ROLES)), QUICK)
    columns = ["claim", "effect", "p", "p_holm", "verdict"]
    pd.testing.assert_frame_equal(
        table.loc[table["repeat"] == "1", columns].reset_index(drop=True), once[columns]
    )


def test_mean_icd_is_read_where_every_subset_has_one():
    found = evidence(study(), N)
    gap = found.table.assign(mean_icd=found.table["mean_icd"].where(found.table["subset"] != "s01"))
    none = found.table.drop(columns="mean_icd")
    for table, readings in (
        (found.table, {"median", "mean"}),
        (gap, {"median"}),
        (none, {"median"}),
    ):
        one = Evidence(table, own_arms(ROLES))
        assert set(read_otherwise(one, QUICK, judge(one, QUICK))["icd"]) == readings


def page(found: Evidence) -> str:
    main = judge(found, QUICK)
    return render("A | study", main, read_otherwise(found, QUICK, main), 0.95)


def test_the_page_shows_effects_in_points_with_interval_p_and_verdict():
    text = page(repeated())
    row = next(line for line in text.splitlines() if line.startswith("| 7 |"))
    number, statement, effect, p_for, p_against, n, verdict = row.strip("| ").split(" | ")
    assert (number, n, verdict) == ("7", str(N), "**reproduced**")
    assert statement == CLAIMS[6].statement
    assert re.fullmatch(r"\+15\.5 \[\+15\.\d, \+15\.\d\]", effect)
    assert float(p_for.removeprefix("< ")) < 0.05 <= float(p_against)
    assert "| repeat 2 alone | 10 (reproduced → not reproduced: −2.0 [" in text
    assert "| mean ICD in place of median ICD | none |" in text
    assert "7. `mp53_far_better`: 5+3 − 3+5 on All; region: > 5 points." in text


def files(folder: Path) -> dict[str, object]:
    """Inputs of the script as a study leaves them, one subset listed twice."""
    table = observations(study(), N).drop(columns="setting").assign(n=None, correct=None)
    names = table["subset"].unique()
    twin = table[table["subset"] == "s00"].assign(subset="twin")
    pd.concat([table, twin]).to_csv(folder / "accuracy.csv", index=False)
    distances = table.groupby("subset", sort=False)["median_icd"].first()
    chosen = pd.DataFrame(
        {
            "subset": [*names, "twin"],
            "median_icd": [*distances, distances["s00"]],
            "duplicate_of": [None] * N + ["s00"],
        }
    )
    chosen.to_csv(folder / "subsets.csv", index=False)
    sweep({(4, 64): 0.05, (4, 256): 0.02}).to_csv(folder / "sweep.csv", index=False)
    sizes = {"network": SETTING, "subset": "s00", "variant": "quant"}
    sizes |= {"float_bytes": 8000, "packed_bytes": 1010}
    pd.DataFrame([sizes]).to_csv(folder / "memory.csv", index=False)
    return {
        "accuracy": str(folder / "accuracy.csv"),
        "subsets": str(folder / "subsets.csv"),
        "sweep": [str(folder / "sweep.csv")],
        "memory": [str(folder / "memory.csv")],
        "logs": [],
        "study": "Tried",
        "arms": {role: [None, role] for role in ROLES},
        "bits": {"quant": 4},
        "base": {"bits": 4, "images": 64},
        "confidence": 0.95,
        "resamples": 200,
        "seed": 0,
    }


def outputs(folder: Path) -> dict[str, str]:
    return {
        "claims": str(folder / "claims.csv"),
        "page": str(folder / "claims.md"),
        "sensitivity": str(folder / "sensitivity.csv"),
    }


def test_the_script_writes_the_same_bytes_twice(tmp_path):
    inputs = files(tmp_path)
    for again in ("one", "two"):
        judge_claims(**inputs, **outputs(tmp_path / again))
    for name in ("claims.csv", "claims.md", "sensitivity.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    table = read_table(tmp_path / "one" / "claims.csv").set_index("claim")
    assert list(table.index) == [claim.id for claim in CLAIMS]
    assert (table["verdict"] == "reproduced").all()
    assert (table["n"].drop("saves_875") == N).all(), "the twin is no further subset"
    assert len(read_table(tmp_path / "one" / "sensitivity.csv")) == 2 * len(CLAIMS)


def test_a_replay_has_neither_sweep_nor_files(tmp_path):
    inputs = files(tmp_path) | {"sweep": [], "memory": []}
    judge_claims(**inputs, **outputs(tmp_path))
    table = read_table(tmp_path / "claims.csv").set_index("claim")
    assert table.index[table["n"] == 0].tolist() == ["saves_875", "survives_images"]


def logs(folder: Path, **of_mp53: object) -> list[str]:
    """The record of published logs: that of 4 bits, and that of mixed precision."""
    main = {"setting": "4bit", "network": "resnet50", "bits": 4}
    mixed = {"setting": "mp53", "network": "resnet50", "bits": "5; 3", **of_mp53}
    pd.DataFrame([main, mixed]).to_csv(folder / "logs.csv", index=False)
    return [str(folder / "logs.csv")]


@pytest.mark.parametrize(
    ("network", "verdict"), [("resnet50", "reproduced"), ("vgg16", "inconclusive")]
)
def test_logs_of_different_networks_are_not_compared(tmp_path, network, verdict):
    table = observations(study(), N).drop(columns="setting").assign(n=None, correct=None)
    mixed = table[table["variant"] == "mp53"].assign(setting="mp53", variant="quant")
    both = pd.concat([table.assign(setting="4bit"), mixed])
    inputs = files(tmp_path) | {"sweep": [], "memory": [], "base": None, "bits": {}}
    both.to_csv(inputs["accuracy"], index=False)
    four = ("original", "quant", "ft", "ft_quant")
    inputs["arms"] = {role: ["4bit", role] for role in four} | {"mp53": ["mp53", "quant"]}
    inputs["logs"] = logs(tmp_path, network=network)
    judge_claims(**inputs, **outputs(tmp_path))
    row = read_table(tmp_path / "claims.csv").set_index("claim").loc["mp53_slightly_better"]
    assert row["verdict"] == verdict
    assert ("5+3 on vgg16, Quant on resnet50" in str(row["remark"])) == (network == "vgg16")
    assert "published logs" in (tmp_path / "claims.md").read_text()
