"""Published logs that are refused, in which words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.logs import COLUMNS, ORIGINAL, QUANT, TOP5, refused, row, write


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ({QUANT: 76.7}, [QUANT, "76.7 is above 1", "in percent"]),
        ({QUANT: -0.1}, [QUANT, "-0.1", "between 0 and 1"]),
        ({QUANT: 101}, [QUANT, "101", "between 0 and 1"]),
        ({QUANT: ""}, [QUANT, "empty", "fill it in or remove the row"]),
        ({QUANT: "nan"}, [QUANT, "nan is no finite number"]),
        ({QUANT: "inf"}, [QUANT, "inf is no finite number"]),
        ({QUANT: "good"}, [QUANT, "'good' is no number"]),
        ({QUANT: "0,767"}, [QUANT, "'0,767'", "decimal point"]),
        ({TOP5[0]: 97}, [TOP5[0], "97 is above 1"]),
        ({"Median_KL": 0}, ["Median_KL", "0 must be above 0", "logarithm"]),
        ({"Median_KL": -2}, ["Median_KL", "-2 must be above 0"]),
        ({"Median_KL": ""}, ["Median_KL", "empty"]),
        ({"Avg_KL": "x"}, ["Avg_KL", "'x' is no number"]),
        ({"Subset_Inds": "[3, 1, 3]"}, ["Subset_Inds", "3 more than once", "remove the row"]),
        ({"Subset_Inds": "[3, 1]"}, ["2 classes in Subset_Inds and 3 in Subset_Classes"]),
        ({"Subset_Inds": "[3, 1, 4"}, ["Subset_Inds", "cut short"]),
        ({"Subset_Inds": "[3, x, 4]"}, ["Subset_Inds", "'x' is no class index"]),
        ({"Subset_Inds": "[3 ... 4]"}, ["Subset_Inds", "'...' is no class index"]),
        ({"Subset_Inds": "[3, -1, 4]"}, ["Subset_Inds", "'-1' is no class index"]),
        ({"Subset_Inds": "[3,, 4]"}, ["Subset_Inds", "between two commas"]),
        ({"Subset_Inds": ""}, ["Subset_Inds", "fewer than two classes"]),
        ({"Subset_Classes": "['a', 'b', 'a']"}, ["Subset_Classes", "a more than once"]),
        ({"Subset_Classes": "['a', 'b', c]"}, ["Subset_Classes", "'c' stands outside the quotes"]),
        ({"Subset_Classes": "['a', 'b']"}, ["3 classes in Subset_Inds and 2 in Subset_Classes"]),
    ],
    ids=str,
)
def test_a_bad_cell_is_named_with_its_line_and_the_remedy(
    cells: dict[str, Any], words: list[str], tmp_path: Path
) -> None:
    # The line is that of an editor: an earlier cell goes over two.
    first = row((5, 6), 1.0, Subset_Inds="[5\n 6]")
    message = refused(write(tmp_path / "log.csv", [first, row(**cells)]))
    assert f"{tmp_path / 'log.csv'} cannot be read:\n  line 4" in message
    for word in words:
        assert word in message


def test_missing_columns_are_all_named_with_what_may_be_meant(tmp_path: Path) -> None:
    renamed = {"Median_KL": "median KL", QUANT: "Quantised Top1 Accuracy"}
    columns = [renamed.get(name, name) for name in COLUMNS if name != "Subset_Inds"]
    message = refused(write(tmp_path / "log.csv", [row()], columns))
    assert "log.csv lacks columns" in message
    assert "Median_KL (is it 'median KL'?)" in message
    assert f"{QUANT} (is it 'Quantised Top1 Accuracy'?)" in message
    # Another needed column is never what was meant.
    assert re.search(r"Subset_Inds$", message, flags=re.M)
    assert ORIGINAL not in message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "log.csv is empty"),
        (b"\n\n", "log.csv is empty"),
        (b"\x89PNG\r\n\x1a\n\xff\xfe", "is no UTF-8 text"),
        (b"a,b\n1,2\n", "holds none of the columns needed but 'a', 'b'; needed are Subset_Inds"),
        (b"<html><body>Not found</body></html>", "is no log of the published format"),
    ],
)
def test_what_is_no_log_is_refused(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(content)
    assert words in refused(path)
