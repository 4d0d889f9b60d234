"""One curve for each network, variant and scope."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from laq.curves import fit_curves
from laq.errors import DataError
from laq.statistics import fit_log_curve

ICD = [1.0, 2.0, 5.0, 20.0, 70.0, 90.0]
GROUPS = [
    ("resnet", "original", "all"),
    ("resnet", "original", "subset"),
    ("resnet", "quant", "all"),
    ("another", "quant", "all"),
]


def accuracy() -> pd.DataFrame:
    """A long table: each group follows a curve of its own, with some noise."""
    generator = np.random.default_rng(0)
    rows = [
        {
            "network": network,
            "subset": f"target_{point}",
            "variant": variant,
            "scope": scope,
            "median_icd": icd,
            "top1": 0.5 + 0.02 * group + 0.03 * np.log(icd) + generator.normal(0, 0.005),
        }
        for point, icd in enumerate(ICD)
        for group, (network, variant, scope) in enumerate(GROUPS)
    ]
    return pd.DataFrame(rows)


def rows_of(table: pd.DataFrame, key: tuple[str, str, str]) -> pd.Series:
    return (table[["network", "variant", "scope"]] == list(key)).all(axis=1)


def test_each_group_gets_the_fit_of_its_own_points():
    table = accuracy()
    curves = fit_curves(table, confidence=0.9, resamples=200, seed=7)
    assert list(curves.fits) == list(curves.points) == GROUPS
    for key, fit in curves.fits.items():
        own = table[rows_of(table, key)]
        pd.testing.assert_frame_equal(curves.points[key], own)
        a, c = np.polyfit(np.log(ICD), own["top1"], 1)
        assert (fit.a, fit.c) == pytest.approx((a, c))
        alone = fit_log_curve(ICD, own["top1"], confidence=0.9, resamples=200, seed=7)
        assert (fit.a_interval, fit.c_interval) == (alone.a_interval, alone.c_interval)


def test_the_table_has_a_row_a_curve():
    curves = fit_curves(accuracy(), confidence=0.95, resamples=200, seed=0)
    table = curves.table()
    assert list(table.columns) == [
        *("network", "variant", "scope", "n", "mean_top1"),
        *("a", "a_low", "a_high", "c", "c_low", "c_high"),
    ]
    assert list(table[["network", "variant", "scope"]].itertuples(index=False, name=None)) == GROUPS
    assert (table["n"] == 6).all()
    for (_, row), (key, fit) in zip(table.iterrows(), curves.fits.items(), strict=True):
        assert row["mean_top1"] == pytest.approx(curves.points[key]["top1"].mean())
        assert (row["a_low"], row["a_high"]) == fit.a_interval
        assert (row["c_low"], row["c_high"]) == fit.c_interval
        assert row["a_low"] < row["a"] == fit.a < row["a_high"]
        assert row["c_low"] < row["c"] == fit.c < row["c_high"]


def test_too_few_subsets_have_points_and_no_curve():
    few = accuracy().query("median_icd > 10")
    few = few[few["median_icd"] < 80]  # two subsets
    curves = fit_curves(few, confidence=0.95, resamples=200, seed=0)
    table = curves.table()
    assert not curves.fits and len(table) == len(GROUPS)
    assert (table["n"] == 2).all() and table["mean_top1"].notna().all()
    assert table[["a", "a_low", "c", "c_high"]].isna().all(axis=None)


def spoiled(column: str, value: float) -> pd.DataFrame:
    table = accuracy()
    table.loc[table.index[rows_of(table, GROUPS[2])][1], column] = value
    return table


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (spoiled("median_icd", 0.0), "has no logarithm"),
        (spoiled("top1", np.nan), "y is nan at point 1"),
        (accuracy().assign(median_icd=4.0).iloc[2::4], "a slope needs different x"),
    ],
)
def test_an_error_names_the_curve(table, reason):
    with pytest.raises(DataError, match=rf"no curve for resnet / quant / all: .*{reason}"):
        fit_curves(table, confidence=0.95, resamples=50, seed=0)
