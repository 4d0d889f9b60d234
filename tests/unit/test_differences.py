"""Paired differences of variants over subsets: the table of all comparisons."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from laq.analysis.differences import differences
from laq.analysis.statistics import holm, mean_interval, sign_flip_p

COLUMNS = [
    *("setting", "variant", "reference", "scope", "n"),
    *("difference", "low", "high", "p", "p_holm", "wins"),
]
LEVEL = {"original": 0.8, "quant": 0.75, "ft": 0.9, "ft_quant": 0.7, "mp": 0.8}


def study(setting: str = "net", variants: tuple[str, ...] = tuple(LEVEL), n: int = 8, repeats=1):
    rng = np.random.default_rng(len(setting))
    return pd.DataFrame(
        [
            {
                "setting": setting,
                "subset": f"s{subset}",
                "variant": variant,
                "repeat": repeat,
                "scope": scope,
                "top1": LEVEL[variant] + rng.normal(scale=0.03),
            }
            for scope in ("all", "subset")
            for variant in variants
            for subset in range(n)
            for repeat in range(1, 1 + (1 if variant == "original" else repeats))
        ]
    )


def row(table: pd.DataFrame, variant: str, reference: str, scope: str, setting="net") -> pd.Series:
    keys = ["setting", "variant", "reference", "scope"]
    found = table[(table[keys] == [setting, variant, reference, scope]).all(axis=1)]
    assert len(found) == 1
    return found.iloc[0]


def top1(table: pd.DataFrame, variant: str, scope: str) -> np.ndarray:
    """(n subsets,), averaged over repeats."""
    rows = table[(table["variant"] == variant) & (table["scope"] == scope)]
    return rows.pivot_table(index="subset", columns="repeat", values="top1").mean(axis=1).to_numpy()


def test_a_variant_is_compared_with_its_control():
    table = study(variants=("original", "quant", "mp"))
    result = differences(table, 0.95, 200, 0, {"quant": "mp"})
    d = top1(table, "quant", "all") - top1(table, "mp", "all")
    assert row(result, "quant", "mp", "all")["difference"] == pytest.approx(d.mean())


def test_every_variant_is_compared_with_the_original_and_the_four_with_each_other():
    result = differences(study(), 0.95, 200, 0)
    assert list(result.columns) == COLUMNS
    pairs = result.loc[result["scope"] == "all", ["variant", "reference"]]
    assert list(pairs.itertuples(index=False, name=None)) == [
        ("quant", "original"),
        ("ft", "original"),
        ("ft_quant", "original"),
        ("mp", "original"),
        ("ft", "quant"),
        ("ft_quant", "quant"),
        ("ft_quant", "ft"),
    ]
    assert list(result["scope"].unique()) == ["all", "subset"]


@pytest.mark.parametrize("repeats", [1, 3])
def test_a_row_is_of_paired_means_over_repeats(repeats):
    table = study(repeats=repeats)
    result = row(differences(table, 0.9, 300, 5), "ft", "quant", "subset")
    d = top1(table, "ft", "subset") - top1(table, "quant", "subset")
    mean = mean_interval(d, 0.9, 300, 5)
    expected = (d.mean(), mean.low, mean.high, sign_flip_p(d, seed=5))
    assert tuple(result[["difference", "low", "high", "p"]]) == pytest.approx(expected)
    assert (result["n"], result["wins"]) == (8, (d > 0).sum())


def test_p_is_adjusted_within_its_setting():
    """What is shown beside a setting does not change its verdicts."""
    alone = differences(study(), 0.95, 100, 0)
    beside = differences(pd.concat([study("another"), study()]), 0.95, 100, 0)
    own = beside[beside["setting"] == "net"].reset_index(drop=True)
    pd.testing.assert_frame_equal(own, alone)
    np.testing.assert_allclose(alone["p_holm"], holm(alone["p"]))
    assert len(beside) == 2 * len(alone)


def test_equal_arms_do_not_win_however_their_means_are_rounded():
    table = study(variants=("original", "mp"), repeats=3)
    by_repeat = np.array([0.1, 0.2, 0.3])  # whose mean is 0.20000000000000004
    table.loc[table["variant"] == "mp", "top1"] = np.tile(by_repeat, 16)
    table.loc[table["variant"] == "original", "top1"] = 0.2
    result = row(differences(table, 0.95, 100, 0), "mp", "original", "all")
    assert (result["wins"], result["p"]) == (0, 1)


def test_few_subsets_have_differences_without_intervals():
    result = differences(study(n=3), 0.95, 100, 0)
    assert result[["difference", "p", "p_holm"]].notna().all(axis=None)
    assert result[["low", "high"]].isna().all(axis=None)
