"""Paired differences between variants over subsets: the table of all comparisons."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from laq.analysis.observations import ORIGINAL, arm
from laq.analysis.statistics import holm, mean_interval, sign_flip_p

if TYPE_CHECKING:
    import pandas as pd

# Beside each variant against the original and its control: the study's own questions, variant and
# reference.
PAIRS = (("ft", "quant"), ("ft_quant", "quant"), ("ft_quant", "ft"))

COLUMNS = [
    *("setting", "variant", "reference", "scope", "n"),
    *("difference", "low", "high", "p", "p_holm", "wins"),
]


def differences(
    table: pd.DataFrame,
    confidence: float,
    resamples: int,
    seed: int,
    controls: Mapping[str, str] = MappingProxyType({}),
) -> pd.DataFrame:
    """Mean paired differences of top-1, variant less reference, over the subsets both have.

    ``table``: as ``observations.read`` gives it; repeats of a subset are averaged first.
    ``controls``: the label-agnostic control of each variant that has one; they are compared. The
    columns are those of ``tables/differences.csv``: setting, variant, reference, scope, n
    subsets, difference with the ends low and high of its interval, p of the two-sided sign-flip
    test, p_holm adjusted over the rows of its setting, wins (subsets where the variant is above).
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for (setting, scope), group in table.groupby(["setting", "scope"], sort=False):
        variants = list(dict.fromkeys(group["variant"]))
        pairs = [(variant, ORIGINAL) for variant in variants if variant != ORIGINAL]
        for variant, reference in (*pairs, *PAIRS, *controls.items()):
            if not {variant, reference} <= set(variants):
                continue
            d = arm(group, setting, variant, scope) - arm(group, setting, reference, scope)
            d = d.dropna()  # of subsets that one of the two lacks
            mean = mean_interval(d, confidence, resamples, seed)
            rows.append(
                {
                    "setting": setting,
                    "variant": variant,
                    "reference": reference,
                    "scope": scope,
                    "n": mean.n,
                    "difference": mean.value,
                    "low": mean.low,
                    "high": mean.high,
                    "p": sign_flip_p(d, seed=seed),
                    "wins": int((d > 0).sum()),
                }
            )
    result = pd.DataFrame(rows, columns=COLUMNS)
    # A setting is a study of its own: its verdicts do not depend on what is shown beside it.
    return result.assign(p_holm=result.groupby("setting")["p"].transform(holm))
