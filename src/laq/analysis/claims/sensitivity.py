"""The whole family judged again by other readings of the same data."""

from __future__ import annotations

import pandas as pd

from laq.analysis.claims.effects import Rigour
from laq.analysis.claims.evidence import Evidence
from laq.analysis.claims.verdicts import judge

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
