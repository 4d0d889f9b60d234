"""A published study and this one, subset by subset: what quantization gained, and the distances.

The published gain is a log's Quantized less its Original, ours a variant's top-1 less the
original's, over all classes and over the subset's. Subsets are the same where their classes are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from laq.analysis.observations import DECIMALS, ORIGINAL, arm
from laq.analysis.statistics import Association, holm, spearman
from laq.analysis.statistics.rank import matrix_spearman
from laq.data.published.log import SCOPES, Log, Row, rate_column
from laq.data.published.subsets import median_icd, positions
from laq.utils.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = [
    *("setting", "variant", "scope", "subset", "log", "median_icd", "published_icd"),
    *("rows", "repeats", "published", "ours", "low", "high"),
]
CORRELATIONS = [
    *("compared", "setting", "variant", "scope", "n", "published", "ours"),
    *("spearman", "low", "high", "p", "p_holm"),
]

# What is compared: gains on subsets, median ICD of subsets, ICD of pairs of classes.
GAIN, MEDIAN, MATRIX = "gain", "median_icd", "icd_matrix"


def side_by_side(
    table: pd.DataFrame,
    subsets: Sequence[Mapping[str, Any]],
    logs: Mapping[str, Log],
    class_names: Sequence[str],
) -> pd.DataFrame:
    """The rows of ``tables/replication.csv``: gains in shares, distances in nats.

    Args:
        table: as ``observations.read`` gives it.
        subsets: as ``subset_files.read_all`` gives them.
        logs: by the variant whose published counterpart is the log's Quantized network.
        class_names: of the data set.

    Several rows of one subset in a log are averaged, as are our repeats, whose least and largest
    gains are ``low`` and ``high``. Subsets that a log does not have are left out.

    Raises:
        DataError: a log has none of the subsets, or the table not the variant.
    """
    import pandas as pd

    names = {frozenset(subset["indices"]): subset["subset"] for subset in reversed(subsets)}
    rows: list[dict[str, Any]] = []
    for variant, log in logs.items():
        published = _rows_by_subset(log, names, class_names)
        for setting in dict.fromkeys(table["setting"]):
            for scope in SCOPES:
                gains = _gains(table, setting, variant, scope)
                rows += (
                    {
                        "setting": setting,
                        "variant": variant,
                        "scope": scope,
                        "subset": subset,
                        "log": Path(log.path).name,
                        **_published(published[subset], scope),
                        **gains.loc[subset],
                    }
                    for subset in gains.index
                    if subset in published
                )
    return pd.DataFrame(rows, columns=COLUMNS).astype({"rows": int, "repeats": int})


def _rows_by_subset(
    log: Log, names: Mapping[frozenset[int], str], class_names: Sequence[str]
) -> dict[str, list[Row]]:
    """The log's rows of the study's subsets, by the subset's id."""
    by_subset: dict[str, list[Row]] = {}
    for row in log.rows:
        classes = frozenset(positions(row, class_names).values())
        if classes in names:
            by_subset.setdefault(names[classes], []).append(row)
    if not by_subset:
        raise DataError(
            f"{log.path} has none of the study's subsets; take them from it, in "
            "subsets.definitions as published: {kind: log, file: …}"
        )
    return by_subset


def _published(rows: Sequence[Row], scope: str) -> dict[str, Any]:
    quantized, original = (rate_column(variant, scope, 1) for variant in ("quant", "original"))
    gains = [row.values[quantized] - row.values[original] for row in rows]
    return {
        "published_icd": median_icd(rows[0]),
        "rows": len(rows),
        "published": round(float(np.mean(gains)), DECIMALS),
    }


def _gains(table: pd.DataFrame, setting: str, variant: str, scope: str) -> pd.DataFrame:
    """Our gain on each subset: the mean over repeats, their number, and their range."""
    selected = (table["setting"] == setting) & (table["scope"] == scope)
    reference = arm(table, setting, ORIGINAL, scope)
    distance = arm(table, setting, variant, scope, "median_icd")
    repeats = table[selected & (table["variant"] == variant)].groupby("subset", sort=False)["top1"]
    gains = repeats.agg(ours="mean", low="min", high="max")
    gains = gains.sub(reference, axis=0).round(DECIMALS)
    gains.loc[repeats.size() == 1, ["low", "high"]] = np.nan
    return gains.assign(repeats=repeats.size(), median_icd=distance).astype(object)


def correlate(
    table: pd.DataFrame,
    matrices: tuple[ArrayLike, ArrayLike] | None,
    confidence: float,
    resamples: int,
    seed: int,
) -> pd.DataFrame:
    """The rows of ``tables/correlations.csv``: Spearman's rank correlations, theirs with ours.

    Args:
        table: of ``side_by_side``.
        matrices: distances (C, C) of all classes, the other study's and ours, in one order.

    p is two-sided, by permutation; p_holm corrects it over all rows of the table.
    """
    import pandas as pd

    rows = list(_correlations(table, matrices, confidence, resamples, seed))
    result = pd.DataFrame(rows, columns=CORRELATIONS)
    return result.assign(p_holm=holm(result["p"].to_numpy(float)))


def _correlations(
    table: pd.DataFrame,
    matrices: tuple[ArrayLike, ArrayLike] | None,
    confidence: float,
    resamples: int,
    seed: int,
) -> Iterator[dict[str, Any]]:
    for (setting, variant, scope), group in table.groupby(COLUMNS[:3], sort=False):
        association = spearman(group["published"], group["ours"], confidence, seed=seed)
        labels = {"setting": setting, "variant": variant, "scope": scope}
        means = {name: float(group[name].mean()) for name in ("published", "ours")}
        yield {"compared": GAIN, **labels, **means, **_numbers(association)}
    subsets = table.drop_duplicates("subset")
    association = spearman(subsets["published_icd"], subsets["median_icd"], confidence, seed=seed)
    yield {"compared": MEDIAN, **_numbers(association)}
    if matrices is not None:
        yield {
            "compared": MATRIX,
            **_numbers(matrix_spearman(*matrices, confidence, resamples, seed)),
        }


def _numbers(found: Association) -> dict[str, float]:
    return {
        "n": found.n,
        "spearman": found.rho,
        "low": found.low,
        "high": found.high,
        "p": found.p,
    }
