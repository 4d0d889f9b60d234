"""Which of distance and similarity ranks the subsets by what happened."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from laq.analysis.predictors import COLUMNS, PREDICTORS, difference, rank, with_control
from laq.analysis.statistics import holm
from laq.utils.errors import DataError
from laq.utils.files import write_csv
from rank_predictors import rank_predictors

ARMS = {"original": "original", "quant": "q3", "agnostic": "all3"}
HOW = {"confidence": 0.95, "seed": 0}


def made(
    count: int = 12, settings: tuple[str, ...] = ("net",), repeats: int = 2, seed: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Accuracies of three variants, scattered, and a table of similarities."""
    rng = np.random.default_rng(seed)
    rows, known = [], []
    for setting in settings:
        for place in range(count):
            subset = f"s{place:02d}"
            icd = {"median_icd": 2.0**place, "mean_icd": 2.0**place + rng.uniform(0, 900)}
            for variant, cost in (("original", 0), ("q3", 20), ("all3", 40)):
                for repeat in range(1, 1 + (repeats if cost else 1)):
                    for scope in ("all", "subset"):
                        correct = 450 - cost + int(rng.integers(-20, 21))
                        ids = {"setting": setting, "network": setting, "subset": subset, **icd}
                        ids |= {"variant": variant, "repeat": repeat, "scope": scope}
                        rows.append({**ids, "n": 500, "correct": correct, "top1": correct / 500})
            alike = {"gram_similarity": 0.9 + 0.1 * rng.random(), "gram_distance": rng.random()}
            ids = {
                "network": setting,
                "subset": subset,
                **icd,
                "gram_floor": 0.99,
                "gram_error": 0.002,
            }
            known.append({**ids, **alike})
    return pd.DataFrame(rows), pd.DataFrame(known)


def test_correlations_are_those_of_scipy() -> None:
    table, known = made()
    found = rank(table, known, ARMS, **HOW)
    assert list(found.columns) == COLUMNS
    assert list(found["outcome"]) == [
        outcome for outcome in ("drop", "agnostic_drop", "gain") for _ in PREDICTORS
    ]
    wide = table[table["scope"] == "subset"].pivot_table("top1", "subset", "variant")
    drops = {
        "drop": wide["original"] - wide["q3"],
        "agnostic_drop": wide["original"] - wide["all3"],
        "gain": wide["q3"] - wide["all3"],
    }
    known = known.set_index("subset")
    for row in found.itertuples():
        expected = stats.spearmanr(known[row.predictor], drops[row.outcome].round(12))
        assert row.spearman == pytest.approx(expected.statistic, abs=1e-12)
        assert row.p == pytest.approx(expected.pvalue, rel=0.2, abs=0.02)  # one by permutation
        assert row.low < row.spearman < row.high and row.n == 12
    np.testing.assert_array_equal(found["p_holm"], holm(found["p"]))


def test_a_predictor_that_orders_the_losses_is_found() -> None:
    table, known = made()
    lost = difference(table, "net", "original", "q3")
    order = lost.reindex(known["subset"]).to_numpy()
    found = rank(table, known.assign(gram_distance=order), ARMS, **HOW)
    row = found[(found["outcome"] == "drop") & (found["predictor"] == "gram_distance")].iloc[0]
    assert row["spearman"] == 1 and row["p_holm"] < 0.05
    # A large loss of Quant is a small gain over the agnostic control, by its own part in it.
    gain = found[(found["outcome"] == "gain") & (found["predictor"] == "gram_distance")].iloc[0]
    assert gain["spearman"] < 0


def test_a_setting_is_a_family_of_tests_of_its_own() -> None:
    table, known = made(settings=("one", "two"))
    both = rank(table, known, ARMS, **HOW)
    for setting, rows in both.groupby("setting"):
        alone = rank(table[table["setting"] == setting], known, ARMS, **HOW)
        pd.testing.assert_frame_equal(alone, rows.reset_index(drop=True))
    assert list(dict.fromkeys(both["setting"])) == ["one", "two"]


def test_without_a_label_agnostic_variant_there_is_the_drop_alone() -> None:
    table, known = made()
    arms = {role: ARMS[role] for role in ("original", "quant")}
    assert set(rank(table, known, arms, **HOW)["outcome"]) == {"drop"}


def sweep(table: pd.DataFrame) -> pd.DataFrame:
    """The label-agnostic variant as a sweep has it, among other points."""
    own = table[table["variant"] == "all3"].drop(columns=["setting", "variant"])
    points = [(3, 64, "all", 0), (3, 64, "subset", 5), (4, 64, "all", 9), (3, 16, "all", 9)]
    parts = [
        own.assign(bits=bits, images=images, classes=classes, top1=own["top1"] + shift)
        for bits, images, classes, shift in points
    ]
    return pd.concat(parts, ignore_index=True)


def test_the_sweep_s_control_stands_for_a_label_agnostic_variant() -> None:
    table, known = made()
    lacking = table[table["variant"] != "all3"]
    name = "sweep/agnostic"
    full = with_control(lacking, sweep(table), name, bits=3, images=64)
    found = rank(full, known, {**ARMS, "agnostic": name}, **HOW)
    expected = rank(table, known, ARMS, **HOW)
    pd.testing.assert_frame_equal(found.replace(name, "all3"), expected)


def files(folder: Path, **tables: pd.DataFrame) -> dict[str, str]:
    for name, table in tables.items():
        write_csv(folder / f"{name}.csv", table)
    return {name: str(folder / f"{name}.csv") for name in tables}


def test_the_script_counts_twins_once_and_writes_the_table(tmp_path: Path) -> None:
    table, known = made()
    subsets = known[["subset", "median_icd"]].assign(duplicate_of=None)
    subsets.loc[4, "duplicate_of"] = "s03"
    paths = files(tmp_path, accuracy=table, subsets=subsets, similarity=known)
    target = tmp_path / "predictors.csv"
    rank_predictors(**paths, sweep=[], predictors=str(target), arms=ARMS, base=None, **HOW)
    found = pd.read_csv(target)
    assert (found["n"] == 11).all() and len(found) == 12

    paths |= files(tmp_path, similarity=known.drop(columns="gram_floor"))
    with pytest.raises(DataError, match=r"similarity.csv lacks the column gram_floor"):
        rank_predictors(**paths, sweep=[], predictors=str(target), arms=ARMS, base=None, **HOW)
