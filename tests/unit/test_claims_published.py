"""The published logs through the whole engine; skipped where they are absent."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from laq.analysis.claims import Evidence, Rigour, judge, read_otherwise
from laq.data.published import put_together, read_log

PUBLISHED = Path(__file__).parents[3] / "shared" / "published"
LOGS = {"4bit": "4bit", "32bit": "32bit", "mp53": "mp4bit", "mp35": "mpasc4bit"}
ARMS = {role: ("4bit", role) for role in ("original", "quant", "ft", "ft_quant")} | {
    "mp53": ("mp53", "quant"),
    "mp35": ("mp35", "quant"),
    "bits32": ("32bit", "quant"),
}
# Nothing plays these parts in the logs.
UNKNOWN = ["saves_875", "label_aware", "survives_images"]

pytestmark = pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the published logs are not here")


@pytest.fixture(scope="module")
def published() -> Evidence:
    logs = {
        setting: read_log(PUBLISHED / f"Quantization_Log_resnet50_{name}.csv")
        for setting, name in LOGS.items()
    }
    return Evidence(put_together(logs, 100).accuracy, ARMS)


@pytest.fixture(scope="module")
def verdicts(published: Evidence) -> pd.DataFrame:
    return judge(published, Rigour()).set_index("claim")


def test_the_logs_bear_out_what_was_published_and_not_that_it_is_rounding(verdicts):
    decided = verdicts.drop(UNKNOWN)
    assert set(verdicts["setting"]) == {"4bit"}
    assert (decided.drop("rounding")["verdict"] == "reproduced").all()
    assert decided.loc["rounding", "verdict"] == "not reproduced"
    assert (verdicts.loc[UNKNOWN, "verdict"] == "inconclusive").all()
    assert (verdicts.loc[UNKNOWN, "n"] == 0).all()


def test_effects_are_those_that_the_logs_show(verdicts):
    """35 rows are 34 subsets; 32 of them are in the logs of mixed precision and 32 bits."""
    effects = verdicts["effect"]
    assert effects["ft_best"] == pytest.approx(0.937 - 0.839, abs=0.002)
    assert effects["alike_subset"] == pytest.approx(0.942 - 0.941, abs=0.001)
    assert effects["ft_quant_worse"] == pytest.approx(0.820 - 0.798, abs=0.002)
    assert effects["rounding"] == pytest.approx(-0.074, abs=0.001)
    assert verdicts.loc["ft_best", "n"] == 34
    assert verdicts.loc["mp53_far_better", "n"] == 32


def test_neither_the_repeated_row_nor_mean_icd_changes_a_verdict(published, verdicts):
    rigour = Rigour(flips=2000)
    table = read_otherwise(published, rigour, judge(published, rigour))
    assert {*zip(table["icd"], table["repeat"], strict=True)} == {
        *(("median", reading) for reading in ("mean", "1", "2")),
        ("mean", "mean"),
    }
    assert not table["changed"].any()
