"""The accuracy table as statistics and figures take it: one observation a subset and arm.

An *arm* is a variant of a *setting*: in a study the setting is the network; in a replay of
published logs it is the log.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from laq.utils.columns import check_rates
from laq.utils.errors import DataError
from laq.utils.files import AGAIN, read_table

if TYPE_CHECKING:
    import pandas as pd

Source = str | os.PathLike[str]

COLUMNS = ("network", "subset", "variant", "repeat", "scope", "median_icd", "n", "correct", "top1")


# What all variants are compared with.
ORIGINAL = "original"

# Rates are ratios of counts. Beyond these decimals only rounding errors differ. They must not rank
# equal gains nor decide on which side of a bound a difference lies.
DECIMALS = 12

# Columns that identify a row.
ROW = ["setting", "subset", "variant", "repeat", "scope"]


def read(accuracy: Source, subsets: Source) -> pd.DataFrame:
    """The rows of ``accuracy`` with a column ``setting``, each set of classes counted once.

    Subsets that ``subsets`` marks as duplicates of an earlier one are left out: they are not
    further observations.

    Raises:
        DataError: a file is no table, lacks a column, has a row twice, a row that cannot be true
            or a subset that the other file lacks; or the table of a study lacks rows.
    """
    table = read_table(accuracy, COLUMNS)
    subset_table = read_table(subsets, ["subset", "median_icd", "duplicate_of"])
    is_study = "setting" not in table
    if is_study:
        table.insert(0, "setting", table["network"])
    table["setting"] = table["setting"].astype(str)
    if unknown := sorted(set(table["subset"]) - set(subset_table["subset"])):
        raise DataError(
            f"{accuracy} has the subset {', '.join(unknown)}, and {subsets} has not: "
            "delete both and run again"
        )
    if (duplicated := subset_table["subset"].duplicated()).any():
        raise DataError(
            f"{subsets} has two rows of {subset_table['subset'][duplicated].iloc[0]}: {AGAIN}"
        )
    _check_twins(subsets, subset_table)
    duplicated = table[ROW].duplicated()
    if duplicated.any():
        row = ", ".join(
            f"{name} {value}" for name, value in table.loc[duplicated, ROW].iloc[0].items()
        )
        raise DataError(f"{accuracy} has two rows of {row}: {AGAIN}")
    check_rates(accuracy, table)
    if is_study:
        _check_study(accuracy, table, subsets, subset_table)
    first = subset_table.loc[subset_table["duplicate_of"].isna(), "subset"]
    return table[table["subset"].isin(first)].reset_index(drop=True)


def _check_twins(subsets: Source, chosen: pd.DataFrame) -> None:
    """Check that subsets marked as duplicates are duplicates, since they are left out."""
    classes = chosen.set_index("subset").get("classes")
    for row in chosen[chosen["duplicate_of"].notna()].to_dict("records"):
        subset, twin = row["subset"], row["duplicate_of"]
        valid = twin in set(chosen["subset"]) - {subset}
        if not valid or (classes is not None and classes[subset] != classes[twin]):
            raise DataError(
                f"{subsets} calls {subset} a duplicate of {twin} (duplicate_of), which has other "
                f"classes or is not there: {AGAIN}"
            )


def _check_study(
    accuracy: Source, table: pd.DataFrame, subsets: Source, chosen: pd.DataFrame
) -> None:
    """Check that a study's arms have every subset, at one distance; published logs have gaps."""
    distance = table["subset"].map(chosen.set_index("subset")["median_icd"])
    if (differs := (table["median_icd"] - distance).abs() > 1e-9 * distance).any():
        row = table[differs].iloc[0]
        raise DataError(
            f"{accuracy} has the subset {row['subset']} at a median ICD of {row['median_icd']:g}, "
            f"{subsets} at {distance[differs].iloc[0]:g}: delete both and run again"
        )
    for key, rows in table.groupby(["setting", "variant", "repeat", "scope"], sort=False):
        if missing := sorted(set(chosen["subset"]) - set(rows["subset"])):
            raise DataError(
                f"{accuracy} has no row of {', '.join(map(str, key))} on {missing[0]}: {AGAIN}"
            )


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
