"""Subsets of a study that are the rows of a published log."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from laq.config import cautions, study
from laq.data import cifar, sources
from laq.distances import divergence, subset_files, subsets
from laq.utils.errors import ConfigError
from laq.utils.files import write_parquet
from list_subsets import list_subsets
from select_subset import select_subset
from tests.configs import checked, edited
from tests.logs import FILES, PUBLISHED, row, write

GLYPHS = [f"digit_{digit}" for digit in range(10)]


def glyphs(*digits: int, median: float = 2.0) -> dict[str, Any]:
    """A row of glyphs' digits, with indices of another data set."""
    names = str([f"digit_{digit}" for digit in digits])
    return row([90 + digit for digit in digits], median, Subset_Classes=names)


def config(path: Path, rows: Sequence[int] = ()) -> dict[str, Any]:
    definition = {"kind": "log", "file": str(path), "rows": list(rows)}
    return checked(edited({"subsets/definitions": {"published": definition}}))


def faults(path: Path, rows: Sequence[int] = ()) -> list[str]:
    with pytest.raises(ConfigError) as error:
        config(path, rows)
    return [line.strip() for line in str(error.value).split("\n")[1:]]


def made(path: Path, rows: Sequence[int] = ()) -> dict[str, list[int]]:
    found = study.subsets(config(path, rows), GLYPHS)
    assert {each["kind"] for each in found.values()} == {"log"}
    return {name: each["indices"] for name, each in found.items()}


def said(path: Path, rows: Sequence[int] = ()) -> list[str]:
    completed = config(path, rows)
    survey = sources.survey(completed["dataset"])
    return [line for line in cautions.of_study(completed, survey, completed) if "log" in line]


def test_a_row_is_a_subset_numbered_by_its_row_and_found_by_class_names(tmp_path: Path) -> None:
    log = write(tmp_path / "log.csv", [glyphs(7, 3, 5), glyphs(0, 9)])
    assert made(log) == {"published_1": [3, 5, 7], "published_2": [0, 9]}
    assert made(log, [2]) == {"published_2": [0, 9]}
    assert not said(log)


def test_of_rows_with_the_same_classes_the_first_makes_the_subset_and_it_is_said(
    tmp_path: Path,
) -> None:
    again = glyphs(5, 1) | {"Quantized Top1 Accuracy": 0.5}
    log = write(tmp_path / "log.csv", [glyphs(1, 5), glyphs(1, 2), again, glyphs(1, 2)])
    assert made(log) == {"published_1": [1, 5], "published_2": [1, 2]}
    assert said(log) == [
        "subsets.definitions.published: row 3 of the log (line 4) has the classes of row 1 and "
        "makes no subset of its own",
        "subsets.definitions.published: line 5 of the log copies line 3 and is left out",
    ]
    # Asked for by its number, the second stands for itself.
    assert made(log, [2, 3]) == {"published_2": [1, 2], "published_3": [1, 5]}


def test_names_are_compared_without_capitals_blanks_and_underscores(tmp_path: Path) -> None:
    names = {"Subset_Classes": "['Digit 3', 'DIGIT_4', 'digit5']"}
    log = write(tmp_path / "log.csv", [row((0, 1, 2), **names)])
    assert made(log) == {"published_1": [3, 4, 5]}


def test_a_class_that_the_data_set_lacks_is_named_with_the_log_s_row(tmp_path: Path) -> None:
    odd = {"Subset_Classes": "['digit_1', 'digit_11']"}
    log = write(tmp_path / "log.csv", [glyphs(1, 2), row((1, 2), **odd), row((1, 3), **odd)])
    (line,) = faults(log)
    assert line.startswith("subsets.definitions.published.file, row 2: 'digit_11' is no class")
    assert "did you mean digit_1" in line
    several = [row((i, i + 1), Subset_Classes=f"['x{i}', 'digit_1']") for i in range(9)]
    lines = faults(write(tmp_path / "several.csv", several))
    assert len(lines) == 6
    assert lines[-1].endswith("4 more of its classes are none of the data set's")


def test_a_log_that_was_changed_is_read_again(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", [glyphs(1, 2)])
    assert made(path) == {"published_1": [1, 2]}
    write(path, [glyphs(1, 3)])
    os.utime(path, (1, 1))
    assert made(path) == {"published_1": [1, 3]}


def test_the_log_s_median_comes_along_and_decides_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", [glyphs(1, 2, median=3.5), glyphs(3, 4, median=0.25)])
    completed = config(path)
    assert study.published_medians(completed) == {"published_1": 3.5, "published_2": 0.25}
    assert study.log_files(completed) == [str(path)]
    distances = pd.DataFrame(
        [[abs(a - b) ** 2 + 1.0 * (a != b) for a in range(10)] for b in range(10)], GLYPHS, GLYPHS
    )
    write_parquet(tmp_path / "matrix.parquet", distances)
    assert divergence.read(tmp_path / "matrix.parquet")[0] == GLYPHS
    files = []
    for name, definition in study.subsets(completed, GLYPHS).items():
        assert subsets.select(distances, definition, 0).indices == definition["indices"]
        files.append(str(tmp_path / f"{name}.json"))
        select_subset(str(tmp_path / "matrix.parquet"), None, files[-1], name, definition, 0)
    assert subset_files.read(files[0], GLYPHS)["classes"] == ["digit_1", "digit_2"]
    table = tmp_path / "subsets.csv"
    list_subsets(files, str(table), study.published_medians(completed))
    found = pd.read_csv(table).set_index("subset")
    assert found["published_icd"].to_dict() == {"published_1": 3.5, "published_2": 0.25}
    assert found["median_icd"].tolist() == [2.0, 2.0]
    list_subsets(files, str(table), {})
    assert "published_icd" not in pd.read_csv(table)


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the published logs are not here")
def test_the_published_logs_are_of_cifar_100_s_classes() -> None:
    for setting, count in (("4bit", 34), ("3bit", 32)):
        definition = {"kind": "log", "file": str(PUBLISHED / FILES[setting])}
        completed = checked(
            edited(
                {
                    "dataset": {"kind": "cifar100", "path": "nowhere"},
                    "subsets/definitions": {"published": definition},
                    "features/source": "small",
                }
            )
        )
        found = study.subsets(completed, cifar.CIFAR100)
        assert len(found) == count
        assert {len(each["indices"]) for each in found.values()} == {10}
