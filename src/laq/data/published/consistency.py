"""Whether published logs agree with themselves and with each other.

Rows of the same classes are one subset, in whatever log they are. A contradiction raises an error.
What a reader should know is logged as a warning.
"""

from __future__ import annotations

import logging
import math
import re
from collections import Counter
from collections.abc import Mapping

from laq.data.published.log import CLASSES, DISTANCES, INDICES, TOP1, TOP5, Log, Row, like
from laq.utils.errors import DataError

logger = logging.getLogger(__name__)

# Data set and class indices: what makes two rows the same subset.
Key = tuple[str, tuple[int, ...]]

# The rows of each subset, by setting.
Found = dict[Key, dict[str, list[Row]]]

# Rows of one subset are repeats of one measurement only if these agree.
_SAME = ("Model Name", "Dataset", "Bits")

# Settings that should be the same in all rows of a log. Otherwise it is several studies in one
# file.
_SETTINGS = (*_SAME, "Quantization Batch Size", "CNN_Alphabet_Scalar", "Retain_rate")

# Of two distances that differ by less, one was merely printed with fewer digits.
_TOLERANCE = 1e-6


def by_subset(logs: Mapping[str, Log]) -> Found:
    """All rows by subset and setting, checked against each other.

    Raises:
        DataError: rows that contradict each other; names file and lines.
    """
    subsets: Found = {}
    datasets = {plain(row.texts.get("Dataset", "")) for log in logs.values() for row in log.rows}
    datasets.discard("")
    # A log without a data set takes that of the others, where these have only one.
    default = datasets.pop() if len(datasets) == 1 else ""
    for setting, log in logs.items():
        for row in log.rows:
            dataset = plain(row.texts.get("Dataset", "")) or default
            key = dataset, tuple(sorted(row.values[INDICES]))
            subsets.setdefault(key, {}).setdefault(setting, []).append(row)
    for rows in subsets.values():
        for setting, repeats in rows.items():
            check_repeats(logs[setting].path, repeats)
        _check_names(rows, logs)
    return subsets


def first(rows: Mapping[str, list[Row]]) -> Row:
    """A subset's row in the first log that has it."""
    return next(iter(rows.values()))[0]


def icd(row: Row, name: str) -> float:
    """A distance (median, mean, min, max) in nats; NaN where the log does not have it."""
    return row.values.get(DISTANCES[name], math.nan)


def warn_of_log(setting: str, log: Log, test_per_class: int | None) -> None:
    """Warn of copies, of varying settings, and of rates that fit no count, in one log."""
    for copy, line in log.copies:
        logger.warning(
            "log %s: line %d copies line %d in every column, so it is left out", setting, copy, line
        )
    for column in _SETTINGS:
        if len(values := Counter(row.texts.get(column, "") for row in log.rows)) > 1:
            text = ", ".join(f"{value or 'none'} in {count}" for value, count in values.items())
            logger.warning(
                "log %s: %s varies between rows (%s); the log counts as one setting",
                setting,
                column,
                text,
            )
    match = re.fullmatch(r"(\d+)bit", setting)
    widths = {row.texts.get("Bits", "") for row in log.rows} - {""}
    if match and widths and widths != {match[1]}:
        logger.warning(
            "log %s: its rows say %s bits; figures and tables call it by the name of its key",
            setting,
            " and ".join(sorted(widths)),
        )
    header = list(log.rows[0].texts)
    for column in [name for name in TOP5 if name not in header]:
        logger.warning("log %s has no column %s%s", setting, column, like(column, header))
    if test_per_class is not None and (misfits := [r for r in log.rows if _odd(r, test_per_class)]):
        logger.warning(
            "log %s: %d of %d rows, the first in line %d, have accuracies that are no shares of %d "
            "images a class; check test_per_class, since counts and their intervals come from it",
            setting,
            len(misfits),
            len(log.rows),
            misfits[0].line,
            test_per_class,
        )


