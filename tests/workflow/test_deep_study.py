"""The study of Deep Compression: a target of its own, made and rebuilt job by job."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from tests.workflow.conftest import CONFIG, Checkout
from tests.workflow.test_entry_points import planned

pytestmark = pytest.mark.long

ROOT = "results/digits/deep/small_resnet"
SECTION = """
deep_compression:
  networks:
    small_resnet: { density: 0.1, rounds: 1, epochs: 1, tuning_epochs: 1, batch_size: 128 }
  curves: { density: [0.2], bits: [2], energy: [0.8] }
  initial: { bits: [2], repeats: 1 }
"""
JOBS = {
    "pruning": "against ratio: pruning",
    "quantization": "against ratio: quantization",
    "lowrank": "against ratio: lowrank",
    "stages": "stage by stage",
    "initial": "First centroids of",
}


@pytest.fixture(scope="module")
def study(finished: Checkout) -> Iterator[Checkout]:
    """The finished digits study with short settings in place of its own."""
    path = finished.path / CONFIG
    text = path.read_text()
    path.write_text(text.partition("\n# Pruned, shared and coded")[0] + SECTION)
    yield finished
    path.write_text(text)


def test_tables_are_made_and_rebuilt_by_what_they_use(study: Checkout) -> None:
    assert not {"measure_stages", "measure_curve"} & {*planned(study.run("-n"))}
    jobs = planned(study.run("deep_compression"))
    assert (jobs["measure_stages"], jobs["measure_curve"], jobs["compare_initial"]) == (1, 3, 1)
    assert not jobs["train_network"]
    place = study.path / ROOT
    stages = pd.read_csv(place / "stages.csv").set_index("stage")
    for stage in ("pruned", "shared", "huffman", "ans"):
        assert (place / stages["file"][stage]).stat().st_size == stages["bytes"][stage]
    training = pd.read_csv(study.path / "results/digits/models/small_resnet/training.csv")
    assert stages["top1"]["original"] == pytest.approx(training["test_top1"].iloc[-1])
    layers = pd.read_csv(place / "layers.csv").set_index("part")
    assert layers["huffman_bytes"]["all"] == stages["bytes"]["huffman"]
    curves = pd.read_csv(place / "curves.csv")
    assert set(curves["method"]) == {"pruning", "both", "quantization", "lowrank"}
    assert len(curves) == 8 and len(pd.read_csv(place / "initial.csv")) == 8
    assert list(place.rglob(".*")) == []

    def again() -> set[str]:
        printed = study.run("-n", "deep_compression")
        return {name for name, words in JOBS.items() if words in printed}

    with study.edited(CONFIG, "rounds: 1,", "rounds: 1, quality: 3, round_epochs: 7,"):
        assert again() == set()  # settings that are not in use
    module = "src/laq/experiments/deep/first_centroids.py"
    with (
        study.edited(CONFIG, "energy: [0.8]", "energy: [0.7]"),
        study.edited(module, "from __future__", "# Edited.\nfrom __future__"),
    ):
        assert again() == {"lowrank", "initial"}


def test_a_variant_of_the_main_study_is_evaluated_and_runs_in_onnx(
    finished: Checkout, tmp_path: Path
) -> None:
    study = finished.copy(tmp_path / "laq")
    path = study.path / CONFIG
    variant = (
        "  deep: { deep: { density: 0.2, rounds: 1, epochs: 1, tuning_epochs: 1, coder: ans } }\n"
    )
    text = path.read_text().replace("\nsweep:", f"{variant}\nsweep:")
    path.write_text(text + "\ndeploy: { variants: [deep], subsets: [even] }\n")
    root = study.path / "results/digits"
    target = "results/digits/onnx/small_resnet/even/deep.csv"
    study.run(target)
    accuracy = pd.read_csv(root / "accuracy/small_resnet/even.csv")
    accuracy = accuracy[accuracy["variant"] == "deep"].set_index("scope")["top1"]
    onnx = pd.read_csv(root / "onnx/small_resnet/even/deep.csv").set_index("scope")
    assert onnx["top1_torch"].to_dict() == pytest.approx(accuracy.to_dict())
    assert (onnx["differing"] <= 1).all()
    file = root / "models/small_resnet/even/deep.safetensors"
    assert (onnx["packed_bytes"] == file.stat().st_size).all()
    layers = pd.read_csv(root / "layers/small_resnet/even/deep.csv")
    assert (onnx[["int4", "int8", "int16"]].sum(axis=1) == layers["weights"].sum()).all()
    stages = pd.read_csv(root / "deep/small_resnet/even/deep/stages.csv").set_index("stage")
    assert (stages.loc["coded", "bytes"] == file.stat().st_size).all()
