"""Which variant to deploy: the smallest file that loses next to nothing on the deployed classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from laq.analysis.statistics import wilson_interval
from laq.utils.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

FROM_ACCURACY = ["network", "subset", "variant", "repeat", "scope", "n", "correct"]
FROM_MEMORY = ["network", "subset", "variant", "repeat", "packed_bytes", "bits_per_weight"]

# Files up to this multiple of the smallest count as equal: descriptions alone differ by as much.
EQUAL = 1.02


def choose(
    accuracy: pd.DataFrame, memory: pd.DataFrame, tolerance: float, confidence: float = 0.95
) -> pd.DataFrame:
    """A row for each network, subset and variant, and in each subset one that is recommended.

    Recommended is the smallest file whose top-1 over the subset's classes is at most ``tolerance``
    (0.01 is a point) below the best variant's. Files up to 2 % larger than the smallest count as
    equal to it, and of equal files the most accurate is taken. Of variants that were made several
    times, the first repeat counts: it is the file that bears the variant's name.

    Args:
        accuracy: ``accuracy.csv``, at least ``FROM_ACCURACY``.
        memory: ``tables/memory.csv``, at least ``FROM_MEMORY``; originals have no subset.

    Returns:
        network, subset, variant, n, top1 (over the subset's classes), low, high (its Wilson
        interval), top1_all, bytes, bits_per_weight, recommended (bool), reason; variants in the
        order of ``accuracy``.

    Raises:
        DataError: a variant that has an accuracy but no size.
    """
    import pandas as pd

    keys = ["network", "subset", "variant"]
    first = accuracy[accuracy["repeat"] == 1]
    scopes = {scope: first[first["scope"] == scope] for scope in ("subset", "all")}
    table = scopes["subset"].merge(scopes["all"], on=keys, suffixes=("", "_all"), validate="1:1")
    sizes = {
        (row.network, "" if pd.isna(row.subset) else row.subset, row.variant): row
        for row in memory[memory["repeat"] == 1].itertuples()
    }
    rows = []
    for row in table.itertuples():
        arm = row.network, "" if row.variant == "original" else row.subset, row.variant
        if arm not in sizes:
            raise DataError(
                f"{row.variant} of {row.network} on {row.subset} has an accuracy but no size in "
                "memory.csv: delete both tables and run again"
            )
        low, high = wilson_interval(row.correct, row.n, confidence)
        rows.append(
            {
                **{key: getattr(row, key) for key in (*keys, "n", "correct")},
                "top1": row.correct / row.n,
                "low": float(low),
                "high": float(high),
                "top1_all": row.correct_all / row.n_all,
                "bytes": int(sizes[arm].packed_bytes),
                "bits_per_weight": float(sizes[arm].bits_per_weight),
            }
        )
    groups = pd.DataFrame(rows).groupby(["network", "subset"], sort=False, group_keys=False)
    blocks = [_judged(group, tolerance) for _, group in groups]
    return pd.concat(blocks, ignore_index=True).drop(columns="correct")


def _judged(group: pd.DataFrame, tolerance: float) -> pd.DataFrame:
    """The variants of one subset, with ``recommended`` and ``reason``."""
    max_correct = group["correct"].max()
    best = group[group["correct"] == max_correct]["variant"]
    # Counted in images, so that a variant exactly at the tolerance is within it.
    within = max_correct - group["correct"] <= tolerance * group["n"] + 1e-9
    small = group["bytes"] <= EQUAL * group.loc[within, "bytes"].min()
    order = {"correct": False, "bytes": True}
    candidates = group[within & small].sort_values(
        list(order), ascending=list(order.values()), kind="stable"
    )
    chosen = candidates.iloc[0]
    limit = f"{100 * tolerance:g} {'point' if tolerance == 0.01 else 'points'}"

    def reason(row: pd.Series) -> str:
        if row["correct"] < max_correct:
            gap = 100 * (max_correct - row["correct"]) / row["n"]
            rank = f"{gap:.2f} points below {best.iloc[0]}, the best"
        else:
            rank = "the best" if len(best) == 1 else "as good as any"
        if not within[row.name]:
            return f"{rank}: more than {limit}"
        if row["variant"] == chosen["variant"]:
            return f"{rank}; the smallest file within {limit} of the best"
        if small[row.name]:
            degree = "as" if row["correct"] == chosen["correct"] else "more"
            return f"{rank}; {chosen['variant']} is as small and {degree} accurate"
        saving = 100 * (1 - chosen["bytes"] / row["bytes"])
        return f"{rank}; {chosen['variant']}, {saving:.0f} % smaller, is within {limit} too"

    reasons = [reason(row) for _, row in group.iterrows()]
    return group.assign(recommended=group["variant"] == chosen["variant"], reason=reasons)
