"""Hypotheses of partial training, what would support each, and the verdicts.

The table was written before any of its verdicts was computed, and it is the only place with
margins. The rule is that of ``laq.analysis.claims``. A hypothesis states the region in which its
effects lie. It is supported where the data rule out that one lies outside, and contradicted where
they rule out that all lie inside. Both are judged at the study's confidence and after Holm's
correction over a network's hypotheses. Otherwise the hypothesis is undecided. Effects are shares:
0.01 is one percent point, or one layer in a hundred.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from laq.analysis.claims.rules import ABOVE_0, BELOW_0, Region
from laq.analysis.partial import evidence
from laq.analysis.partial.evidence import Effect
from laq.analysis.statistics import holm
from laq.analysis.statistics.paired import StratifiedMean, stratified_mean

if TYPE_CHECKING:
    import pandas as pd

SUPPORTED, CONTRADICTED, UNDECIDED = "supported", "contradicted", "undecided"
NONE = float("nan")

POINTS, LAYERS = "points of top-1", "% of the layers"


@dataclass(frozen=True)
class Hypothesis:
    """A statement, the region that each of its effects must lie in, and what measures these."""

    id: str
    statement: str
    comparison: str
    region: Region
    effects: Callable[[pd.DataFrame], list[Effect]]
    unit: str = POINTS


HYPOTHESES = (
    Hypothesis(
        "early_cost",
        "Early layers cost more than final ones at equal bytes.",
        "drop of the first layers − drop of the last, mean over the bytes of the file",
        ABOVE_0,
        evidence.early_against_last,
    ),
    Hypothesis(
        "attention_cost",
        "Attention layers cost more than the MLPs and the head.",
        "drop of all attention layers − drop of all MLPs, and − drop of the head",
        ABOVE_0,
        evidence.attention_against_others,
    ),
    Hypothesis(
        "on_front",
        "At equal bytes partial training is no worse than methods for the whole network.",
        "top-1 of the best partial arm that is no larger − top-1 of each such method",
        Region(low=-0.005),
        evidence.partial_against_whole,
    ),
    Hypothesis(
        "propagation",
        "Errors propagate: a single quantized layer costs more the earlier it comes.",
        "slope of the drop over the depth of the single layer, from first to last",
        BELOW_0,
        evidence.slope_over_depth,
    ),
    Hypothesis(
        "few_classes",
        "Trained on few classes, more layers can be quantized at the same drop.",
        f"share of layers within a drop of {100 * evidence.TOLERANCE:g} point: trained on the "
        "subset − trained on all classes, on the subset's classes",
        ABOVE_0,
        evidence.layers_allowed,
        LAYERS,
    ),
)


@dataclass(frozen=True)
class Judged:
    """The result for one hypothesis on a network's runs, before the correction for the others."""

    hypothesis: Hypothesis
    estimate: StratifiedMean | None
    p: float
    p_against: float
    remark: str


def judge(
    table: pd.DataFrame, confidence: float, hypotheses: Sequence[Hypothesis] = HYPOTHESES
) -> pd.DataFrame:
    """The table of verdicts, a row a network and hypothesis; a network is a family of its own.

    table: what the effects of ``hypotheses`` are measured on, with a column ``network``; those of
    partial training take rows of ``laq.analysis.partial.table.read``. Intervals are two-sided and
    of each hypothesis by itself. A p value or an interval that the data are too few for is NaN.

    Raises:
        ConfigError: if the confidence is not between 0 and 1.
    """
    import pandas as pd

    blocks = []
    for network, runs in table.groupby("network", sort=False):
        findings = [_judge(hypothesis, runs) for hypothesis in hypotheses]
        blocks += _rows(str(network), findings, confidence)
    return pd.DataFrame(blocks)


def _judge(hypothesis: Hypothesis, own: pd.DataFrame) -> Judged:
    """Test each effect; the reported one is the least favourable."""
    effects = hypothesis.effects(own)
    remarks = [effect.remark for effect in effects if effect.remark]
    usable = [effect for effect in effects if effect.strata]
    if not usable or len(usable) < len(effects):
        return Judged(hypothesis, None, NONE, NONE, "; ".join(remarks) or "no such arms")
    region = hypothesis.region
    means = [stratified_mean(effect.strata, effect.resolution) for effect in usable]
    outside = [_outside(mean, region) for mean in means]
    # An effect without a test has NaN, so that the hypothesis has no test either.
    p, p_against = float(np.max(outside)), float(np.min([_inside(mean, region) for mean in means]))
    ways = region.bounds * len(means)
    order = [(-region.margin(mean.value), -index) for index, mean in enumerate(means)]
    weakest = max(range(len(means)), key=order.__getitem__)
    if len(usable) > 1:
        remarks.insert(0, f"least favourable: {usable[weakest].name}")
    if np.isnan(p):
        remarks.append("one repeat has no chance to be told from another: make more")
    return Judged(
        hypothesis, means[weakest], p, float(np.minimum(1, ways * p_against)), "; ".join(remarks)
    )


def _outside(mean: StratifiedMean, region: Region) -> float:
    """p against "the effect lies outside": the larger of the bounds' (Schuirmann 1987)."""
    return max(mean.p_value(bound, inward) for bound, inward, _ in _bounds(region))


def _inside(mean: StratifiedMean, region: Region) -> float:
    """The smallest p against "the effect lies inside", of one bound."""
    return min(mean.p_value(bound, outward) for bound, _, outward in _bounds(region))


def _bounds(region: Region) -> list[tuple[float, Any, Any]]:
    bounds = [(region.low, "greater", "less"), (region.high, "less", "greater")]
    return [bound for bound in bounds if np.isfinite(bound[0])]


def _rows(network: str, judged: list[Judged], confidence: float) -> list[dict[str, Any]]:
    p = holm([finding.p for finding in judged])
    p_against = holm([finding.p_against for finding in judged])
    rows = []
    for finding, adjusted, adjusted_against in zip(judged, p, p_against, strict=True):
        low, high = finding.estimate.interval(confidence) if finding.estimate else (NONE, NONE)
        rows.append(
            {
                "network": network,
                "hypothesis": finding.hypothesis.id,
                "statement": finding.hypothesis.statement,
                "comparison": finding.hypothesis.comparison,
                "region": str(finding.hypothesis.region),
                "unit": finding.hypothesis.unit,
                "effect": finding.estimate.value if finding.estimate else NONE,
                "low": low,
                "high": high,
                "n": finding.estimate.n if finding.estimate else 0,
                "p": finding.p,
                "p_holm": adjusted,
                "p_against": finding.p_against,
                "p_against_holm": adjusted_against,
                "verdict": _verdict(adjusted, adjusted_against, 1 - confidence),
                "remark": finding.remark,
            }
        )
    return rows


def _verdict(p: float, p_against: float, alpha: float) -> str:
    # NaN is not below alpha: a hypothesis without a p value stays undecided.
    if p < alpha:
        return SUPPORTED
    return CONTRADICTED if p_against < alpha else UNDECIDED
