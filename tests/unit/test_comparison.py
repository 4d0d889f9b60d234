"""Verdicts of several studies side by side, to the digit as each study has them."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd
import pytest

from compare_claims import main
from laq.analysis.claims import CLAIMS, Rigour, judge
from laq.reporting import comparison
from laq.utils.errors import DataError
from laq.utils.files import write_csv
from tests import simulated
from tests.logs import FILES, PUBLISHED
from tests.simulated import evidence

QUICK = Rigour(resamples=200, flips=999, draws=2000)
SHOWN = ("effect", "low", "high", "n", "verdict")


def judged(path: Path, settings: tuple[str, ...] = ("net",), roles: int = 99) -> Path:
    """A study's table of claims; ``roles``: how many parts it has."""
    parts = dict(list(simulated.study().items())[:roles])
    verdicts = judge(evidence(parts, 12), QUICK)
    write_csv(path, pd.concat([verdicts.assign(setting=setting) for setting in settings]))
    return path


def texts(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_conclusion_is_a_row_and_every_setting_a_group_of_columns(tmp_path: Path) -> None:
    one = judged(tmp_path / "one.csv")
    two = judged(tmp_path / "two.csv", ("small", "large"), roles=2)
    assert main([str(tmp_path / "both"), f"published={one}", f"ours={two}"]) == 0
    rows = texts(tmp_path / "both.csv")
    assert [row["claim"] for row in rows] == [claim.id for claim in CLAIMS]
    groups = ["published", "ours: small", "ours: large"]
    assert list(rows[0])[5:] == [f"{group}: {key}" for group in groups for key in SHOWN]
    own = {row["claim"]: row for row in texts(one)}
    for row in rows:
        assert {key: row[f"published: {key}"] for key in SHOWN} == {
            key: own[row["claim"]][key] for key in SHOWN
        }
    page = (tmp_path / "both.md").read_text()
    lines = [line for line in page.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(CLAIMS)
    assert lines[0] == "| # | Conclusion | published | ours: small | ours: large |"
    assert "n = 12: **reproduced**" in page
    # A study without the part that a conclusion speaks of.
    assert "| – (inconclusive) |" in next(line for line in lines if "5 bits first" in line)


def test_tables_of_other_rules_are_refused(tmp_path: Path) -> None:
    path = judged(tmp_path / "one.csv")
    for old, new, says in (
        ("> 0.05", "> 0.04", "judged mp53_far_better by another rule than this version has"),
        ("ft_best", "ft_good", "has not each of the 12 conclusions once"),
        (",reproduced", ",proved", "'proved' is no verdict"),
    ):
        odd = tmp_path / "odd.csv"
        odd.write_text(path.read_text().replace(old, new))
        with pytest.raises(DataError, match=says) as error:
            comparison.sources({"odd": odd})
        assert str(odd) in str(error.value)


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the published logs are not here")
def test_the_published_column_is_the_replay_s(tmp_path: Path) -> None:
    from judge_claims import judge_claims
    from laq.config import replay
    from read_logs import read_logs
    from tests.configs import opened

    logs = {f"log_{setting}": str(PUBLISHED / name) for setting, name in FILES.items()}
    config = opened({"kind": "replay", **logs})
    made = {key: str(tmp_path / f"{key}.csv") for key in ("accuracy", "subsets", "record")}
    read_logs(list(logs.values()), **made, settings=list(FILES), test_per_class=100)
    claims = tmp_path / "claims.csv"
    judge_claims(
        made["accuracy"],
        made["subsets"],
        *([], [], [made["record"]]),
        *(str(claims), str(tmp_path / "claims.md"), str(tmp_path / "sensitivity.csv")),
        study="Published",
        arms=replay.claim_arms(config),
        bits={},
        base=None,
        confidence=0.95,
        resamples=500,
        seed=0,
    )
    assert main([str(tmp_path / "out"), f"Published={claims}"]) == 0
    for row, own in zip(texts(tmp_path / "out.csv"), texts(claims), strict=True):
        assert [row[f"Published: {key}"] for key in SHOWN] == [own[key] for key in SHOWN]
    by_claim = {row["claim"]: row for row in texts(tmp_path / "out.csv")}
    assert by_claim["ft_best"]["Published: verdict"] == "reproduced"
