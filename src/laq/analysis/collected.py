"""Combine the tables of all networks and subsets, and read the combined tables.

A table that lost rows still parses, but means over it would be wrong. So rows are checked.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from laq.utils import columns
from laq.utils.errors import DataError
from laq.utils.files import AGAIN, read_table

if TYPE_CHECKING:
    import pandas as pd

# Columns that identify a row, where a table has them. A table has one value of the first two.
PLACE = ["network", "subset"]
ROW = [
    *("variant", "method", "calibration", "bits", "images", "scale", "ridge", "layers"),
    *("classes", "density", "repeat", "scope"),
]


def put_together(paths: Sequence[str | os.PathLike[str]]) -> pd.DataFrame:
    """The rows of all tables, in the order given.

    Raises:
        DataError: a file is no table, holds values that its columns cannot, has a row twice or one
            of another file, or differs from the others in its columns or rows.
    """
    import pandas as pd

    tables = [read_table(path, PLACE) for path in paths]
    first = tables[0]
    for path, table in zip(paths, tables, strict=True):
        if list(table.columns) != list(first.columns):
            mismatch = sorted({*table.columns} ^ {*first.columns}) or ["in another order"]
            raise DataError(
                f"{path} has other columns than {paths[0]} ({', '.join(mismatch)}): "
                "delete the one that is wrong and run again"
            )
        columns.check(path, table, table.columns)
        _check_rows(path, table)
    _check_alike(paths, tables)
    rows = pd.concat(tables, ignore_index=True)
    if (duplicated := rows.duplicated(_known(rows, PLACE + ROW))).any():
        origins = [path for path, table in zip(paths, tables, strict=True) for _ in table.index]
        raise DataError(
            f"{origins[int(duplicated.to_numpy().argmax())]} has rows of another table's network "
            f"and subset: {AGAIN}"
        )
    return rows


def read(path: str | os.PathLike[str], names: Sequence[str]) -> pd.DataFrame:
    """A table of all networks and subsets, with the columns ``names``.

    Raises:
        DataError: as ``read_table``; a row is there twice, or is missing although another subset
            of its network has it; or a rate does not match its counts.
    """
    table = read_table(path, names)
    _check_rows(path, table)
    subsets = table[table["subset"].notna()]
    tables = [rows for _, rows in subsets.groupby(PLACE, sort=False)]
    _check_alike([path] * len(tables), tables)
    return table


def check_covers(
    path: str | os.PathLike[str], table: pd.DataFrame, other: pd.DataFrame, name: str
) -> None:
    """Raise ``DataError`` where ``table`` lacks a subset of a network that ``other`` has."""
    present, expected = (
        set(rows[PLACE].itertuples(index=False, name=None)) for rows in (table, other)
    )
    if missing := sorted(expected - present):
        raise DataError(f"{path} has no row of {' on '.join(missing[0])}, and {name} has: {AGAIN}")


def _check_rows(path: str | os.PathLike[str], table: pd.DataFrame) -> None:
    if (duplicated := table.duplicated(_known(table, PLACE + ROW))).any():
        raise DataError(
            f"{path}, row {int(duplicated.to_numpy().argmax()) + 1} is there twice: {AGAIN}"
        )
    columns.check_rates(path, table)


def _check_alike(paths: Sequence[str | os.PathLike[str]], tables: Sequence[pd.DataFrame]) -> None:
    """Check that a network's subsets, in one table or more, have the same variants or points."""
    groups: dict[tuple[str, str], tuple[str | os.PathLike[str], set[tuple[object, ...]]]] = {}
    for path, table in zip(paths, tables, strict=True):
        if not (names := _known(table, ROW)) or "subset" not in table:
            return
        key = str(table["network"].iloc[0]), str(table["subset"].iloc[0])
        _, rows = groups.setdefault(key, (path, set()))
        rows.update(table[names].itertuples(index=False, name=None))
    references: dict[str, tuple[str | os.PathLike[str], set[tuple[object, ...]]]] = {}
    for (network, subset), (path, rows) in groups.items():
        reference, expected = references.setdefault(network, (path, rows))
        if rows != expected:
            mismatch = ", ".join(map(str, min(rows ^ expected, key=str)))
            raise DataError(
                f"{path} has not the same rows for {subset} as "
                f"{f'{reference} has' if reference != path else 'for others'} ({mismatch}): delete "
                "the one that lacks rows and run again"
            )


def _known(table: pd.DataFrame, names: Sequence[str]) -> list[str]:
    return [name for name in names if name in table]
