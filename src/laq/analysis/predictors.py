"""Predictors of the price of quantization: distances and similarities against measured drops.

Rank correlations over subsets assume no shape of the relation. Yu, Yang and Shi (2021) found that
the accuracy of a network that was calibrated on another domain goes with the similarity of Gram
matrices (``laq.experiments.similarity``). Here that is ``agnostic_drop``. In ``gain`` the
differences that subsets have by themselves cancel.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from laq.analysis.observations import DECIMALS, arm
from laq.analysis.statistics import holm, spearman

if TYPE_CHECKING:
    import pandas as pd

PREDICTORS = ("median_icd", "mean_icd", "gram_similarity", "gram_distance")
# Roles whose top-1 is subtracted: the first less the second.
OUTCOMES = {
    "drop": ("original", "quant"),
    "agnostic_drop": ("original", "agnostic"),
    "gain": ("quant", "agnostic"),
}
SCOPE = "subset"

SIMILARITY = ("network", "subset", *PREDICTORS, "gram_error", "gram_floor")
SWEEP = ("network", "subset", "bits", "images", "classes", "repeat", "scope", "top1")
COLUMNS = [
    *("setting", "outcome", "first", "second", "predictor", "n"),
    *("spearman", "low", "high", "p", "p_holm"),
]


def rank(
    table: pd.DataFrame,
    similarity: pd.DataFrame,
    arms: Mapping[str, str],
    confidence: float,
    seed: int,
) -> pd.DataFrame:
    """Spearman's rank correlation of each predictor with each outcome, over the subsets.

    Args:
        table: as ``observations.read`` gives it; an outcome is a difference of top-1 on the
            subset's classes, repeats of a subset averaged first.
        similarity: the table of ``tables/similarity.csv``.
        arms: the variant that plays each role. Outcomes without one of their roles are left out.

    Columns: those of ``tables/predictors.csv``. p is two-sided, by permutation; p_holm corrects
    it over the rows of a setting. Subsets whose predictor is not finite do not count.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for setting in dict.fromkeys(table["setting"]):
        by_subset = of_setting(similarity, setting)
        for outcome, roles in OUTCOMES.items():
            if not set(roles) <= arms.keys():
                continue
            first, second = (arms[role] for role in roles)
            differences = difference(table, setting, first, second)
            for predictor in PREDICTORS:
                x = by_subset[predictor].reindex(differences.index).round(DECIMALS)
                finite = np.isfinite(x.to_numpy(float))
                ranks = spearman(x[finite], differences[finite], confidence, seed=seed)
                ids = (setting, outcome, first, second, predictor)
                numbers = (ranks.n, ranks.rho, ranks.low, ranks.high, ranks.p)
                rows.append(dict(zip(COLUMNS, (*ids, *numbers), strict=False)))
    result = pd.DataFrame(rows, columns=COLUMNS)
    return result.assign(p_holm=result.groupby("setting")["p"].transform(holm))


def of_setting(similarity: pd.DataFrame, setting: str) -> pd.DataFrame:
    """The rows of one network, by subset."""
    return similarity[similarity["network"] == setting].set_index("subset")


def difference(table: pd.DataFrame, setting: str, first: str, second: str) -> pd.Series:
    """Top-1 of one variant less another's on each subset that both have, on its classes."""
    top1 = (arm(table, setting, variant, SCOPE) for variant in (first, second))
    return (next(top1) - next(top1)).dropna().round(DECIMALS)


def with_control(
    table: pd.DataFrame, sweep: pd.DataFrame, variant: str, bits: int, images: int
) -> pd.DataFrame:
    """The table with the sweep's label-agnostic control as rows of a ``variant``.

    ``bits`` and ``images``: of the variant that the sweep departs from.
    """
    import pandas as pd

    selected = (sweep["bits"] == bits) & (sweep["images"] == images) & (sweep["classes"] == "all")
    rows = sweep[selected & sweep["subset"].isin(table["subset"])]
    rows = rows.assign(setting=rows["network"], variant=variant)
    return pd.concat([table, rows], ignore_index=True)
