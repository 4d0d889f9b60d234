"""Settings in every combination: what is planned, made, judged and made again."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import pytest

from tests.workflow.conftest import CONFIG, Checkout

pytestmark = pytest.mark.long

SUBSETS = ("similar", "even")
CONDITIONS = """conditions:
  variant: quant
  bits: [2]
  scale: [0.5]
  ridge: [0]
  layers: [without_head]
  subsets: [similar, even]
"""
VERDICTS = {"tables/conditions.csv", "report/conditions.html"}
FIGURE = {"figures/conditions.pdf", "figures/conditions.png"}


@pytest.fixture
def study(finished: Checkout) -> Iterator[Checkout]:
    """The digits study with conditions on two of its subsets."""
    with finished.edited(CONFIG, "similarity: {}", f"{CONDITIONS}similarity: {{}}"):
        yield finished


def concerned(planned: set[str]) -> set[str]:
    return {name for name in planned if "conditions" in name}


def test_conditions_are_swept_judged_and_drawn(study: Checkout) -> None:
    sweeps = {f"conditions/small_resnet/{subset}.csv" for subset in SUBSETS}
    everything = {*sweeps, "conditions.csv", *VERDICTS, *FIGURE}
    assert concerned(study.planned()) == everything
    root = study.path / "results/digits"
    study.run("results/digits/tables/conditions.csv", "results/digits/figures/conditions.pdf")
    assert not list(root.glob("conditions/small_resnet/.*.kept"))
    assert concerned(study.planned()) == {"report/conditions.html"}
    trials = pd.read_csv(root / "conditions.csv")
    # 2 bits × 2 radii × 2 ridges, and without the head 2 bits; twice calibrated, in two scopes.
    assert len(trials) == len(SUBSETS) * (2 * 2 * 2 + 2) * 2 * 2
    verdicts = pd.read_csv(root / "tables/conditions.csv")
    assert list(verdicts["hypothesis"]) == [
        *("as_published", "rounding", "clipping", "head", "label_aware"),
    ]
    assert (verdicts["n"] == 2).all() and verdicts["effect"].notna().all()
    with study.edited("src/laq/figures/conditions.py", '"Clipping"', '"Clipped"'):
        assert concerned(study.planned()) - {"report/conditions.html"} == FIGURE
    with study.edited(CONFIG, "  scale: [0.5]\n", "  scale: [0.4]\n"):
        assert concerned(study.planned()) == everything
