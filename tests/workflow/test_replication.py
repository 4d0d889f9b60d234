"""A study of a published log's subsets beside the log, through the real workflow, on the digits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import pytest
import yaml

from tests.logs import QUANT, row, write
from tests.workflow.conftest import Checkout

pytestmark = pytest.mark.long

CONFIG, ROOT = "config/replicated.yaml", "results/replicated"
STUDY = {
    "study": "Replicated",
    "root": ROOT,
    "dataset": {"kind": "digits"},
    "networks": {
        "small": {
            "architecture": "small_resnet",
            "widths": [8, 16],
            "training": {"epochs": 2, "shift": 1},
        }
    },
    "features": {"source": "pixels"},
    "subsets": {
        "size": 3,
        "definitions": {"published": {"kind": "log", "file": "logs/four.csv"}},
    },
    "variants": {
        "original": {},
        "quant": {"compress": {"bits": 4}},
        "quant2": {"compress": {"bits": 2}},
    },
    "replication": {
        "logs": {"quant": "logs/four.csv", "quant2": "logs/two.csv"},
        "matrix": "logs/matrix.csv",
    },
}
# The digits of each row, and the median distance there.
ROWS = {(3, 1, 4): 5.0, (1, 5, 9): 2.0, (2, 6, 0): 30.0}
TABLES = {"tables/replication.csv", "tables/correlations.csv"}
SHOWN = {"figures/replication.pdf", "figures/replication.png"}


def rows(medians: Mapping[tuple[int, ...], float], **edits: Any) -> list[dict[str, Any]]:
    return [
        row([20 + d for d in digits], median, **{QUANT: 0.7 + n / 20}, **edits)
        | {"Subset_Classes": str([str(d) for d in digits])}
        for n, (digits, median) in enumerate(medians.items())
    ]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    checkout = Checkout.create(tmp_path_factory.mktemp("replication") / "laq")
    (checkout.path / "logs").mkdir()
    again = rows({(4, 1, 3): 5.0})
    write(checkout.path / "logs/four.csv", [*rows(ROWS), *again])
    write(checkout.path / "logs/two.csv", rows(dict(reversed(ROWS.items())), Bits=2))
    names = [str(digit) for digit in reversed(range(10))]
    matrix = pd.DataFrame([[abs(int(a) - int(b)) for a in names] for b in names], names, names)
    matrix.to_csv(checkout.path / "logs/matrix.csv")
    (checkout.path / CONFIG).write_text(yaml.safe_dump(STUDY, sort_keys=False))
    return checkout


def planned(checkout: Checkout) -> set[str]:
    return {name.removeprefix(f"{ROOT}/") for name in checkout.planned(CONFIG)}


def test_the_subsets_of_a_log_are_planned_and_its_repeats_said(study: Checkout) -> None:
    printed = study.run("--summary", config=CONFIG)
    assert "row 4 of the log (line 5) has the classes of row 1 and makes no subset" in printed
    for made in (f"subsets/published_{n}.json" for n in (1, 2, 3)):
        assert f"{ROOT}/{made}" in printed
    assert "published_4" not in printed
    assert "report/replication.html" in printed and "report/correlations.html" in printed


def test_gains_are_compared_and_a_log_s_change_makes_no_network(study: Checkout) -> None:
    # Not all of the study, which other tests run: what is left stays planned.
    study.run(f"{ROOT}/figures/replication.pdf", config=CONFIG)
    results = study.path / ROOT
    table = pd.read_csv(results / "tables/replication.csv", dtype={"subset": str})
    assert len(table) == 2 * 2 * 3
    first = table.query("variant == 'quant' and scope == 'all'").set_index("subset")
    medians = {"published_1": 5.0, "published_2": 2.0, "published_3": 30.0}
    assert first["published_icd"].to_dict() == medians
    assert first["published"].tolist() == pytest.approx([-0.11, -0.06, -0.01])
    accuracy = pd.read_csv(results / "accuracy.csv").query("scope == 'all'")
    top1 = accuracy.pivot_table("top1", "subset", "variant")
    gained = top1["quant"] - top1["original"]
    assert first["ours"].to_dict() == pytest.approx(gained.to_dict())
    # Of the rows with the same classes both count, as they were measured twice.
    assert first["rows"].tolist() == [2, 1, 1]
    correlations = pd.read_csv(results / "tables/correlations.csv")
    assert correlations["compared"].tolist() == ["gain"] * 4 + ["median_icd", "icd_matrix"]
    assert correlations["n"].tolist() == [3] * 5 + [10]
    subsets = pd.read_csv(results / "tables/subsets.csv").set_index("subset")
    assert subsets["published_icd"].to_dict() == medians

    left = planned(study)
    assert not left & (TABLES | SHOWN | {"tables/subsets.csv", "accuracy.csv"})
    # Another median changes tables; other classes change their subset and what is made for it.
    with study.edited("logs/four.csv", ",30.0,", ",31.0,"):
        assert planned(study) - left == TABLES | SHOWN | {"tables/subsets.csv"}
    with study.edited("logs/four.csv", "['2', '6', '0']", "['2', '6', '8']"):
        changed = planned(study) - left
        assert {name for name in changed if name.startswith("subsets/")} == {
            "subsets/published_3.json"
        }
        networks = [name for name in changed if name.startswith("models/")]
        assert networks and all("published_3" in name for name in networks)
