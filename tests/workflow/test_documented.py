"""Every table that a study writes is documented, with all its columns."""

from __future__ import annotations

import csv

from tests import documented
from tests.workflow.conftest import Checkout


def test_every_table_and_column_of_the_study_is_documented(finished: Checkout) -> None:
    root = finished.path / "results/digits"
    tables = {path.relative_to(root).as_posix(): path for path in root.rglob("*.csv")}
    assert len(tables) > 30
    for name, path in tables.items():
        with path.open(encoding="utf-8") as file:
            header = next(csv.reader(file))
        described = documented.columns(name)
        assert described is not None, f"{name} is not in docs/artifacts.yaml"
        assert set(header) <= described, name
