"""GPUs that SLURM allotted to a job, compared with those it asked for.

A job that asked for a GPU and got none would compute on the CPU, for days. Every job makes this
check, so nothing here imports torch.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from laq.utils.errors import AllocationError

# Environment variable of a rehearsal on simulated GPUs, which torch cannot see.
SIMULATED = "LAQ_SIMULATED_GPUS"

# Variables that list the GPUs of the node that programs may see, by maker.
VISIBLE = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")


def allotted(environment: Mapping[str, str] = os.environ) -> list[str] | None:
    """The GPUs that this SLURM job holds, by number or name; None outside SLURM.

    A step's own list takes precedence over its job's. The visible GPUs count where SLURM gives
    neither list, and where fewer are visible.
    """
    if "SLURM_JOB_ID" not in environment:
        return None
    gpus = _listed(environment, "SLURM_STEP_GPUS") or _listed(environment, "SLURM_JOB_GPUS")
    lists = [_listed(environment, name) for name in VISIBLE if name in environment]
    visible = max(lists, key=len, default=gpus)
    return visible if not gpus or len(visible) < len(gpus) else gpus


def check(requested: int, environment: Mapping[str, str] = os.environ) -> str | None:
    """Check that a job under SLURM holds the GPUs it asked for.

    Returns:
        A line for the job's log that names its GPUs; None where it asked for none or SLURM is not.

    Raises:
        AllocationError: it holds fewer than ``requested``.
    """
    gpus = allotted(environment)
    if gpus is None or requested < 1:
        return None
    job = environment["SLURM_JOB_ID"]
    if len(gpus) < requested:
        raise AllocationError(
            f"{_place(environment)} asked for {_gpus(requested)} and holds "
            f"{', '.join(gpus) if gpus else 'none'}; see what it was given with "
            f"`scontrol show job {job}`, name a partition that has GPUs in profiles/slurm "
            "(docs/cluster.md), or set device: cpu in the config"
        )
    return f"{_place(environment)} holds {_gpus(len(gpus))}: {', '.join(gpus)}"


def check_seen(environment: Mapping[str, str] = os.environ) -> None:
    """Refuse to compute without a GPU in a SLURM job that holds one. Call it where torch sees none.

    Raises:
        AllocationError: the job holds GPUs, and this is no rehearsal (``LAQ_SIMULATED_GPUS``).
    """
    gpus = allotted(environment)
    if gpus and not environment.get(SIMULATED):
        raise AllocationError(
            f"{_place(environment)} holds {_gpus(len(gpus))} ({', '.join(gpus)}), but torch sees "
            "none: its driver may have failed (nvidia-smi tells, on that node; leave the node out "
            "with --slurm-exclude-failed-nodes NODE), or torch is built for the CPU "
            "(torch.version.cuda is None); to compute on the CPU set device: cpu in the config"
        )


def _listed(environment: Mapping[str, str], name: str) -> list[str]:
    """The items of a variable's list. SLURM and CUDA write an empty list in several ways."""
    values = [value.strip() for value in environment.get(name, "").split(",")]
    return [value for value in values if value not in ("", "-1", "NoDevFiles")]


def _gpus(count: int) -> str:
    return "1 GPU" if count == 1 else f"{count} GPUs"


def _place(environment: Mapping[str, str]) -> str:
    node = environment.get("SLURMD_NODENAME")
    return f"SLURM job {environment['SLURM_JOB_ID']}" + (f" on {node}" if node else "")
