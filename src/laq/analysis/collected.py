"""Tables of all networks and subsets: put together, and read again as a whole.

A table that lost rows still parses, and means over it are of something else.
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

# What a row is of, in whichever of the tables has the column. The first two are a table's own.
PLACE = ["network", "subset"]
ROW = [
    *("variant", "method", "calibration", "bits", "images", "scale", "ridge", "layers"),
    *("classes", "density", "repeat", "scope"),
]


def put_together(paths: Sequence[str | os.PathLike[str]]) -> pd.DataFrame:
    """The rows of all tables, in the order given.

    Raises:
        DataError: a file is no table, holds what its columns cannot, has a row twice or one that
            another has as well, or has not the columns and rows of the others.
    """
    import pandas as pd

    tables = [read_table(path, PLACE) for path in paths]
    first = tables[0]
    for path, table in zip(paths, tables, strict=True):
        if list(table.columns) != list(first.columns):
            odd = sorted({*table.columns} ^ {*first.columns}) or ["in another order"]
            raise DataError(
                f"{path} has other columns than {paths[0]} ({', '.join(odd)}): "
                "delete the one that is wrong and run again"
            )
        columns.check(path, table, table.columns)
        _check_rows(path, table)
    _check_alike(paths, tables)
    rows = pd.concat(tables, ignore_index=True)
    if (twice := rows.duplicated(_known(rows, PLACE + ROW))).any():
        origin = [path for path, table in zip(paths, tables, strict=True) for _ in table.index]
        raise DataError(
            f"{origin[int(twice.to_numpy().argmax())]} has rows of another table's network and "
            f"subset: {AGAIN}"
        )
    return rows


def read(path: str | os.PathLike[str], names: Sequence[str]) -> pd.DataFrame:
    """A table of all networks and subsets, with the columns ``names``.

    Raises:
        DataError: as ``read_table``; a row is there twice, or lacking, in that another subset of
            its network has it; or it is of rates that are not its counts'.
    """
    table = read_table(path, names)
    _check_rows(path, table)
    of_subsets = table[table["subset"].notna()]
    parts = [rows for _, rows in of_subsets.groupby(PLACE, sort=False)]
    _check_alike([path] * len(parts), parts)
    return table


def check_covers(
    path: str | os.PathLike[str], table: pd.DataFrame, other: pd.DataFrame, name: str
) -> None:
    """Raise ``DataError`` where ``table`` lacks a subset of a network that ``other`` has."""
    own, wanted = (set(each[PLACE].itertuples(index=False, name=None)) for each in (table, other))
    if lacking := sorted(wanted - own):
        raise DataError(f"{path} has no row of {' on '.join(lacking[0])}, and {name} has: {AGAIN}")


def _check_rows(path: str | os.PathLike[str], table: pd.DataFrame) -> None:
    if (twice := table.duplicated(_known(table, PLACE + ROW))).any():
        raise DataError(f"{path}, row {int(twice.to_numpy().argmax()) + 1} is there twice: {AGAIN}")
    columns.check_rates(path, table)


def _check_alike(paths: Sequence[str | os.PathLike[str]], tables: Sequence[pd.DataFrame]) -> None:
    """Each network's subsets have a row for the same variants or points, in one table or more."""
    found: dict[tuple[str, str], tuple[str | os.PathLike[str], set[tuple[object, ...]]]] = {}
    for path, table in zip(paths, tables, strict=True):
        if not (keys := _known(table, ROW)) or "subset" not in table:
            return
        place = str(table["network"].iloc[0]), str(table["subset"].iloc[0])
        _, rows = found.setdefault(place, (path, set()))
        rows.update(table[keys].itertuples(index=False, name=None))
    firsts: dict[str, tuple[str | os.PathLike[str], set[tuple[object, ...]]]] = {}
    for (network, subset), (path, rows) in found.items():
        other, expected = firsts.setdefault(network, (path, rows))
        if rows != expected:
            odd = ", ".join(map(str, min(rows ^ expected, key=str)))
            raise DataError(
                f"{path} has not the same rows for {subset} as "
                f"{f'{other} has' if other != path else 'for others'} ({odd}): delete the one "
                "that lacks rows and run again"
            )


def _known(table: pd.DataFrame, names: Sequence[str]) -> list[str]:
    return [name for name in names if name in table]
