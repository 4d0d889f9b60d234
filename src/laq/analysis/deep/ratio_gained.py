"""What label-awareness gains in compression ratio at equal accuracy, subset by subset.

A curve that never falls below the level, or begins below it, says between which ratios it crosses;
so then does the ratio gained.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from laq.analysis import collected
from laq.analysis.observations import DECIMALS
from laq.experiments.deep.equal_accuracy import Reach, reach
from laq.utils.errors import DataError
from laq.utils.files import AGAIN, read_table

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    *("network", "subset", "median_icd", "mean_icd", "classes", "density", "repeat", "scope"),
    *("n", "correct", "top1", "bytes", "ratio"),
)
FLOAT = "none"  # of the column ``classes``
NAMES = {"subset": "aware", "all": "agnostic"}


def observations(table: str | os.PathLike[str], subsets: str | os.PathLike[str]) -> pd.DataFrame:
    """The rows of ``deep/label_aware.csv``, each set of classes counted once.

    Raises ``DataError`` for a table that lacks rows or columns, holds what cannot be true, or has a
    subset that ``subsets`` has not.
    """
    rows = collected.read(table, COLUMNS)
    chosen = read_table(subsets, ["subset", "duplicate_of"])
    if unknown := sorted(set(rows["subset"]) - set(chosen["subset"])):
        raise DataError(f"{table} has the subset {unknown[0]}, and {subsets} has not: {AGAIN}")
    own = chosen[chosen["subset"].isin(rows["subset"])]
    classes = own["duplicate_of"].fillna(own["subset"])
    return rows[rows["subset"].isin(own.loc[~classes.duplicated(), "subset"])]


def gained(table: pd.DataFrame, tolerance: float) -> pd.DataFrame:
    """A row for each network, scope and subset, as results/README.md has them.

    table: of ``observations``. tolerance: by which the level is below the top-1 in float, a share.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    keys = ["network", "scope", "subset"]
    for key, own in table.groupby(keys, sort=False):
        row = dict(zip(keys, key, strict=True))
        row |= own.iloc[0][["median_icd", "mean_icd"]].to_dict()
        level = float(own.loc[own["classes"] == FLOAT, "top1"].mean()) - tolerance
        row["level"] = round(level, DECIMALS)
        found = {arm: _reach(own[own["classes"] == arm], row["level"]) for arm in NAMES}
        for arm, each in found.items():
            name = NAMES[arm]
            row |= {f"ratio_{name}": each.ratio, f"ratio_{name}_low": each.low}
            row |= {f"ratio_{name}_high": each.high}
        ours, theirs = (found[arm] for arm in NAMES)
        row |= {
            "gained": ours.ratio / theirs.ratio,
            "gained_low": ours.low / theirs.high,
            "gained_high": ours.high / theirs.low,
            "censored": "; ".join(_open(arm, each) for arm, each in found.items() if each.censored),
        }
        rows.append(row)
    return pd.DataFrame(rows)


def _reach(rows: pd.DataFrame, level: float) -> Reach:
    """Of one arm on a subset; repeats are averaged first, ratios by their logarithms."""
    points = rows.assign(ratio=np.log(rows["ratio"])).groupby("density")[["ratio", "top1"]].mean()
    return reach(np.exp(points["ratio"]), points["top1"].round(DECIMALS), level)


def _open(arm: str, found: Reach) -> str:
    where = "is never below the level" if np.isinf(found.high) else "begins below the level"
    return f"{NAMES[arm]} {where}"
