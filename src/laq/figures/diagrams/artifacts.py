"""The content of an artifact in a few words: shapes, dtypes and sizes, read from its header."""

from __future__ import annotations

import csv
import json
import math
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from laq.utils.errors import DataError
from laq.utils.files import AGAIN

_FLOATS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
_PARQUET = {"float": "float32", "double": "float64"}


def words(paths: Sequence[Path]) -> str:
    """The content of the files: the shape of one file, of several also their number and range.

    Files that do not exist yet are left out. Unknown kinds of files have an empty text.
    """
    files = sorted(path for path in paths if path.is_file())
    try:
        return _words(files) if files else ""
    # A damaged header raises errors of struct, zipfile, pyarrow, json or NumPy.
    except Exception as error:
        source = f"one of {files[0].parent}/*{files[0].suffix}" if len(files) > 1 else files[0]
        raise DataError(f"{source} cannot be read ({error}): {AGAIN}") from error


def _words(there: Sequence[Path]) -> str:
    suffix = f" (× {len(there):,})" if len(there) > 1 else ""
    match there[0].suffix:
        case ".npz":
            return images(there[0]) + suffix
        case ".parquet":
            return parquet(there[0]) + suffix
        case ".json":
            return members(there) + suffix
        case ".csv":
            return f"{span(sorted(map(_rows, there)), '{:,}'.format)} rows{suffix}"
        case ".safetensors":
            return networks(there) + suffix
    return ""


def images(path: Path) -> str:
    """Shape and dtype of the largest array of an ``.npz`` file, without unpacking it."""
    largest: tuple[tuple[int, ...], np.dtype] = ((), np.dtype("uint8"))
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            with archive.open(name) as member:
                version = np.lib.format.read_magic(member)
                reader = getattr(np.lib.format, f"read_array_header_{version[0]}_0")
                shape, _, dtype = reader(member)
            largest = max(largest, (shape, dtype), key=lambda entry: math.prod(entry[0]))
    return f"{shape_text(*largest[0])} {largest[1]}"


def parquet(path: Path) -> str:
    """Rows and columns of a table; where one column holds vectors, their length and dtype.

    Columns named index, label or class names are not data: a class × class matrix is square,
    coordinates have two columns.
    """
    import pyarrow as pa
    from pyarrow import parquet as pq

    with pq.ParquetFile(path) as file:
        schema, rows = file.schema_arrow, file.metadata.num_rows
        for column in schema:
            if hasattr(column.type, "value_type"):
                first = next(file.iter_batches(batch_size=1, columns=[column.name]))
                dtype = str(column.type.value_type)
                length = len(first.column(0)[0])
                return f"{shape_text(rows, length)} {_PARQUET.get(dtype, dtype)}"
        kinds = [str(c.type) for c in schema if pa.types.is_floating(c.type)]
    dtype = _PARQUET.get(kinds[0], kinds[0]) if kinds else ""
    return f"{shape_text(rows, len(kinds))} {dtype}".strip()


def members(paths: Sequence[Path]) -> str:
    """The length of lists, or the number of classes of subsets."""
    contents = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    if all(isinstance(content, list) for content in contents):
        return f"{span(sorted(map(len, contents)), '{:,}'.format)} names"
    if all("classes" in content for content in contents):
        sizes = sorted(len(content["classes"]) for content in contents)
        return f"{span(sizes, '{:,}'.format)} classes"
    return ""


def networks(paths: Sequence[Path]) -> str:
    """Sizes of checkpoints, and their parameters where all are in float."""
    sizes = span(sorted(path.stat().st_size for path in paths), size_text)
    parameters = {_parameters(path) for path in paths}
    if None in parameters:
        return sizes
    return f"{span(sorted(parameters), count_text)} weights, {sizes}"


def _parameters(path: Path) -> int | None:
    """Number of floats in a checkpoint; None where it holds packed codes."""
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
    if any(".codes." in name for name in tensors):
        return None
    return sum(math.prod(t["shape"]) for t in tensors.values() if t["dtype"] in _FLOATS)


def _rows(path: Path) -> int:
    with path.open(encoding="utf-8", newline="") as file:
        return max(0, sum(1 for row in csv.reader(file) if row) - 1)


def shape_text(*sizes: int) -> str:
    """``12,000 × 256``."""
    return " × ".join(f"{size:,}" for size in sizes)


def span(values: Sequence[int], text: Callable[[int], str]) -> str:
    """The least and the largest of sorted values, or one of them where both read the same."""
    low, high = text(values[0]), text(values[-1])
    return low if low == high else f"{low}–{high}"


def size_text(size: int) -> str:
    """Bytes in three digits: ``462 kB``, ``3.45 MB``."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= 0.9995 * factor:
            return f"{_three(size / factor)} {unit}"
    return f"{size} bytes"


def count_text(count: int) -> str:
    """A number in three digits: ``0.86 M``, ``25.6 M``, ``12.3 k``."""
    for unit, factor in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= 0.1 * factor:
            return f"{_three(count / factor)} {unit}"
    return f"{count}"


def _three(value: float) -> str:
    digits = 0 if value >= 99.95 else 1 if value >= 9.995 else 2
    return f"{value:.{digits}f}"
