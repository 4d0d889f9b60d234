"""What has no plain test: curves through the subsets, too few of them, and bytes of files."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from laq.analysis.claims import CLAIMS, Evidence, Rigour, judge
from laq.analysis.claims.rules import CurveAt
from tests.simulated import evidence, observations, own_arms, study

N = 12
QUICK = Rigour(resamples=200, flips=999, draws=10_000)


def verdicts(found: Evidence, **kwargs: str) -> pd.DataFrame:
    return judge(found, QUICK, **kwargs).set_index("claim")


@pytest.mark.parametrize(
    ("n", "remark"), [(3, "too few"), (5, "fewer than 6 subsets"), (7, "too few"), (8, None)]
)
def test_too_few_subsets_are_said_and_decide_nothing(n, remark):
    top1 = {
        role: {scope: np.broadcast_to(value, N)[:n] for scope, value in scopes.items()}
        for role, scopes in study().items()
    }
    table = verdicts(evidence(top1, n))
    assert table["remark"].str.contains(remark).any() if remark else True
    assert (table.loc["ft_best", "verdict"] == "reproduced") == (remark is None)


def test_a_curve_that_cannot_be_fitted_says_why():
    found = evidence(study(), N, icd=np.full(N, 7.0))
    row = verdicts(found).loc["quant_wins_high"]
    assert row["verdict"] == "inconclusive"
    assert "all 12 points have x = 7" in row["remark"]
    assert np.isnan(row["p"])


def test_a_curve_is_judged_at_the_quartile_of_the_chosen_distance():
    """Against the mean ICD, which here runs the other way, who wins is the other way round."""
    table = observations(study(), N)
    table["mean_icd"] = 100 / table["median_icd"]
    found = Evidence(table, own_arms())
    assert verdicts(found).loc["quant_wins_high", "verdict"] == "reproduced"
    assert verdicts(found, icd="mean_icd").loc["quant_wins_high", "verdict"] == "not reproduced"


def test_the_effect_of_a_curve_is_its_value_at_the_quartile():
    top1 = study()
    icd = observations(top1, N)["median_icd"].unique()
    a, c = np.polyfit(np.log(icd), top1["quant"]["all"] - top1["original"]["all"], 1)
    table = verdicts(evidence(top1, N))
    for claim in CLAIMS:
        if isinstance(claim.effects[0], CurveAt):
            at = np.quantile(icd, claim.effects[0].quantile)
            assert table.loc[claim.id, "effect"] == pytest.approx(a * np.log(at) + c)


def memory(*savings: float, network: str = "net") -> pd.DataFrame:
    """A row a file: of each subset's quant, made twice, the second saving a little more."""
    common = {"network": network, "float_bytes": 1e6}
    rows = [
        {**common, "subset": f"s{i}", "variant": "quant", "packed_bytes": 1e6 * (1 - s) - bytes_}
        for bytes_ in (0, 100)
        for i, s in enumerate(savings)
    ]
    return pd.DataFrame([{**common, "subset": "s0", "variant": "ft", "packed_bytes": 1e6}, *rows])


@pytest.mark.parametrize(
    ("savings", "verdict"),
    [
        ([0.866, 0.868], "reproduced"),
        ([0.80, 0.82], "not reproduced"),
        ([0.90], "not reproduced"),
        ([0.86, 0.87], "inconclusive"),
    ],
)
def test_the_saving_is_read_off_the_files_without_a_p(savings, verdict):
    found = Evidence(observations(study(), N), own_arms(), memory(*savings))
    row = verdicts(found).loc["saves_875"]
    assert row["verdict"] == verdict
    assert (row["effect"], row["low"], row["high"], row["n"]) == (
        pytest.approx(min(savings)),
        pytest.approx(min(savings)),
        pytest.approx(max(savings)),
        len(savings),
    )
    assert row[["p", "p_holm", "p_against", "p_against_holm"]].isna().all()
