"""The zoo in one table: means over subsets with intervals, and what label-awareness gains."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from laq.analysis import collected
from laq.analysis.observations import DECIMALS
from laq.analysis.statistics.paired import Estimate, mean_interval
from laq.config.zoo_kinds import NONE, ORIGINAL
from laq.utils.errors import DataError
from laq.utils.files import AGAIN, read_table

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    *("network", "method", "subset", "calibration", "scope", "n", "correct", "top1"),
    *("bytes", "bits_per_weight"),
)
AGNOSTIC = "all"  # the calibration that gains are over
_ARM = ["network", "method", "calibration", "scope"]


def observations(zoo: str | os.PathLike[str], subsets: str | os.PathLike[str]) -> pd.DataFrame:
    """The rows of ``zoo/zoo.csv``, each set of classes counted once.

    Raises ``DataError`` for a table that lacks rows or columns, holds what cannot be true, or has a
    subset that ``subsets`` has not.
    """
    table = collected.read(zoo, COLUMNS)
    subset_table = read_table(subsets, ["subset", "duplicate_of"])
    if unknown := sorted(set(table["subset"]) - set(subset_table["subset"])):
        raise DataError(f"{zoo} has the subset {unknown[0]}, and {subsets} has not: {AGAIN}")
    return table[table["subset"].isin(_first_of_each(subset_table, set(table["subset"])))]


def _first_of_each(chosen: pd.DataFrame, there: set[str]) -> list[str]:
    """Of the subsets that are ``there``, one for each set of classes."""
    present = chosen[chosen["subset"].isin(there)]
    classes = present["duplicate_of"].fillna(present["subset"])
    return list(present.loc[~classes.duplicated(), "subset"])


def summarise(
    table: pd.DataFrame,
    columns: Mapping[str, Mapping[str, Any]],
    confidence: float,
    resamples: int,
    seed: int,
) -> pd.DataFrame:
    """A row for each network, method, calibration and scope, as results/README.md has them.

    table: by ``observations``. columns: of each method, by ``laq.config.zoo_entries.columns``.
    """
    import pandas as pd

    top1 = {arm: rows.set_index("subset")["top1"] for arm, rows in table.groupby(_ARM, sort=False)}
    means = table.groupby(_ARM, sort=False)[["bytes", "bits_per_weight"]].mean()

    def estimate(differences: pd.Series) -> Estimate:
        return mean_interval(differences.round(DECIMALS), confidence, resamples, seed)

    records = []
    for arm, rates in top1.items():
        network, method, calibration, scope = arm
        original = top1[network, ORIGINAL, NONE, scope]
        row = {"network": network, "method": method, **columns[method]}
        row |= {"calibration": calibration, "scope": scope, "n": len(rates)}
        row |= _cells("", "top1", estimate(rates))
        row |= _cells("change_", "change", estimate(rates - original))
        row |= _cells("gain_", "gain", _gain(top1, arm, estimate))
        size, bits = means.loc[arm, ["bytes", "bits_per_weight"]]
        records.append({**row, "bytes": round(size), "bits_per_weight": bits})
    return pd.DataFrame(records)


def _gain(top1: Mapping[Any, pd.Series], arm: tuple[str, ...], estimate: Any) -> Estimate:
    """The gain over the same method calibrated on all classes.

    It is exactly 0 where the calibration uses no image. It is NaN for the method calibrated on all
    classes itself, and where that one is missing.
    """
    network, method, calibration, scope = arm
    if calibration == NONE:
        return Estimate(0.0, 0.0, 0.0, len(top1[arm]))
    agnostic = top1.get((network, method, AGNOSTIC, scope))
    if calibration == AGNOSTIC or agnostic is None:
        return Estimate(*[float("nan")] * 3, 0)
    return estimate(top1[arm] - agnostic)


def _cells(prefix: str, name: str, found: Estimate) -> dict[str, float]:
    return {name: found.value, f"{prefix}low": found.low, f"{prefix}high": found.high}
