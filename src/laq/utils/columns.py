"""The values that the columns of the study's tables may hold.

A column name means the same in every table; results/README.md says what. Every table that is read
enters a computation. A cell that cannot be true is therefore refused here, with its file, row and
column, before it reaches a mean.
"""

from __future__ import annotations

import math
import os
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from laq.utils.errors import DataError
from laq.utils.files import AGAIN

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Kind:
    """Numbers from ``low`` to ``high``, both included.

    whole: whole numbers alone. empty: empty cells are allowed.
    """

    low: float = -math.inf
    high: float = math.inf
    whole: bool = False
    empty: bool = False

    def __str__(self) -> str:
        number = "a whole number" if self.whole else "a finite number"
        if math.isinf(self.high):
            return number if math.isinf(self.low) else f"{number} from {self.low:g} on"
        return f"{number} from {self.low:g} to {self.high:g}"


_SHARE, _DISTANCE = Kind(0, 1), Kind(0)
_COUNT, _NUMBER = Kind(0, whole=True), Kind(1, whole=True)

NUMBERS: Mapping[str, Kind] = {
    "index": _COUNT,
    "label": _COUNT,
    "umap_1": Kind(),
    "umap_2": Kind(),
    "repeat": _NUMBER,
    "median_icd": _DISTANCE,
    "mean_icd": Kind(0, empty=True),  # as some published logs leave it out
    "n": Kind(1, whole=True, empty=True),  # likewise
    "correct": Kind(0, whole=True, empty=True),
    "in_subset": Kind(0, whole=True, empty=True),
    "top1": _SHARE,
    "images": _NUMBER,
    "weights": _COUNT,
    "entropy": Kind(0, empty=True),
    "bytes": Kind(0, whole=True, empty=True),
    "float_bytes": _NUMBER,
    "packed_bytes": _NUMBER,
    "bits_per_weight": _DISTANCE,
    "gram_similarity": Kind(-1, 1 + 1e-9),
    "gram_distance": _DISTANCE,
    "gram_error": Kind(0, empty=True),
    "gram_floor": Kind(-1, 1 + 1e-9, empty=True),
    "spearman": Kind(-1, 1, empty=True),
}
# Columns of ids and words that are never empty. ``subset`` is not among them: an original has none.
WORDS: Mapping[str, tuple[str, ...]] = {
    "network": (),
    "variant": (),
    "scope": ("all", "subset"),
    "outcome": (),
    "predictor": (),
}


def check(
    path: str | os.PathLike[str],
    table: pd.DataFrame,
    names: Iterable[str],
    unsaid: Container[str] = (),
) -> None:
    """Raise ``DataError`` for the first cell of the columns ``names`` that cannot be true.

    Columns that are not listed in this module are not checked. ``unsaid``: columns of words that
    may be empty in this table.
    """
    for name in names:
        column = table[name]
        if name in NUMBERS:
            check_numbers(path, name, column, NUMBERS[name])
        elif name in WORDS and name not in unsaid:
            values = WORDS[name]
            wrong = column.isna() | (~column.isin(values) if values else False)
            _refuse(path, name, column, wrong, " or ".join(values) or "a name")


def check_rates(path: str | os.PathLike[str], table: pd.DataFrame) -> None:
    """Raise ``DataError`` for a row whose ``top1`` is not ``correct`` / ``n``, where known.

    A replay's counts are rounded from its rates, so they agree to half an image.
    """
    if not {"top1", "correct", "n"} <= {*table.columns}:
        return
    n, correct = table["n"].astype(float), table["correct"].astype(float)
    tolerance = 0.5 + 1e-6 if "setting" in table else 0.01  # top1 has ten digits
    wrong = (table["top1"] * n - correct).abs() > tolerance
    if wrong.any():
        row = table[wrong].iloc[0]
        raise DataError(
            f"{path}, row {int(wrong.to_numpy().argmax()) + 1}: top1 is {row['top1']:g}, and "
            f"{row['correct']} of {row['n']} images are correct: {AGAIN}"
        )


def check_rows(
    path: str | os.PathLike[str], rows: Sequence[Mapping[str, str]], names: Iterable[str]
) -> None:
    """Raise ``DataError`` for a cell of ``names`` that is neither a number nor empty."""
    for name in names:
        for number, row in enumerate(rows, 1):
            try:
                float(row[name] or "nan")
            except ValueError as error:
                raise DataError(
                    f"{path}, row {number}: {name} is {row[name]!r}, not a number: {AGAIN}"
                ) from error


def check_numbers(path: str | os.PathLike[str], name: str, column: pd.Series, kind: Kind) -> None:
    """Raise ``DataError`` for the first cell of one column that is not of ``kind``.

    For a column whose kind differs from that of its name in ``NUMBERS``.
    """
    import pandas as pd

    flags = column.map(lambda value: isinstance(value, bool)) if column.dtype == object else False
    numbers = pd.to_numeric(column, errors="coerce").astype(float)
    wrong = flags | ~(numbers.between(kind.low, kind.high) & (numbers.abs() < math.inf))
    if kind.whole:
        wrong |= numbers.mod(1).ne(0)
    if kind.empty:
        wrong &= column.notna()
    _refuse(path, name, column, wrong, str(kind))
    if not pd.api.types.is_numeric_dtype(column) and not kind.empty:  # text that reads as numbers
        _refuse(path, name, column, column.map(type).eq(str), str(kind))


def _refuse(
    path: str | os.PathLike[str], name: str, column: pd.Series, wrong: Any, allowed: str
) -> None:
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        value = column.iloc[row]
        value = value.item() if hasattr(value, "item") else value
        text = "empty" if value is None or value != value else repr(value)
        raise DataError(f"{path}, row {row + 1}: {name} is {text}; it must be {allowed}: {AGAIN}")
