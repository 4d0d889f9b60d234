"""Published logs put together: accuracies, subsets, and the record of the logs themselves."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from laq.data.published.consistency import by_subset, first, icd, warn_of_log, warn_of_subsets
from laq.data.published.log import (
    CLASSES,
    DISTANCES,
    INDICES,
    SCOPES,
    VARIANTS,
    Log,
    Row,
    rate_column,
    read_log,
)

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Tables:
    """What a replay starts from.

    ``accuracy``: the long table of a study, with the log's ``setting`` in front; ``median_icd`` and
    ``mean_icd`` are the log's own. ``subsets``: all subsets, by median ICD. ``logs``: a row a log.
    """

    accuracy: pd.DataFrame
    subsets: pd.DataFrame
    logs: pd.DataFrame


def read(
    path: str | os.PathLike[str], setting: str, test_per_class: int | None = None
) -> pd.DataFrame:
    """One log's accuracies as a table of long form; see ``put_together``.

    Raises:
        DataError: the file is no such log.
    """
    return put_together({setting: read_log(path)}, test_per_class).accuracy


def put_together(logs: Mapping[str, Log], test_per_class: int | None) -> Tables:
    """Put logs, by setting, into tables.

    Rows with the same classes are one subset, in whatever log they are. A second row of a subset in
    one log is its repeat 2. Subsets are numbered by their median ICD in the first log that has
    them, equal ones by class indices. ``test_per_class``: test images a class, from which images
    are counted; counts are empty where it is None.

    Raises:
        DataError: rows that contradict each other.
    """
    import pandas as pd

    groups = by_subset(logs)
    ranked = sorted(groups, key=lambda key: (icd(first(groups[key]), "median"), key[1], key[0]))
    width = max(2, len(str(len(ranked))))
    subsets = {f"subset_{rank:0{width}d}": groups[key] for rank, key in enumerate(ranked, 1)}
    for setting, log in logs.items():
        warn_of_log(setting, log, test_per_class)
    warn_of_subsets(subsets)
    accuracy = [
        {"setting": setting, "network": row.texts.get("Model Name") or setting, "subset": name}
        | scores
        for setting in logs
        for name, rows in subsets.items()
        for repeat, row in enumerate(rows.get(setting, []), 1)
        for scores in _scores(row, repeat, test_per_class)
    ]
    counts = dict.fromkeys(["n", "correct", "correct5", "in_subset"], "Int64")
    return Tables(
        pd.DataFrame(accuracy).astype({**counts, "top5": float}),
        pd.DataFrame([_subset(name, first(rows)) for name, rows in subsets.items()]),
        pd.DataFrame([_log(setting, log, subsets) for setting, log in logs.items()]),
    )


def _scores(row: Row, repeat: int, test_per_class: int | None) -> Iterator[dict[str, Any]]:
    n = None if test_per_class is None else len(row.values[INDICES]) * test_per_class
    for variant in VARIANTS:
        for scope in SCOPES:
            top1, top5 = (row.values.get(rate_column(variant, scope, top)) for top in (1, 5))
            yield {
                "variant": variant,
                "repeat": repeat,
                "scope": scope,
                "median_icd": icd(row, "median"),
                "mean_icd": icd(row, "mean"),
                "n": n,
                "correct": _count(top1, n),
                "top1": top1,
                "top5": math.nan if top5 is None else top5,
                "correct5": _count(top5, n),
                "in_subset": None,
            }


def _count(rate: float | None, n: int | None) -> int | None:
    return None if rate is None or n is None else round(rate * n)


def _subset(name: str, row: Row) -> dict[str, Any]:
    """The subset as in the table of a study; its classes in the order of their indices."""
    pairs = sorted(zip(row.values[INDICES], row.values[CLASSES], strict=True))
    return {
        "subset": name,
        "kind": "published",
        "target": None,
        **{f"{statistic}_icd": icd(row, statistic) for statistic in DISTANCES},
        "seed": None,
        "duplicate_of": None,
        "classes": "; ".join(class_name for _, class_name in pairs),
    }


def _log(setting: str, log: Log, subsets: Mapping[str, Mapping[str, list[Row]]]) -> dict[str, Any]:
    """The record of a log; a column that varies between rows has all its values."""
    repeats = {name: len(rows[setting]) for name, rows in subsets.items() if setting in rows}

    def of(column: str) -> str:
        return "; ".join(dict.fromkeys(filter(None, (r.texts.get(column) for r in log.rows))))

    return {
        "setting": setting,
        "file": Path(log.path).name,
        "rows": len(log.rows),
        "copies": len(log.copies),
        "subsets": len(repeats),
        "repeated": "; ".join(name for name, count in repeats.items() if count > 1),
        "network": of("Model Name"),
        "dataset": of("Dataset"),
        "bits": of("Bits"),
        "alphabet_scalar": of("CNN_Alphabet_Scalar"),
        "batch_size": of("Quantization Batch Size"),
        "sha256": log.sha256,
    }
