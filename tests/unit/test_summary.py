"""The report's first page: what was measured, what it answers, every verdict."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pandas as pd
import pytest

from laq.analysis.claims import report, words
from laq.reporting import summary
from laq.utils.errors import DataError
from tests.unit.test_pages import Cells

CLAIM = {
    "setting": "net",
    "claim": "alike_subset",
    "statement": "A < B & C",
    "region": "within 0.01",
    "effect": "-0.0123",
    "low": "-0.02",
    "high": "0.004",
    "n": "12",
    "p_holm": "0.00004",
    "p_against_holm": "",
    "verdict": "not reproduced",
    "remark": "",
}
NONE = {"effect": "", "low": "", "high": "", "n": "0", "verdict": "inconclusive"}
TEN = "; ".join("abcdefghij")
SUBSETS = [
    {"median_icd": "44.97", "duplicate_of": "", "classes": TEN},
    {"median_icd": "44.97", "duplicate_of": "one", "classes": TEN},
    {"median_icd": "99900.1", "duplicate_of": "", "classes": TEN},
]
QUANT = {"parent": "original", "compress": {"bits": 4}}
FT = {"parent": "original", "finetune": {}}


def study(**keys: Any) -> dict[str, Any]:
    glyphs = {"kind": "glyphs", "classes": 100, "train_per_class": 120, "test_per_class": 50}
    variants = {"original": {}, "quant": QUANT, "ft": FT, "ftq": {**QUANT, "parent": "ft"}}
    base = {"kind": "study", "dataset": glyphs, "networks": {"net": {}}, "variants": variants}
    return {**base, **keys}


def text(page: str) -> str:
    return " ".join(unescape(re.sub("<[^>]*>", "", page)).split())


def test_verdicts_are_told_in_points_with_interval_and_p() -> None:
    page = summary.verdicts([CLAIM, {**CLAIM, **NONE, "remark": "nothing plays the part of FT"}])
    _, first, second, remark = Cells(page).rows
    assert first[:4] == ["2", "A < B & C", "within 1 point", "−1.2 [−2.0, +0.4]"]
    assert first[4:] == ["< 0.001", "–", "12", "not reproduced"]
    assert second[3] == "–" and second[-1] == "inconclusive"
    assert remark == ["", "nothing plays the part of FT"]


@pytest.mark.parametrize("p", ["0.00004", "0.0049", "0.0951", "0.18", "1", ""])
@pytest.mark.parametrize("effect", ["-0.00001", "0.0004", "-0.0867", "0.1", ""])
@pytest.mark.parametrize("claim", ["label_aware", "saves_875"])
def test_the_first_page_and_the_page_of_claims_write_alike(claim: str, effect: str, p: str) -> None:
    row = {**CLAIM, "claim": claim, "effect": effect, "low": effect, "high": effect, "p_holm": p}
    cells = Cells(summary.verdicts([row])).rows[1]
    numbers = ("effect", "low", "high", "p_holm", "p_against_holm")
    frame = pd.DataFrame([row]).astype({"n": int})
    frame[list(numbers)] = frame[list(numbers)].apply(pd.to_numeric)
    line = report._verdicts(frame).splitlines()[-1].strip("| ").split(" | ")
    assert (cells[3], cells[4]) == (line[2], line[3])


def test_the_questions_are_answered_from_the_verdicts() -> None:
    rows = [
        {**CLAIM, "claim": "label_aware", "verdict": "reproduced"},
        {**CLAIM, "claim": "rounding", "verdict": "not reproduced"},
        {**CLAIM, "claim": "quant_wins_high", "verdict": "inconclusive"},
        {**CLAIM, "claim": "survives_images", **NONE, "remark": "nothing <here>"},
    ]
    said = text(summary.answers("net", rows))
    effect = "−1.2 [−2.0, +0.4] points of top-1"
    assert "net: of 4 conclusions 1 reproduced, 1 not reproduced, 2 inconclusive." in said
    assert f"beat calibrating on all? Yes: {effect}." in said
    assert f"is accuracy as it was? No: {effect}." in said
    assert f"far apart? Not decided: {effect}." in said
    assert "more calibration images? No data: nothing <here>." in said
    assert "where classes are close" not in said  # which nothing was asked about


def test_every_question_is_about_a_claim_of_the_table() -> None:
    for claim in summary.QUESTIONS:
        assert words.number(claim)


def test_every_setting_has_verdicts_of_its_own() -> None:
    rows = [CLAIM, {**CLAIM, "setting": "<other>", "verdict": "reproduced"}]
    page = summary.fragment(study(), rows, {"subsets": SUBSETS})
    assert page.count("<table>") == 2
    assert "<b>&lt;other&gt;</b>: of 1 conclusions 1 reproduced" in page


def test_a_verdict_that_is_none_is_refused() -> None:
    for tell in (summary.verdicts, lambda rows: summary.answers("net", rows)):
        with pytest.raises(DataError, match="'maybe' is no verdict"):
            tell([{**CLAIM, "claim": "rounding", "verdict": "maybe"}])


def test_a_study_tells_its_data_networks_subsets_and_what_was_made() -> None:
    said = summary.of_study(study(), SUBSETS)
    assert "100 classes of drawn characters (glyphs), 120 training and 50 test images each" in said
    assert "one network, net, trained on all classes" in said
    assert "2 subsets of 10 classes, with median ICDs from 45 nats to 99,900 nats" in said
    made = "quantized (quant); fine-tuned (ft); fine-tuned and then quantized (ftq)"
    assert f"For each subset the network was {made}." in said


def replayed(**log: str) -> str:
    logs = [{"setting": name, "network": "", "dataset": "", **log} for name in ("4bit", "2bit")]
    arms = {"original": "4bit/original", "quant": "2bit/quant", "bits32": "32bit/quant"}
    return summary.of_replay({"kind": "replay", "claims": arms}, logs, SUBSETS)


def test_a_replay_says_that_its_data_are_published_logs() -> None:
    said = replayed(network="resnet50", dataset="CIFAR100")
    assert "published logs of the original experiment" in said
    assert "nothing was trained, quantized or tested here" in said
    assert "resnet50 trained on CIFAR100, and of 2 subsets of 10 classes" in said
    assert "Logs: 4bit, 2bit; the conclusions about" in said and "come from 4bit and 2bit." in said
    assert "a network trained on many classes" in replayed()
