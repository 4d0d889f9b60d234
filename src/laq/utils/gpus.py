"""GPUs that SLURM allotted to a job, against those it asked for.

A job that asked for a GPU and got none would compute on the CPU, for days. Every job asks here, so
nothing imports torch.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from laq.utils.errors import AllocationError

# Set in the environment of a rehearsal on GPUs that are not there, which torch cannot see.
SIMULATED = "LAQ_SIMULATED_GPUS"

# What programs are to see of the node's GPUs, by maker.
VISIBLE = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")


def allotted(environment: Mapping[str, str] = os.environ) -> list[str] | None:
    """The GPUs that this SLURM job holds, by number or name; None outside SLURM.

    A step's own list goes before its job's. Where SLURM gives neither, and where fewer are visible,
    what programs are to see counts.
    """
    if "SLURM_JOB_ID" not in environment:
        return None
    held = _listed(environment, "SLURM_STEP_GPUS") or _listed(environment, "SLURM_JOB_GPUS")
    shown = [_listed(environment, name) for name in VISIBLE if name in environment]
    visible = max(shown, key=len, default=held)
    return visible if not held or len(visible) < len(held) else held


def check(requested: int, environment: Mapping[str, str] = os.environ) -> str | None:
    """Hold a job under SLURM to the GPUs it asked for.

    Returns:
        A line for the job's log that names its GPUs; None where it asked for none or SLURM is not.

    Raises:
        AllocationError: it holds fewer than ``requested``.
    """
    held = allotted(environment)
    if held is None or requested < 1:
        return None
    job = environment["SLURM_JOB_ID"]
    if len(held) < requested:
        raise AllocationError(
            f"{_place(environment)} asked for {_gpus(requested)} and holds "
            f"{', '.join(held) if held else 'none'}; see what it was given with "
            f"`scontrol show job {job}`, name a partition that has GPUs in profiles/slurm "
            "(docs/cluster.md), or set device: cpu in the config"
        )
    return f"{_place(environment)} holds {_gpus(len(held))}: {', '.join(held)}"


def check_seen(environment: Mapping[str, str] = os.environ) -> None:
    """Call it where torch sees no GPU: under SLURM a job that holds one must not go on without.

    Raises:
        AllocationError: the job holds GPUs, and this is no rehearsal (``LAQ_SIMULATED_GPUS``).
    """
    held = allotted(environment)
    if held and not environment.get(SIMULATED):
        raise AllocationError(
            f"{_place(environment)} holds {_gpus(len(held))} ({', '.join(held)}), but torch sees "
            "none: its driver may have failed (nvidia-smi tells, on that node; leave the node out "
            "with --slurm-exclude-failed-nodes NODE), or torch is built for the CPU "
            "(torch.version.cuda is None); to compute on the CPU set device: cpu in the config"
        )


def _listed(environment: Mapping[str, str], name: str) -> list[str]:
    """A variable's list; SLURM and CUDA have several words for an empty one."""
    values = [value.strip() for value in environment.get(name, "").split(",")]
    return [value for value in values if value not in ("", "-1", "NoDevFiles")]


def _gpus(count: int) -> str:
    return "1 GPU" if count == 1 else f"{count} GPUs"


def _place(environment: Mapping[str, str]) -> str:
    node = environment.get("SLURMD_NODENAME")
    return f"SLURM job {environment['SLURM_JOB_ID']}" + (f" on {node}" if node else "")
