"""Published logs put together: which rows are one subset, and what is said of it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from laq.data.published import put_together, read_log
from laq.utils.errors import DataError
from tests.logs import QUANT, refused, row, table, write


def test_subsets_are_numbered_by_median_over_all_logs(tmp_path: Path) -> None:
    one = write(tmp_path / "one.csv", [row((1, 2), 9.0), row((3, 4), 0.5)])
    two = write(tmp_path / "two.csv", [row((5, 6), 2.0), row((4, 3), 0.5), row((0, 6), 2.0)])
    tables = put_together({"a": read_log(one), "b": read_log(two)}, 10)
    assert dict(zip(tables.subsets["subset"], tables.subsets["classes"], strict=True)) == {
        "subset_01": "class 3; class 4",
        "subset_02": "class 0; class 6",
        "subset_03": "class 5; class 6",
        "subset_04": "class 1; class 2",
    }
    assert " ".join(tables.subsets) == (
        "subset kind target median_icd mean_icd min_icd max_icd seed duplicate_of classes"
    )
    there = tables.accuracy.groupby("setting", sort=False)["subset"].unique().map(list).to_dict()
    assert there == {
        "a": ["subset_01", "subset_04"],
        "b": ["subset_01", "subset_02", "subset_03"],
    }


def test_a_subset_measured_twice_is_repeated_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # The second time in another order, with other digits of the same median.
    again = row((4, 3, 1), 2.0 + 1e-12, **{QUANT: 0.6})
    made = table([row(**{QUANT: 0.5}), row((8, 9), 1.0), again], tmp_path)
    quant = made.query("variant == 'quant' and scope == 'all' and subset == 'subset_02'")
    assert quant[["repeat", "top1"]].to_numpy().tolist() == [[1, 0.5], [2, 0.6]]
    assert set(made.query("subset == 'subset_01'")["repeat"]) == {1}
    assert "log 4bit has more than one row of subset_02 (lines 2, 4): they" in caplog.text


def test_a_copied_row_is_no_second_measurement_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    once, other = row(), row((8, 9), 1.0)
    # As a spreadsheet might write the copy.
    copy = once | {"Subset_Inds": "[3 1 4]", "Median_KL": "2.00", "Bits": "4.0"}
    path = write(tmp_path / "log.csv", [once, other, copy])
    tables = put_together({"4bit": read_log(path)}, 100)
    pd.testing.assert_frame_equal(tables.accuracy, table([once, other], tmp_path))
    assert "log 4bit: line 4 copies line 2" in caplog.text
    assert tables.logs.loc[0, ["rows", "copies", "subsets"]].tolist() == [2, 1, 2]


@pytest.mark.parametrize("column", ["Bits", "Model Name", "Dataset"])
def test_rows_of_two_settings_are_no_repeats(column: str, tmp_path: Path) -> None:
    other = row(**{column: "9"})
    # Another data set makes another subset of the same indices.
    if column == "Dataset":
        assert set(table([row(), other], tmp_path)["subset"]) == {"subset_01", "subset_02"}
        return
    message = refused(write(tmp_path / "log.csv", [row(), other]))
    assert f"lines 2, 3, have the same classes and different {column}" in message
    assert "split the log" in message


def test_a_subset_with_two_medians_in_a_log_is_refused(tmp_path: Path) -> None:
    message = refused(write(tmp_path / "log.csv", [row(), row((1, 3, 4), 2.1)]))
    assert "lines 2, 3, have the same classes and different Median_KL" in message


def test_classes_of_two_names_are_refused(tmp_path: Path) -> None:
    other = row(**{"Subset_Classes": "['a', 'b', 'c']", QUANT: 0.2})
    logs = {
        "a": read_log(write(tmp_path / "one.csv", [row()])),
        "b": read_log(write(tmp_path / "two.csv", [other])),
    }
    with pytest.raises(DataError, match=r"two\.csv, line 2, and .*one\.csv, line 2, .*log_b=null"):
        put_together(logs, 100)


def test_logs_on_other_distances_keep_their_own_and_it_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logs = {
        "a": read_log(write(tmp_path / "one.csv", [row(median=2.0)])),
        "b": read_log(write(tmp_path / "two.csv", [row(median=2.5)])),
    }
    tables = put_together(logs, 100)
    medians = tables.accuracy.groupby("setting")["median_icd"].unique().map(list).to_dict()
    assert medians == {"a": [2.0], "b": [2.5]}
    assert tables.subsets["median_icd"].tolist() == [2.0]
    assert (
        "log b has another median ICD than log a of subset_01 (2.5 against 2): each" in caplog.text
    )
