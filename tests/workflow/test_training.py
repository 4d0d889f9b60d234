"""Training as a job of the workflow: killed and gone on with, and in two processes."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.overhead import jobs

from tests.workflow.conftest import CONFIG, PROJECT, Checkout

pytestmark = pytest.mark.long

FOLDER = "results/digits/models/small_resnet"
MADE = ("original.safetensors", "training.csv")


def test_two_processes_train_as_one_job(tmp_path: Path) -> None:
    checkout = Checkout.create(tmp_path / "laq")
    with checkout.edited(CONFIG, "epochs: 6", "epochs: 1\n      processes: 2"):
        checkout.run(f"{FOLDER}/{MADE[0]}")
    assert {path.name for path in (checkout.path / FOLDER).iterdir()} == set(MADE)
    log = (checkout.path / "results/digits/logs/train_network/small_resnet.log").read_text()
    assert "epoch 1/1: loss" in log


def test_snakemake_is_told_what_all_processes_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = (PROJECT / CONFIG).read_text().replace("epochs: 6", "epochs: 6\n      processes: 3")
    text = text.replace("finetune: { epochs: 2", "finetune: { processes: 4, epochs: 2")
    (tmp_path / "config.yaml").write_text(text + "\nthreads: 2\ndevice: cuda\n")
    planned = {job.rule.name: job for job in jobs(tmp_path / "config.yaml", "results", cores=32)}
    train, finetune = planned["train_network"], planned["finetune_network"]
    assert (train.threads, finetune.threads) == (6, 4)
    assert (train.resources.gpu, finetune.resources.gpu) == (3, 4)
    assert (train.resources.mem_mb, finetune.resources.mem_mb) == (24000, 16000)
    # Of these a process has its own share, whatever Snakemake gives.
    assert [job.params.settings["threads"] for job in (train, finetune)] == [2, 1]
