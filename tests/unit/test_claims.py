"""The engine: hand-made studies whose verdicts are known, one claim and one outcome at a time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import permutation_test

from laq.analysis.claims import CLAIMS, Evidence, Rigour, judge
from laq.analysis.claims.rules import ROLES, Saving
from tests.simulated import (
    WAVE,
    evidence,
    observations,
    on_the_border,
    own_arms,
    published_like,
    study,
)

N = 12
QUICK = Rigour(resamples=200, flips=999, draws=10_000)
TESTED = [claim.id for claim in CLAIMS if not isinstance(claim.effects[0], Saving)]
COLUMNS = [
    *("setting", "claim", "statement", "source", "comparison", "region", "effect", "low", "high"),
    *("n", "p", "p_holm", "p_against", "p_against_holm", "verdict", "remark"),
]

# Hides any effect.
MUCH = 0.5 * WAVE

SLOPE = published_like(N)["quant"]["all"] - 0.83

# What puts a claim's effect outside its region; mp53_slightly_better leaves it to either side.
OUTSIDE = [
    ("ft_best", {"ft": {"all": 0.815}}),
    ("alike_subset", {"ft": {"subset": 0.961}}),
    ("alike_subset", {"ft": {"subset": 0.921}}),
    ("ft_quant_worse", {"ft_quant": {"subset": 0.85 + SLOPE}}),
    ("original_wins_low", {"quant": {"all": 0.83 - SLOPE}}),
    ("quant_wins_high", {"quant": {"all": 0.83 - SLOPE}}),
    ("mp53_slightly_better", {"mp53": {"all": 0.81 + SLOPE}}),
    ("mp53_slightly_better", {"mp53": {"all": 0.90 + SLOPE}}),
    ("mp53_far_better", {"mp35": {"all": 0.82 + SLOPE}}),
    ("keeps_unrestricted", {"quant": {"subset": 0.86 + SLOPE}}),
    ("label_aware", {"agnostic": {"all": 0.85 + SLOPE}}),
    ("rounding", {"bits32": {"subset": 0.867}}),
    ("survives_images", {"agnostic_most": {"all": 0.87}}),
]

# Whose top-1 to blur for the claim to be unclear.
BLURRED = {
    "ft_best": ("ft", "all"),
    "alike_subset": ("ft", "subset"),
    "ft_quant_worse": ("ft_quant", "subset"),
    "original_wins_low": ("original", "all"),
    "quant_wins_high": ("original", "all"),
    "mp53_slightly_better": ("mp53", "all"),
    "mp53_far_better": ("mp35", "all"),
    "keeps_unrestricted": ("quant", "subset"),
    "label_aware": ("agnostic", "all"),
    "rounding": ("bits32", "subset"),
    "survives_images": ("agnostic_most", "all"),
}


def verdicts(found: Evidence, rigour: Rigour = QUICK, **kwargs: object) -> pd.DataFrame:
    return judge(found, rigour, **kwargs).set_index("claim")


def test_the_table_has_twelve_claims_that_name_known_roles():
    assert len(CLAIMS) == len({claim.id for claim in CLAIMS}) == 12
    assert {role for claim in CLAIMS for role in claim.roles} == set(ROLES)
    assert [claim.source for claim in CLAIMS] == ["study"] * 9 + ["control"] * 3


def test_the_published_study_is_reproduced_claim_by_claim():
    table = verdicts(evidence(study(), N))
    assert list(table.reset_index().columns.sort_values()) == sorted(COLUMNS)
    assert (table.loc[TESTED, "verdict"] == "reproduced").all()
    assert (table.loc[TESTED, "n"] == N).all()
    assert ((table["low"] <= table["effect"]) & (table["effect"] <= table["high"]))[TESTED].all()


@pytest.mark.parametrize(("claim", "changes"), OUTSIDE)
def test_an_effect_outside_its_region_is_not_reproduced(claim, changes):
    row = verdicts(evidence(study(changes), N)).loc[claim]
    assert row["verdict"] == "not reproduced"
    region = next(known.region for known in CLAIMS if known.id == claim)
    assert region.margin(row["effect"]) < 0, "the effect shown is the one that fails"


@pytest.mark.parametrize("claim", TESTED)
def test_an_effect_lost_in_noise_is_inconclusive(claim):
    role, scope = BLURRED[claim]
    top1 = study()
    top1[role][scope] = top1[role][scope] + MUCH
    assert verdicts(evidence(top1, N)).loc[claim, "verdict"] == "inconclusive"


def test_effects_exactly_on_a_bound_are_inconclusive_whatever_floats_make_of_them():
    """0.91 − 0.9 is more than 0.01 in floating point, and 0.8 − 0.75 more than 0.05."""
    table = verdicts(evidence(on_the_border(), N))
    assert (table["verdict"] == "inconclusive").all()
    assert (table.loc[TESTED, ["p", "p_against"]] > 0.4).all(axis=None)


def test_p_values_are_those_of_scipys_sign_flips_at_the_bounds():
    """Two one-sided tests for a region with two bounds; the smaller, doubled, against it."""
    generator = np.random.default_rng(3)
    top1 = study({"mp53": {"all": 0.845 + SLOPE + generator.normal(0, 0.03, N)}})
    every_flip = replace(QUICK, flips=2**N)
    row = verdicts(evidence(top1, N), every_flip).loc["mp53_slightly_better"]
    d = np.asarray(top1["mp53"]["all"] - top1["quant"]["all"])

    def flips(bound: float, side: str) -> float:
        return permutation_test(
            (d - bound,), np.mean, permutation_type="samples", alternative=side, n_resamples=np.inf
        ).pvalue

    assert row["effect"] == pytest.approx(d.mean())
    assert row["p"] == pytest.approx(max(flips(0, "greater"), flips(0.05, "less")))
    assert row["p_against"] == pytest.approx(
        min(1, 2 * min(flips(0, "less"), flips(0.05, "greater")))
    )


def test_a_claim_of_several_effects_takes_the_largest_p_and_shows_that_effect():
    top1 = study({"quant": {"all": 0.935 + MUCH / 10}})
    row = verdicts(evidence(top1, N)).loc["ft_best"]
    d = top1["ft"]["all"] - top1["quant"]["all"]
    assert row["effect"] == pytest.approx(np.mean(d))
    assert row["remark"] == "least favourable: FT − Quant on All"
    assert row["p"] > 0.05
    assert row["verdict"] == "inconclusive"


def test_holms_correction_covers_the_claims_that_have_a_p():
    table = verdicts(evidence(study({"agnostic": {"all": 0.83 + SLOPE + MUCH / 20}}), N))
    for name in ("p", "p_against"):
        raw = table[name].dropna().sort_values(kind="stable")
        steps = np.arange(len(raw), 0, -1)
        expected = np.minimum(np.maximum.accumulate(raw * steps), 1)
        pd.testing.assert_series_equal(
            table.loc[raw.index, f"{name}_holm"], expected, check_names=False
        )
    assert table.index[table["p"].isna()].tolist() == ["saves_875"]


def test_a_role_that_nothing_plays_leaves_its_claims_inconclusive_and_out_of_the_family():
    whole = study()
    few = {role: whole[role] for role in ("original", "quant", "ft", "ft_quant", "bits32")}
    table = verdicts(evidence(few, N))
    lacking = ["mp53_slightly_better", "mp53_far_better", "label_aware", "survives_images"]
    assert (table.loc[lacking, "verdict"] == "inconclusive").all()
    assert (table.loc[lacking, "n"] == 0).all()
    assert table.loc[lacking, ["effect", "p", "p_holm", "p_against_holm"]].isna().all(axis=None)
    assert "5+3 and 3+5" in table.loc["mp53_far_better", "remark"]
    assert table.loc["ft_best", "p_holm"] < verdicts(evidence(whole, N)).loc["ft_best", "p_holm"]


def test_arms_are_paired_by_subset_where_one_has_more_of_them():
    top1 = study()
    table = observations(top1, N)
    left_out = (table["variant"] == "mp35") & table["subset"].isin(["s00", "s05"])
    row = verdicts(Evidence(table[~left_out].sample(frac=1, random_state=0), own_arms())).loc[
        "mp53_far_better"
    ]
    d = np.delete(top1["mp53"]["all"] - top1["mp35"]["all"], [0, 5])
    assert (row["n"], row["effect"]) == (N - 2, pytest.approx(d.mean()))


def test_each_network_is_judged_by_itself():
    table = pd.concat(
        [
            observations(study(), N, setting="one"),
            observations(study({"ft": {"all": 0.815}}), N, setting="two"),
        ]
    )
    both = judge(Evidence(table, own_arms()), QUICK)
    assert list(both["setting"]) == ["one"] * 12 + ["two"] * 12
    alone = judge(Evidence(observations(study(), N, setting="one"), own_arms()), QUICK)
    pd.testing.assert_frame_equal(both.iloc[:12], alone)
    assert both[both["claim"] == "ft_best"]["verdict"].tolist() == ["reproduced", "not reproduced"]


def test_a_replay_takes_parts_from_several_logs_and_is_one_block():
    four = {role: study()[role] for role in ("original", "quant", "ft", "ft_quant")}
    other = study({"quant": {"all": 0.845 + SLOPE}})
    table = pd.concat(
        [
            observations(four, N, setting="4bit"),
            observations({role: other[role] for role in four}, N, setting="mp53"),
        ]
    )
    arms = {role: ("4bit", role) for role in four} | {"mp53": ("mp53", "quant")}
    judged = judge(Evidence(table, arms), QUICK)
    assert set(judged["setting"]) == {"4bit"}
    row = judged.set_index("claim").loc["mp53_slightly_better"]
    d = other["quant"]["all"] - four["quant"]["all"]
    assert (row["effect"], row["n"]) == (pytest.approx(np.mean(d)), N)


def test_repeats_are_averaged_before_subsets_are_counted():
    one = observations(study(), N)
    shifted = study({"quant": {"all": 0.85 + SLOPE}})
    two = observations({"quant": shifted["quant"]}, N, repeat=2)
    row = verdicts(Evidence(pd.concat([one, two]), own_arms())).loc["label_aware"]
    alone = verdicts(Evidence(one, own_arms())).loc["label_aware"]
    assert row["n"] == N
    assert row["effect"] == pytest.approx(alone["effect"] + 0.01)