def warn_of_subsets(subsets: Mapping[str, Mapping[str, list[Row]]]) -> None:
    """Warn of logs that repeat subsets, or give them another median ICD than an earlier log.

    ``subsets``: the rows of each subset's id, by setting.
    """
    _warn_of_strangers(subsets)
    repeated: dict[str, list[str]] = {}
    differences: dict[tuple[str, str], list[str]] = {}
    for name, rows in subsets.items():
        origin, earliest = next(iter(rows)), first(rows)
        for setting, repeats in rows.items():
            if len(repeats) > 1:
                repeated.setdefault(setting, []).append(f"{name} (lines {_lines(repeats)})")
            if not _alike(repeats[0], earliest):
                medians = f"{icd(repeats[0], 'median'):g} against {icd(earliest, 'median'):g}"
                differences.setdefault((setting, origin), []).append(f"{name} ({medians})")
    for setting, names in repeated.items():
        logger.warning(
            "log %s has more than one row of %s: they count as repeats, and statistics take a "
            "subset as one observation",
            setting,
            _some(names),
        )
    for (setting, origin), names in differences.items():
        logger.warning(
            "log %s has another median ICD than log %s of %s: each log keeps its own, so compare "
            "their curves with care",
            setting,
            origin,
            _some(names),
        )


def _warn_of_strangers(subsets: Mapping[str, Mapping[str, list[Row]]]) -> None:
    """Warn of logs that share no subset with any other: nothing can be compared with them."""
    shared = {setting for rows in subsets.values() if len(rows) > 1 for setting in rows}
    settings = dict.fromkeys(setting for rows in subsets.values() for setting in rows)
    for setting in settings if len(settings) > 1 else []:
        if setting not in shared:
            logger.warning(
                "log %s has no subset in common with another log: check its Dataset and %s",
                setting,
                INDICES,
            )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


def plain(name: str) -> str:
    """A name without capitals, blanks and punctuation: willow_tree and Willow Tree are alike."""
    return re.sub(r"\W|_", "", name).lower()


def check_repeats(path: str, repeats: list[Row]) -> None:
    """Raise ``DataError`` where rows of one subset in a log are no repeats.

    Repeats have the same median ICD, network, data set and bits.
    """
    message = f"{path}, lines {_lines(repeats)}, have the same classes and"
    if not all(_alike(row, repeats[0]) for row in repeats):
        raise DataError(f"{message} different {DISTANCES['median']}; correct them or keep one")
    for column in _SAME:
        if len({row.texts.get(column) for row in repeats}) > 1:
            raise DataError(
                f"{message} different {column}, so they are no repeats; "
                "split the log into one for each setting"
            )


def _check_names(rows: Mapping[str, list[Row]], logs: Mapping[str, Log]) -> None:
    origin, names = next(iter(rows)), set(map(plain, first(rows).values[CLASSES]))
    for setting, repeats in rows.items():
        for row in repeats:
            if set(map(plain, row.values[CLASSES])) != names:
                raise DataError(
                    f"{logs[setting].path}, line {row.line}, and {logs[origin].path}, line "
                    f"{first(rows).line}, have the same {INDICES} and different {CLASSES}; "
                    f"correct one of them, or leave a log out with log_{setting}=null"
                )


def _alike(one: Row, other: Row) -> bool:
    return math.isclose(icd(one, "median"), icd(other, "median"), rel_tol=_TOLERANCE)


def _lines(rows: list[Row]) -> str:
    return ", ".join(str(row.line) for row in rows)


def _odd(row: Row, test_per_class: int) -> bool:
    """Whether a rate is further from any count of images than its printed digits allow."""
    n = len(row.values[INDICES]) * test_per_class
    for column in TOP1:
        text = row.texts[column]
        digits = len(text.partition(".")[2]) if re.fullmatch(r"\d*\.?\d*", text) else 15
        count = row.values[column] * n
        if abs(count - round(count)) > 0.5 * n * 10.0**-digits + 1e-6:
            return True
    return False
