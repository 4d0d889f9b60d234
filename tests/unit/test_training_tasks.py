"""Processes of a training as tasks of a SLURM job; on a cluster, tests/workflow/test_slurm.py."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from laq import allotment
from laq.allotment import Tasks
from laq.errors import ConfigError, DataError, ProcessError
from laq.training import agent, tasks

torch.set_num_threads(1)

HELD = {"SLURM_JOB_ID": "7"}


def told(resources: dict, environment: dict[str, str] = HELD) -> Tasks | None:
    environment = dict(environment)
    allotment.tell(resources, environment)
    return allotment.allotted(environment)


def test_only_a_slurm_job_that_asks_for_tasks_has_some():
    asked = {"mpi": "srun", "tasks": 4, "nodes": 2, "mem_mb": 100}
    assert told(asked) == Tasks(4, 2)
    assert told({"mpi": "srun", "tasks": 4}) == Tasks(4, 1)
    assert told({"mem_mb": 100, "nodes": 1}) is None
    assert told(asked, {}) is None
    # What another job was told is not this one's.
    assert told({}, HELD | {"LAQ_TASKS": "3", "LAQ_NODES": "1"}) is None


@pytest.mark.parametrize("resources", [{"mpi": "mpiexec", "tasks": 2}, {"mpi": "srun"}], ids=str)
def test_other_starters_are_refused(resources):
    with pytest.raises(ConfigError, match="needs the resources mpi: srun and tasks"):
        told(resources)


def test_gpus_are_counted_node_by_node():
    environment: dict[str, str] = dict(HELD)
    allotment.tell({"mpi": "srun", "tasks": 4, "nodes": 2}, environment)
    assert [allotment.here(gpus, environment) for gpus in (0, 4, 5)] == [0, 2, 3]
    assert allotment.here(4, HELD) == 4


def test_srun_is_told_of_tasks_nodes_and_gpus(tmp_path):
    call = tasks.command(Tasks(2, 2), 6, tmp_path, "laq.training.worker", gpus=True)
    own = call.index(sys.executable)
    assert call[0] == "srun"
    assert {"--ntasks=2", "--nodes=2", "--gpus-per-task=3", "--cpus-per-task=3"} <= set(call[:own])
    assert call[own + 1 : own + 6] == [
        *("-m", "laq.training.agent", str(tmp_path), "laq.training.worker", "3")
    ]
    # On several nodes they meet at this one's name, on one by loopback.
    assert not any("127.0.0.1" in word for word in call)
    alone = tasks.command(Tasks(2), 2, tmp_path, "laq.training.worker", gpus=False)
    assert "--master-addr=127.0.0.1" in alone
    assert not any("gpus" in word for word in alone)


@pytest.mark.parametrize("processes", [3, 1])
def test_processes_that_tasks_cannot_share_are_refused(tmp_path, processes):
    with pytest.raises(ConfigError, match=f"{processes} cannot be shared by 2 tasks"):
        tasks.command(Tasks(2), processes, tmp_path, "laq.training.worker", gpus=False)


def srun(folder: Path, monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    """Put a stand-in for srun first on the path."""
    (folder / "srun").write_text("\n".join(["#!/bin/sh", f"cd {folder}", *lines]))
    (folder / "srun").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


FAILURES = {
    "killed": (["echo '{\"1\": -9}' >failed.1.json", "echo '{\"0\": 1}' >failed.0.json"],
               ProcessError, "process 1 of the training was ended by SIGKILL"),
    "noted": (["echo '{\"0\": 1}' >failed.0.json",
               "echo '[\"DataError\", \"it diverged\"]' >error.0.json"],
              DataError, "it diverged"),
    "a defect": (["echo '{\"0\": 1}' >failed.0.json"], RuntimeError, "exit codes {0: 1}"),
    "of srun": ([], ProcessError, "srun ended the tasks of the training with code 1"),
}  # fmt: skip


@pytest.mark.parametrize(("lines", "kind", "message"), FAILURES.values(), ids=FAILURES)
def test_failures_are_told_as_those_of_one_machine(tmp_path, monkeypatch, lines, kind, message):
    srun(tmp_path, monkeypatch, *lines, "exit 1")
    with pytest.raises(kind, match=message):
        tasks.run(Tasks(2), 2, tmp_path, "no.module", gpus=False)


def test_a_task_leaves_word_of_how_its_processes_ended(tmp_path, monkeypatch):
    def failed(arguments, processes, folder, module):
        assert arguments == ["--node-rank=1", "--nnodes=2"]
        raise agent.Failed({3: -9})

    monkeypatch.setattr(agent, "run", failed)
    monkeypatch.setenv("SLURM_PROCID", "1")
    assert agent.main(tmp_path, "no.module", 2, ["--nnodes=2"]) == 1
    assert (tmp_path / "failed.1.json").read_text() == '{"3": -9}'
