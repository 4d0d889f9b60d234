"""Published logs that lack columns which are not needed: all that is made of a replay is made."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from fit_curves import fit_curves
from judge_claims import judge_claims
from laq.data.published.log import REQUIRED
from read_logs import read_logs
from tests.logs import COLUMNS, TOP1, row, write
from write_pages import write_pages

# Of the columns that are not needed those that some table or verdict tells of.
OPTIONAL = ("Model Name", "Dataset", "Bits", "Avg_KL")
ROLES = ("original", "quant", "ft", "ft_quant")
TABLES = ("claims", "sensitivity", "subsets", "accuracy", "curves", "differences", "logs")


def replayed(folder: Path, columns: list[str], **cells: object) -> pd.DataFrame:
    """The claims of a replay of two logs, the second with all columns; ``cells`` of the first."""
    rates = [dict.fromkeys(TOP1, 0.7 + i / 100) for i in range(4)]
    rows = [row((2 * i, 2 * i + 1), 1.0 + i, **rates[i] | cells) for i in range(4)]
    write(folder / "4bit.csv", rows, columns)
    write(folder / "mp53.csv", [row((2 * i, 2 * i + 1), 1.0 + i) for i in range(4)])
    file = {name: str(folder / f"{name}.csv") for name in (*TABLES, "4bit", "mp53")}
    read_logs(
        logs=[file["4bit"], file["mp53"]],
        accuracy=file["accuracy"],
        subsets=file["subsets"],
        record=file["logs"],
        settings=["4bit", "mp53"],
        test_per_class=100,
    )
    tables = {"accuracy": file["accuracy"], "subsets": file["subsets"]}
    statistics = {"confidence": 0.95, "resamples": 100, "seed": 0}
    outputs = {"curves": file["curves"], "differences": file["differences"]}
    fit_curves(**tables, **statistics, **outputs, controls={})
    judge_claims(
        **tables,
        **statistics,
        sweep=[],
        memory=[],
        logs=[file["logs"]],
        claims=file["claims"],
        page=str(folder / "claims.md"),
        sensitivity=file["sensitivity"],
        study="Published",
        arms={role: ["4bit", role] for role in ROLES} | {"mp53": ["mp53", "quant"]},
        bits={},
        base=None,
    )
    config = {"kind": "replay", "study": "Published", "claims": {r: f"4bit/{r}" for r in ROLES}}
    pages = [str(folder / f"{name}.html") for name in TABLES]
    write_pages([file[name] for name in TABLES], str(folder / "summary.html"), pages, config)
    return pd.read_csv(file["claims"]).set_index("claim")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> pd.Series:
    """The effects of all claims where every column is there."""
    return replayed(tmp_path_factory.mktemp("whole"), COLUMNS)["effect"]


def test_the_columns_that_are_called_needed_are_enough(whole: pd.Series, tmp_path: Path) -> None:
    assert whole.notna().sum() > 3
    assert replayed(tmp_path, list(REQUIRED))["effect"].equals(whole)


@pytest.mark.parametrize("column", OPTIONAL)
def test_any_other_column_may_be_left_out_or_be_empty(
    column: str, whole: pd.Series, tmp_path: Path
) -> None:
    left = [name for name in COLUMNS if name != column]
    assert replayed(tmp_path, left)["effect"].equals(whole)
    assert replayed(tmp_path, COLUMNS, **{column: ""})["effect"].equals(whole)


def test_a_log_that_says_its_network_in_some_rows_is_of_that_network(tmp_path: Path) -> None:
    rows = [row((1, 2), 1.0), row((3, 4), 2.0, **{"Model Name": ""})]
    path = str(write(tmp_path / "log.csv", rows))
    made = [str(tmp_path / name) for name in ("accuracy.csv", "subsets.csv", "logs.csv")]
    read_logs([path], *made, settings=["4bit"], test_per_class=100)
    assert pd.read_csv(made[2])["network"].tolist() == ["resnet50"]
