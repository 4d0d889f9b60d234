"""The zoo: a target of its own, whose entries are planned, measured and rebuilt one by one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from tests.workflow.conftest import CONFIG, Checkout
from tests.workflow.test_entry_points import planned

pytestmark = pytest.mark.long

ROOT = "results/digits/zoo"
ZOO = """
zoo:
  subsets: [similar, even]
  methods:
    gptq: { compress: { method: gptq, bits: 3 } }
    nearest: { compress: { method: rtn, bits: 3 } }
    lsq: { qat: { bits: 2, epochs: 1 } }
"""


@pytest.fixture(scope="module")
def study(finished: Checkout) -> Iterator[Checkout]:
    """The finished digits study with a small zoo in place of its own."""
    path = finished.path / CONFIG
    text = path.read_text()
    path.write_text(text.partition("\n# Quantizers side by side")[0] + ZOO)
    yield finished
    path.write_text(text)


def test_a_job_an_entry_and_images_made_once(study: Checkout) -> None:
    assert not {rule for rule in planned(study.run("-n")) if "zoo" in rule or "synth" in rule}
    jobs = planned(study.run("-n", "zoo"))
    assert (jobs["measure_zoo"], jobs["synthesize_images"]) == (4, 2)  # and the original
    assert jobs["collect_zoo"] == jobs["plot_zoo"] == jobs["zoo"] == 1
    assert not jobs["train_network"] and not jobs["select_subset"]
    with study.edited(CONFIG, "  subsets: [sim", "  calibrations: [subset, all]\n  subsets: [sim"):
        jobs = planned(study.run("-n", "zoo"))
    assert (jobs["measure_zoo"], jobs["synthesize_images"]) == (4, 0)


def test_entries_are_measured_and_rebuilt_one_by_one(study: Checkout) -> None:
    made = f"{ROOT}/small_resnet"
    study.run("zoo")
    table = pd.read_csv(study.path / ROOT / "zoo.csv")
    assert set(table["subset"]) == {"similar", "even"}
    counts = table.groupby("method", sort=False).size().to_dict()
    assert counts == {"original": 4, "gptq": 12, "nearest": 4, "lsq": 8}
    original = pd.read_csv(study.path / "results/digits/accuracy.csv")
    original = original[original["variant"] == "original"].set_index(["subset", "scope"])["top1"]
    own = table[table["method"] == "original"].set_index(["subset", "scope"])["top1"]
    assert own.to_dict() == original[own.index].to_dict()
    file = study.path / "results/digits/models/small_resnet/original.safetensors"
    assert (table.loc[table["method"] == "original", "bytes"] == file.stat().st_size).all()
    for figure in ("pareto", "gain"):
        assert (study.path / ROOT / f"{figure}.png").stat().st_size > 10_000
    assert list(Path(study.path / made).glob(".zoo*")) == []
    seconds = pd.read_csv(study.path / made / "gptq.seconds.csv")
    assert (seconds[["make", "store", "evaluate"]] > 0).all(axis=None) and len(seconds) == 6

    def again() -> set[str]:
        printed = study.run("-n", "zoo")
        names = ("original", "gptq", "nearest", "lsq")
        return {name for name in names if f"Measuring {name} of" in printed}

    with study.edited(CONFIG, "method: rtn, bits: 3", "method: rtn, bits: 3, damping: 0.02"):
        assert again() == set()  # a setting that is not in use
    with study.edited(CONFIG, "method: rtn, bits: 3", "method: rtn, bits: 4"):
        assert again() == {"nearest"}
