"""Ways into the workflow, and studies of other shapes, by dry run."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from laq.steps import STEPS
from tests.workflow.conftest import Checkout

STUDY = """
root: results/other
dataset: { kind: digits }
networks:
  one: { architecture: small_resnet, widths: [8, 16] }
  original: { architecture: small_resnet, widths: [8, 32] }
features: { source: pixels }
subsets:
  size: 3
  definitions:
    training: { kind: random, count: 2 }
variants:
  original: {}
"""
VARIANTS = {
    "only the networks": ("", {}),
    "no compression": ("  ft: { finetune: {} }", {"finetune_network": 4}),
    "no fine-tuning": ("  nan: { compress: { bits: 3 } }", {"compress_network": 4}),
    "training with quantized weights": (
        "  lsq: { parent: a, qat: { bits: 2 } }\n  a: { finetune: {} }",
        {"finetune_network": 4, "train_quantized": 4},
    ),
    "Deep Compression": (
        "  small: { parent: a, deep: {} }\n  a: { finetune: {} }",
        {"finetune_network": 4, "deep_compress_network": 4},
    ),
    "a chain": (
        "  q2: { parent: b_2, compress: { bits: 2 } }\n"
        "  b_2: { parent: a, finetune: {} }\n"
        "  a: { finetune: {} }",
        {"finetune_network": 8, "compress_network": 4},
    ),
}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    return Checkout.create(tmp_path_factory.mktemp("entry") / "laq")


def planned(printed: str) -> Counter[str]:
    """Number of jobs by rule, from the table of a dry run."""
    table = printed.split("Job stats:")[1].split("total")[0]
    rows = [line.split() for line in table.splitlines()]
    return Counter({row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()})


@pytest.mark.parametrize(("variants", "expected"), VARIANTS.values(), ids=VARIANTS)
def test_studies_of_other_shapes_are_planned(
    checkout: Checkout, variants: str, expected: dict[str, int]
) -> None:
    (checkout.path / "other.yaml").write_text(STUDY + variants)
    jobs = planned(checkout.run("-n", config="other.yaml"))
    rules = {step.rule for step in STEPS.values()}
    assert {rule: n for rule, n in jobs.items() if rule in rules} == expected
    assert (jobs["train_network"], jobs["select_subset"], jobs["evaluate_subset"]) == (2, 2, 4)


def test_pixels_need_no_network(checkout: Checkout) -> None:
    (checkout.path / "other.yaml").write_text(STUDY)
    target = "results/other/tables/subsets.csv"
    assert "train_network" not in planned(checkout.run("-n", target, config="other.yaml"))


def test_the_catalog_s_snakefile_plans_the_same(checkout: Checkout) -> None:
    expected = planned(checkout.run("-n"))
    assert expected["all"] == 1 and expected["evaluate_subset"] == 6
    assert planned(checkout.run("-n", "--snakefile", "workflow/Snakefile")) == expected


def test_another_working_directory_takes_the_default_study(
    checkout: Checkout, tmp_path: Path
) -> None:
    default = checkout.path / "config/config.yaml"
    expected = planned(checkout.run("-n", config=str(default)))
    elsewhere = checkout.bare("-n", "--directory", str(tmp_path))
    assert planned(elsewhere) == expected
    assert expected["select_subset"] == 12
