"""Another study's class × class matrix, from a .npy, CSV or Parquet file, in this study's order."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from laq.data.published.subsets import positions_of
from laq.utils.errors import DataError
from laq.utils.files import expanded

Named = tuple[list[str] | None, NDArray[np.float64]]


def read_matrix(path: str | os.PathLike[str], class_names: Sequence[str]) -> NDArray[np.float64]:
    """Distances (C, C) float64 of the classes ``class_names``, in that order, diagonal 0.

    Names of classes are a CSV file's header, a Parquet file's columns, and in both a first column
    of text. They are found as those of a log are, and the file may have further classes. Without
    names the file's order is taken for that of ``class_names``. This holds for ``.npy``, for a CSV
    file of numbers alone, and for columns called 0, 1, 2, … where no class is. Of divergences that
    differ by direction the mean is taken, as in ``laq.distances.divergence``.

    Raises:
        DataError: the file is no such matrix, or lacks a class; names the file and the remedy.
    """
    file = expanded(path)
    try:
        names, values = READERS[file.suffix](file)
    except KeyError:
        raise DataError(f"{path}: a matrix must be a file {', '.join(READERS)}") from None
    # Damaged Parquet raises many kinds: pyarrow's own, ValueError, OSError, …
    except Exception as error:
        raise DataError(f"{path} is not a readable matrix ({error})") from error
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        raise DataError(f"{path} has the shape {values.shape}; give a row and a column a class")
    order = _order(path, names, len(values), class_names)
    values = values[np.ix_(order, order)]
    np.fill_diagonal(values, 0.0)
    if not np.isfinite(values).all():
        first, second = (class_names[index] for index in np.argwhere(~np.isfinite(values))[0])
        raise DataError(
            f"{path} has no finite distance of {first!r} and {second!r}; compute it anew"
        )
    return (values + values.T) / 2


def _order(
    path: str | os.PathLike[str], names: list[str] | None, size: int, class_names: Sequence[str]
) -> list[int]:
    """Which row of the matrix each of our classes is."""
    positions = positions_of(names or [], class_names)
    numbered = names == [str(number) for number in range(size)] and None in positions.values()
    if names is None or numbered:
        if size != len(class_names):
            raise DataError(
                f"{path} has {size} classes without names, and the data set {len(class_names)}; "
                "give a CSV or Parquet file whose columns are called as the classes"
            )
        return list(range(size))
    if len(positions) < size:
        raise DataError(f"{path} has two columns of one name; name each class once")
    rows = {index: row for row, index in enumerate(positions.values()) if index is not None}
    if missing := [name for index, name in enumerate(class_names) if index not in rows]:
        text = ", ".join(map(repr, missing[:5])) + ", …" * (len(missing) > 5)
        raise DataError(f"{path} has no class {text}; it has {', '.join(map(repr, names[:5]))}, …")
    return [rows[index] for index in range(len(class_names))]


def _npy(path: Path) -> Named:
    return None, np.load(path, allow_pickle=False).astype(np.float64)


def _csv(path: Path) -> Named:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = [[cell.strip() for cell in row] for row in csv.reader(file) if row]
    if len({len(row) for row in rows}) > 1 or not rows:
        raise ValueError("its rows are of different length")
    height, width = len(rows), len(rows[0])
    # A header alone makes the table higher than wide, names of rows alone wider than high. With
    # both, the first cell is a corner.
    has_both = height == width and not _is_number(rows[0][0])
    header = rows[0] if has_both or height > width else None
    body = rows[1:] if header else rows
    if has_both or width > height:
        row_names, body = [row[0] for row in body], [row[1:] for row in body]
        return _agreed(header and header[1:], row_names), np.array(body, dtype=np.float64)
    return header, np.array(body, dtype=np.float64)


def _parquet(path: Path) -> Named:
    import pandas as pd

    table = pd.read_parquet(path)
    if len(table.columns) == len(table) + 1:
        table = table.set_index(table.columns[0])
    row_names = None if isinstance(table.index, pd.RangeIndex) else list(map(str, table.index))
    return _agreed(list(map(str, table.columns)), row_names), table.to_numpy(dtype=np.float64)


READERS = {".npy": _npy, ".csv": _csv, ".parquet": _parquet}


def _agreed(columns: list[str] | None, rows: list[str] | None) -> list[str] | None:
    """The names of columns and rows, which must be the same where both are there."""
    if columns and rows and columns != rows:
        raise ValueError("its rows are called otherwise than its columns, or in another order")
    return columns or rows


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
