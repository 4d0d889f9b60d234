"""Subsets of a published log as subsets of a study: the classes of its rows, found by name.

A log numbers the classes of its own data set. In another data set they are found by name.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

from laq.data.names import composed
from laq.data.published.consistency import check_repeats, icd, plain
from laq.data.published.log import CLASSES, Log, Row, read_log
from laq.utils.files import expanded


def read(path: str | os.PathLike[str]) -> Log:
    """The log at ``path`` (``~`` is filled in), parsed once as long as the file is the same.

    Raises:
        DataError: as ``read_log``, and where rows of the same classes are no repeats.
    """
    file = expanded(path)
    stamp = file.stat() if file.exists() else None
    return _read(file, stamp and (stamp.st_mtime_ns, stamp.st_size))


@cache
def _read(path: Path, state: tuple[int, int] | None) -> Log:
    log = read_log(path)
    repeats: dict[frozenset[str], list[Row]] = {}
    for row in log.rows:
        repeats.setdefault(_classes(row), []).append(row)
    for rows in repeats.values():
        check_repeats(str(path), rows)
    return log


def first_rows(log: Log, numbers: Collection[int] = ()) -> list[Row]:
    """The rows with these numbers (all where none is given), in the order of the log.

    Of rows with the same classes only the first is taken.
    """
    return [row for row, earlier in _with_earlier(log, numbers) if earlier is None]


def repeated_rows(log: Log, numbers: Collection[int] = ()) -> list[tuple[Row, Row]]:
    """The rows that ``first_rows`` leaves out, each with the earlier row of the same classes."""
    return [(row, earlier) for row, earlier in _with_earlier(log, numbers) if earlier is not None]


def _with_earlier(log: Log, numbers: Collection[int]) -> Iterator[tuple[Row, Row | None]]:
    first_by_classes: dict[frozenset[str], Row] = {}
    for row in log.rows:
        if not numbers or row.number in numbers:
            earlier = first_by_classes.setdefault(_classes(row), row)
            yield row, (None if earlier is row else earlier)


def _classes(row: Row) -> frozenset[str]:
    return frozenset(map(plain, row.values[CLASSES]))


def positions(row: Row, class_names: Sequence[str]) -> dict[str, int | None]:
    """Where each class of the row stands in ``class_names``; see ``positions_of``."""
    return positions_of(row.values[CLASSES], class_names)


def positions_of(names: Iterable[str], class_names: Sequence[str]) -> dict[str, int | None]:
    """Where each of another study's classes stands in ``class_names``; None where it does not.

    A name is compared as it is written. If no class has it, names are compared without capitals,
    blanks and underscores (Willow Tree, willow_tree), where these leave only one class.
    """
    exact = {name: index for index, name in enumerate(class_names)}
    counts = Counter(map(plain, class_names))
    folded = {plain(name): index for name, index in exact.items() if counts[plain(name)] == 1}
    return {name: exact.get(composed(name), folded.get(plain(name))) for name in names}


def ids(name: str, log: Log, rows: Sequence[Row]) -> list[str]:
    """Ids of the rows' subsets: numbers behind ``name``, padded to the width of the last row's."""
    width = len(str(log.rows[-1].number))
    return [f"{name}_{row.number:0{width}d}" for row in rows]


def median_icd(row: Row) -> float:
    """The median inter-class distance of the row's classes in the log, in nats."""
    return icd(row, "median")
