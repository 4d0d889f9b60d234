"""Processes as tasks of a SLURM job; on a cluster, tests/workflow/test_slurm.py."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from laq.training import launch
from laq.utils import slurm
from laq.utils.errors import DataError, ProcessError

LIBRARY = Path(__file__).resolve().parents[2] / "src"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test tells this process is gone after it."""
    monkeypatch.setenv("LAQ_STARTER", "")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    torch.set_num_threads(1)  # what each task gets; other tests set others


def test_only_a_slurm_job_whose_resources_name_srun_has_tasks(monkeypatch):
    for resources, expected in (({"mpi": "srun"}, True), ({"mpi": "mpiexec"}, False), ({}, False)):
        slurm.tell(resources)
        assert slurm.asked() == expected
    # Another job of the same process does not inherit it, nor does a run outside SLURM.
    slurm.tell({"mpi": "srun"})
    monkeypatch.delenv("SLURM_JOB_ID")
    assert not slurm.asked()


# Each a task of two in turn: the second dies first, as by kill -9, or of what it says itself.
SRUN = f"""#!/bin/sh
[ "$1 $2 $3" = "--ntasks=2 --cpus-per-task=1 --kill-on-bad-exit=1" ] || exit 9
shift 3
export PYTHONPATH={LIBRARY}:$PWD SLURM_NTASKS=2 SLURM_LAUNCH_NODE_IPADDR=10.0.0.7
for rank in 1 0; do SLURM_PROCID=$rank SLURM_LOCALID=$rank "$@" || code=$?; done
exit $code
"""
MODULE = """
import os, pathlib, signal, sys
names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR")
rank, *_ = own = [os.environ[name] for name in names]
pathlib.Path(sys.argv[1], f"own.{rank}").write_text(" ".join(own))
assert int(os.environ["MASTER_PORT"]) > 0 and int(os.environ["LAQ_STARTED_BY"]) == os.getppid()
"""
KILLED = 'if rank == "1": os.kill(os.getpid(), signal.SIGKILL)\nsys.exit(1)'
NOTED = 'pathlib.Path(sys.argv[1], "error.0.json").write_text(\'["DataError", "it diverged"]\')\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for the processes, with a stand-in for srun first on the path."""
    (tmp_path / "srun").write_text(SRUN)
    (tmp_path / "srun").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    slurm.tell({"mpi": "srun"})
    return tmp_path


def test_each_task_is_a_process_as_torchrun_would_start_it(folder):
    (folder / "module.py").write_text(MODULE)
    launch.run(folder, 2, "module")
    for rank in "01":
        assert (folder / f"own.{rank}").read_text() == f"{rank} {rank} 2 10.0.0.7"


FAILURES = {
    "killed": (KILLED, ProcessError, "process 1 of the training was ended by SIGKILL"),
    "noted": (f"{NOTED}sys.exit(1)", DataError, "it diverged"),
    "a defect": ("sys.exit(1)", RuntimeError, r"exit codes \{0: 1, 1: 1\}"),
}


@pytest.mark.parametrize(("end", "kind", "message"), FAILURES.values(), ids=FAILURES)
def test_failures_are_told_as_those_of_one_machine(folder, end, kind, message):
    (folder / "module.py").write_text(MODULE + end)
    with pytest.raises(kind, match=message):
        launch.run(folder, 2, "module")


def test_a_task_costs_no_import_of_torch():
    script = "import sys; import laq.utils.slurm; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=LIBRARY, check=False).returncode == 0
