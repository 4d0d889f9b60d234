"""Partial training: a target of its own, whose arms are planned, trained and rebuilt job by job."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import pytest

from tests.workflow.conftest import CONFIG, Checkout
from tests.workflow.test_entry_points import planned

pytestmark = pytest.mark.long

ROOT = "results/digits/partial_qat"
PARTIAL = """
partial_qat:
  positions: [last]
  alone: []
  k: [2]
  bits: [3]
  repeats: 1
  images: 128
"""


@pytest.fixture(scope="module")
def study(finished: Checkout) -> Iterator[Checkout]:
    """The finished digits study with a small part of its own."""
    path = finished.path / CONFIG
    text = path.read_text()
    path.write_text(text.partition("\n# Quantization-aware training of chosen")[0] + PARTIAL)
    yield finished
    path.write_text(text)


def test_partial_training_adds_no_job_to_the_study(study: Checkout) -> None:
    assert not {rule for rule in planned(study.run("-n")) if "partial" in rule}


def test_arms_are_trained_job_by_job_and_rebuilt_alone(study: Checkout) -> None:
    jobs = planned(study.run("-n", "partial_qat"))
    assert (jobs["measure_partial"], jobs["collect_partial"]) == (3, 1)  # control, last, whole
    assert not jobs["train_network"] and not jobs["select_subset"]
    study.run("partial_qat")
    runs = pd.read_csv(study.path / ROOT / "runs.csv")
    assert list(zip(runs["position"], runs["k"], strict=True)) == [
        *(("none", 0), ("last", 2), ("whole", 10))
    ]
    assert runs["bytes"].is_monotonic_decreasing
    tensors = pd.read_csv(study.path / ROOT / "small_resnet/tensors.csv")
    counts = tensors[tensors["quantized"] == "yes"].groupby("position")["role"].agg(list)
    assert counts.to_dict() == {"last": ["weight"] * 2, "whole": ["weight"] * 10}
    assert list((study.path / ROOT / "small_resnet").glob(".*")) == []

    def again() -> set[str]:
        printed = study.run("-n", "partial_qat")
        names = ("control", "last-3", "last-4", "whole-3", "whole-4")
        return {name for name in names if f"small_resnet: {name}" in printed}

    assert again() == set()
    with study.edited(CONFIG, "bits: [3]", "bits: [3, 4]"):
        assert again() == {"last-4", "whole-4"}
    with study.edited(CONFIG, "k: [2]", "k: [3]"):
        assert again() == {"last-3"}


def test_networks_of_its_own_are_trained_for_it_alone(study: Checkout) -> None:
    own = "  further_networks: {tiny: {architecture: small_vit, patch: 2, convolutions: [8]}}\n"
    with study.edited(CONFIG, "partial_qat:\n", f"partial_qat:\n{own}"):
        jobs = planned(study.run("-n", "partial_qat"))
        assert (jobs["train_network"], jobs["measure_partial"]) == (1, 3)
        assert planned(study.run("-n"))["train_network"] == 0
