"""The engine: every claim of the table measured, tested and judged.

For claims of several effects the test against "some effect lies outside" is the intersection-
union test: the largest p (Berger 1982). The test against "all lie inside" is the smallest p
times the number of ways the claim can fail (Bonferroni). Holm's correction over the claims is
applied to both families. So the chance that any claim is wrongly called reproduced is at most
1 - confidence, and likewise that any is wrongly called not reproduced.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from laq.analysis.claims import effects
from laq.analysis.claims.effects import NONE, Rigour, TestedEffect
from laq.analysis.claims.evidence import Evidence
from laq.analysis.claims.rules import CLAIMS, ROLES, Claim, CurveAt, Effect, Region, Saving
from laq.analysis.statistics import Estimate, holm

REPRODUCED, NOT_REPRODUCED, INCONCLUSIVE = "reproduced", "not reproduced", "inconclusive"

NOTHING = Estimate(NONE, NONE, NONE, 0)


@dataclass(frozen=True)
class Finding:
    """The result for one claim; p values are NaN where there is no test.

    ``measured`` is a verdict without a test: a file's size is not random.
    """

    claim: Claim
    estimate: Estimate = NOTHING
    p: float = NONE
    p_against: float = NONE
    measured: str | None = None
    remarks: tuple[str, ...] = field(default=())


def judge(
    evidence: Evidence,
    rigour: Rigour,
    icd: str = "median_icd",
    claims: tuple[Claim, ...] = CLAIMS,
) -> pd.DataFrame:
    """The table of verdicts, a row a claim and setting; a setting is a family of its own.

    ``icd``: the column on which curves are fitted, median_icd or mean_icd. Effects, intervals
    and regions are shares. What a claim lacks for a p or an interval is NaN.

    Raises:
        ConfigError: if the confidence is not between 0 and 1.
    """
    blocks = [
        _block(setting, [_find(evidence, setting, claim, icd, rigour) for claim in claims], rigour)
        for setting in evidence.settings()
    ]
    return pd.concat(blocks, ignore_index=True)


def _block(setting: str, findings: list[Finding], rigour: Rigour) -> pd.DataFrame:
    p = holm([finding.p for finding in findings])
    p_against = holm([finding.p_against for finding in findings])
    alpha = 1 - rigour.confidence
    family = int(np.isfinite(p).sum())
    rows = []
    for finding, adjusted, adjusted_against in zip(findings, p, p_against, strict=True):
        verdict = finding.measured or _verdict(adjusted, adjusted_against, alpha)
        remarks = list(finding.remarks)
        n = finding.estimate.n
        if np.isfinite(finding.p) and _hopeless(n, family, alpha):
            remarks.append(
                f"{n} subset{'s are' if n != 1 else ' is'} too few to decide {family} claims"
            )
        rows.append(
            {
                "setting": setting,
                "claim": finding.claim.id,
                "statement": finding.claim.statement,
                "source": finding.claim.source,
                "comparison": "; ".join(str(effect) for effect in finding.claim.effects),
                "region": str(finding.claim.region),
                "effect": finding.estimate.value,
                "low": finding.estimate.low,
                "high": finding.estimate.high,
                "n": finding.estimate.n,
                "p": finding.p,
                "p_holm": adjusted,
                "p_against": finding.p_against,
                "p_against_holm": adjusted_against,
                "verdict": verdict,
                "remark": "; ".join(remarks),
            }
        )
    return pd.DataFrame(rows)


def _verdict(p: float, p_against: float, alpha: float) -> str:
    # NaN is not below alpha: a claim without a p value stays inconclusive.
    if p < alpha:
        return REPRODUCED
    return NOT_REPRODUCED if p_against < alpha else INCONCLUSIVE


def _hopeless(n: int, family: int, alpha: float) -> bool:
    """Whether n subsets, even all on one side, are too few for the first of Holm's steps."""
    return 0.5**n * family >= alpha


