"""The accuracy table as statistics take it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from laq.analysis.observations import arm, read
from laq.utils.errors import DataError


def rows(**changed: object) -> pd.DataFrame:
    table = pd.DataFrame(
        [
            {
                "network": "net",
                "subset": subset,
                "variant": variant,
                "repeat": repeat,
                "scope": scope,
                "median_icd": icd,
                "n": 100,
                "correct": 50 + repeat,
                "top1": (50 + repeat) / 100,
            }
            for subset, icd in (("b", 9.0), ("a", 1.0), ("twin", 1.0))
            for variant, repeats in (("original", (1,)), ("quant", (1, 2)))
            for repeat in repeats
            for scope in ("all", "subset")
        ]
    )
    return table.assign(**changed)


SUBSETS = pd.DataFrame(
    {
        "subset": ["a", "twin", "b"],
        "median_icd": [1.0, 1.0, 9.0],
        "duplicate_of": [None, "a", None],
    }
)


@pytest.fixture
def files(tmp_path: Path):
    def write(accuracy: pd.DataFrame, subsets: pd.DataFrame = SUBSETS) -> tuple[Path, Path]:
        paths = tmp_path / "accuracy.csv", tmp_path / "subsets.csv"
        for path, table in zip(paths, (accuracy, subsets), strict=True):
            table.to_csv(path, index=False)
        return paths

    return write


def test_a_set_of_classes_counts_once_and_the_setting_is_the_network(files):
    table = read(*files(rows()))
    assert list(dict.fromkeys(table["subset"])) == ["b", "a"]
    assert len(table) == 2 * 3 * 2
    assert set(table["setting"]) == {"net"}


def test_an_arm_has_one_number_a_subset_the_mean_of_its_repeats(files):
    table = read(*files(rows()))
    pd.testing.assert_series_equal(
        arm(table, "net", "quant", "all"),
        pd.Series([0.515, 0.515], pd.Index(["b", "a"], name="subset"), name="top1"),
    )
    np.testing.assert_allclose(arm(table, "net", "original", "subset"), [0.51, 0.51])
    np.testing.assert_allclose(arm(table, "net", "quant", "all", "median_icd"), [9, 1])


def test_a_row_twice_is_refused_by_name(files):
    table = rows()
    with pytest.raises(DataError, match=r"two rows of .*subset a, variant quant, repeat 2"):
        read(*files(pd.concat([table, table.query("subset == 'a'").iloc[[-2]]])))


def test_a_column_that_lacks_is_named(files):
    with pytest.raises(DataError, match="lacks the column repeat"):
        read(*files(rows().drop(columns="repeat")))
