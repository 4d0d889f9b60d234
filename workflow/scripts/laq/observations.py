"""The accuracy table as statistics and figures take it: one observation a subset and arm.

An *arm* is a variant of a *setting*: in a study the setting is the network; in a replay of
published logs it is the log.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from laq.errors import DataError
from laq.files import read_table

if TYPE_CHECKING:
    import pandas as pd

Source = str | os.PathLike[str]

COLUMNS = ("network", "subset", "variant", "repeat", "scope", "median_icd", "n", "correct", "top1")


# What all variants are compared with.
ORIGINAL = "original"

# Rates are ratios of counts: beyond these decimals differ only what floating point rounded, which
# must not rank equal gains nor decide on which side of a bound a difference lies.
DECIMALS = 12

# What a row is of.
ROW = ["setting", "subset", "variant", "repeat", "scope"]


def read(accuracy: Source, subsets: Source) -> pd.DataFrame:
    """The rows of ``accuracy`` with a column ``setting``, each set of classes counted once.

    Subsets that ``subsets`` marks as duplicates of an earlier one are left out: they are not
    further observations.

    Raises:
        DataError: a file that is no table, lacks a column, has a row twice, or a subset that
            the other has not.
    """
    table, chosen = read_table(accuracy, COLUMNS), read_table(subsets, ["subset", "duplicate_of"])
    if "setting" not in table:
        table.insert(0, "setting", table["network"])
    table["setting"] = table["setting"].astype(str)
    if unknown := sorted(set(table["subset"]) - set(chosen["subset"])):
        raise DataError(
            f"{accuracy} has the subset {', '.join(unknown)}, and {subsets} has not: "
            "delete both and run again"
        )
    twice = table[ROW].duplicated()
    if twice.any():
        row = ", ".join(f"{name} {value}" for name, value in table.loc[twice, ROW].iloc[0].items())
        raise DataError(f"{accuracy} has two rows of {row}: delete it and run again")
    first = chosen.loc[chosen["duplicate_of"].isna(), "subset"]
    return table[table["subset"].isin(first)].reset_index(drop=True)


def arm(
    table: pd.DataFrame, setting: str, variant: str, scope: str, column: str = "top1"
) -> pd.Series:
    """One number a subset (index: subset, in the table's order), the mean over its repeats.

    Raises:
        DataError: the table has no such arm.
    """
    rows = table[
        (table["setting"] == setting) & (table["variant"] == variant) & (table["scope"] == scope)
    ]
    if rows.empty:
        arms = table[["setting", "variant"]].drop_duplicates().agg("/".join, axis=1)
        raise DataError(
            f"no rows of {setting}/{variant} on {scope}: the table has {', '.join(arms)}"
        )
    return rows.groupby("subset", sort=False)[column].mean().round(DECIMALS)
