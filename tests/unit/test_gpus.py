"""A job under SLURM holds the GPUs it asked for, or ends with what to do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from laq.utils import gpus
from laq.utils.devices import pick
from laq.utils.errors import AllocationError

LIBRARY = Path(__file__).resolve().parents[2] / "src"
JOB = {"SLURM_JOB_ID": "17", "SLURMD_NODENAME": "node3"}


@pytest.mark.parametrize(
    ("environment", "held"),
    [
        ({"CUDA_VISIBLE_DEVICES": "0"}, None),  # a laptop, or a shell on the login node
        (JOB, []),
        (JOB | {"SLURM_JOB_GPUS": "2,3"}, ["2", "3"]),
        (JOB | {"SLURM_JOB_GPUS": "2,3", "SLURM_STEP_GPUS": "3"}, ["3"]),
        (JOB | {"CUDA_VISIBLE_DEVICES": "1"}, ["1"]),
        (JOB | {"ROCR_VISIBLE_DEVICES": "1", "CUDA_VISIBLE_DEVICES": "1"}, ["1"]),
        (JOB | {"CUDA_VISIBLE_DEVICES": "MIG-8c9b,MIG-12aa"}, ["MIG-8c9b", "MIG-12aa"]),
        (JOB | {"CUDA_VISIBLE_DEVICES": "NoDevFiles"}, []),
        (JOB | {"CUDA_VISIBLE_DEVICES": "-1"}, []),
        (JOB | {"SLURM_JOB_GPUS": "0", "CUDA_VISIBLE_DEVICES": ""}, []),
        (JOB | {"SLURM_JOB_GPUS": "0,1", "CUDA_VISIBLE_DEVICES": "0"}, ["0"]),
        # cgroups number a job's GPUs from 0 on.
        (JOB | {"SLURM_JOB_GPUS": "6", "CUDA_VISIBLE_DEVICES": "0"}, ["6"]),
    ],
)
def test_the_gpus_of_a_job_are_what_slurm_says_and_programs_may_see(environment, held):
    assert gpus.allotted(environment) == held


def test_a_job_without_the_gpu_it_asked_for_is_ended_with_the_remedy():
    with pytest.raises(AllocationError) as error:
        gpus.check(1, JOB)
    message = str(error.value)
    assert message.startswith("SLURM job 17 on node3 asked for 1 GPU and holds none; ")
    assert "scontrol show job 17" in message
    assert "partition" in message
    assert "device: cpu" in message


@given(st.integers(0, 4), st.integers(0, 4), st.booleans())
def test_a_job_goes_on_with_as_many_gpus_as_it_asked_for(requested, held, slurm):
    environment = {"SLURM_JOB_GPUS": ",".join(map(str, range(held)))} | (JOB if slurm else {})
    if slurm and held < requested:
        with pytest.raises(AllocationError, match=f"holds {'0' if held else 'none'}"):
            gpus.check(requested, environment)
    else:
        line = gpus.check(requested, environment)
        assert (line is None) == (not slurm or requested == 0)
        if line:
            assert line.startswith(f"SLURM job 17 on node3 holds {held} GPU")


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_a_gpu_that_torch_cannot_see_is_no_reason_to_compute_on_the_cpu(monkeypatch, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for name, value in (JOB | {"SLURM_JOB_GPUS": "0"}).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(AllocationError, match=r"torch sees none.*driver.*device: cpu"):
        pick(device)
    assert pick("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick(device).type == "cuda"


def test_without_a_gpu_of_slurm_auto_takes_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert pick("auto") == torch.device("cpu")
    for name, value in (JOB | {"SLURM_JOB_GPUS": "0", gpus.SIMULATED: "1"}).items():
        monkeypatch.setenv(name, value)
    assert pick("auto") == torch.device("cpu")


def test_the_check_needs_no_torch():
    script = (
        "import sys; from laq.utils import gpus; gpus.check(1); sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=LIBRARY)
