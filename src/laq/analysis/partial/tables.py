"""Combine the tables of partial training, and read the combined table."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from laq.utils import columns
from laq.utils.errors import DataError
from laq.utils.files import AGAIN, read_table

if TYPE_CHECKING:
    import pandas as pd

# Columns that identify a row, where a table has them.
ROW = ("network", "arm", "method", "position", "trained", "bits", "k", "repeat", "classes")
ROW += ("tested", "scope", "tensor")

# Columns of the table of all runs.
COLUMNS = (
    *("network", "arm", "method", "position", "trained", "bits", "input_bits", "k", "layers"),
    *("weights_share", "repeat", "classes", "tested", "scope", "n", "correct", "top1", "bytes"),
    *("update_bytes_float", "update_bytes", "step_bytes_float", "step_bytes"),
)


def put_together(paths: Sequence[str | os.PathLike[str]]) -> pd.DataFrame:
    """The rows of all tables, in the order given.

    Raises:
        DataError: a file is no table, has other columns than the first, or has a row twice or one
            of another file; or a rate does not match its counts.
    """
    import pandas as pd

    tables = [read_table(path) for path in paths]
    for path, table in zip(paths, tables, strict=True):
        if list(table.columns) != list(tables[0].columns):
            mismatch = sorted({*table.columns} ^ {*tables[0].columns}) or ["in another order"]
            raise DataError(
                f"{path} has other columns than {paths[0]} ({', '.join(mismatch)}): delete the one "
                "that is wrong and run again"
            )
    rows = pd.concat(tables, ignore_index=True)
    origins = [path for path, table in zip(paths, tables, strict=True) for _ in table.index]
    if (duplicated := rows.duplicated([name for name in ROW if name in rows])).any():
        raise DataError(f"{origins[int(duplicated.to_numpy().argmax())]} has a row twice: {AGAIN}")
    for path, table in zip(paths, tables, strict=True):
        if "correct" in table:
            columns.check_rates(path, table)
    return rows


def read(path: str | os.PathLike[str]) -> pd.DataFrame:
    """``partial_qat/runs.csv``. Raises as ``put_together``, and where a column is lacking."""
    read_table(path, COLUMNS)
    return put_together([path])