def _find(evidence: Evidence, setting: str, claim: Claim, icd: str, rigour: Rigour) -> Finding:
    remarks = (claim.remark,) if claim.remark else ()
    lacking = evidence.lacking(setting, claim.roles)
    if not lacking and (reason := evidence.unfit(setting, claim)):
        finding = Finding(claim, remarks=(reason,))
    elif isinstance(claim.effects[0], Saving):
        finding = _saving(evidence.savings(setting, claim.effects[0].role), claim)
    elif lacking:
        roles = " and ".join(ROLES[role] for role in lacking)
        finding = Finding(claim, remarks=(f"nothing here plays the part of {roles}",))
    else:
        finding = _tested(evidence, setting, claim, icd, rigour)
        remarks = (
            *remarks,
            *(evidence.notes[role] for role in claim.roles if role in evidence.notes),
        )
    return replace(finding, remarks=finding.remarks + remarks)


def _saving(savings: np.ndarray, claim: Claim) -> Finding:
    """The least saving of all subsets, and the range over them in place of an interval."""
    if not len(savings):
        return Finding(claim, remarks=("no file sizes here",))
    lowest, highest = float(savings.min()), float(savings.max())
    region = claim.region
    if min(region.margin(lowest), region.margin(highest)) > 0:
        verdict = REPRODUCED
    elif highest <= region.low or lowest >= region.high:
        verdict = NOT_REPRODUCED
    else:
        verdict = INCONCLUSIVE
    estimate = Estimate(lowest, lowest, highest, len(savings))
    remark = "measured on the files, without a test: the least, and the range over the subsets"
    return Finding(claim, estimate, measured=verdict, remarks=(remark,))


def _tested(evidence: Evidence, setting: str, claim: Claim, icd: str, rigour: Rigour) -> Finding:
    """Test each effect; the reported one is the least favourable."""
    results = [
        _measure(evidence, setting, effect, claim.region, icd, rigour) for effect in claim.effects
    ]
    # An effect without a test has NaN. NumPy's max and min keep it: the claim has no test either.
    p = float(np.max([result.outside for result in results]))
    p_against = float(np.min([result.inside for result in results]))
    weakest, effect = max(
        zip(results, claim.effects, strict=True),
        key=lambda pair: (pair[0].outside, -claim.region.margin(pair[0].estimate.value)),
    )
    remarks = [f"least favourable: {effect}"] if len(results) > 1 else []
    return Finding(
        claim,
        weakest.estimate,
        p,
        float(np.minimum(1.0, claim.ways_to_fail * p_against)),
        remarks=(*remarks, *filter(None, [weakest.remark])),
    )


def _measure(
    evidence: Evidence, setting: str, effect: Effect, region: Region, icd: str, rigour: Rigour
) -> TestedEffect:
    d, distance = evidence.pairs(setting, effect, icd)
    if not len(d):
        return TestedEffect(NOTHING, remark="the two parts have no subset in common")
    if isinstance(effect, CurveAt):
        return effects.curve(distance, d, effect.quantile, region, rigour)
    return effects.mean(d, region, rigour)


# The whole family judged again by other readings of the same data.


COLUMNS = [
    *("setting", "claim", "icd", "repeat", "effect", "low", "high", "n"),
    *("p", "p_holm", "p_against", "p_against_holm"),
]


def read_otherwise(evidence: Evidence, rigour: Rigour, main: pd.DataFrame) -> pd.DataFrame:
    """Verdicts by reading, a row a setting, claim and reading.

    Readings (columns ``icd`` and ``repeat``): the mean over repeats against median ICD, which is
    ``main``, the table of ``judge``; each repeat alone, where some arm has several; and the mean
    over repeats against mean ICD, where it is known. ``changed``: whether the verdict is another
    than main's.
    """
    readings = [("median", "mean", main)]
    repeats = evidence.repeats()
    for repeat in repeats if len(repeats) > 1 else []:
        readings.append(("median", str(repeat), judge(evidence.at_repeat(repeat), rigour)))
    if evidence.knows_mean_icd():
        readings.append(("mean", "mean", judge(evidence, rigour, icd="mean_icd")))
    tables = [
        verdicts.assign(icd=icd, repeat=repeat, changed=verdicts["verdict"] != main["verdict"])
        for icd, repeat, verdicts in readings
    ]
    return pd.concat(tables, ignore_index=True)[[*COLUMNS, "verdict", "changed"]]
