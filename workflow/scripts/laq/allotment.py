"""Tasks that a SLURM job has for the processes of a training, where its resources ask for several.

The resources are Snakemake's: ``mpi: srun`` and ``tasks``, and ``nodes`` for more than one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from laq.errors import ConfigError

# How a job's functions are told: Snakemake drops SLURM's own words for it.
_TASKS, _NODES = "LAQ_TASKS", "LAQ_NODES"


@dataclass(frozen=True)
class Tasks:
    """``count`` tasks of this SLURM job, on ``nodes`` nodes."""

    count: int
    nodes: int = 1


def tell(resources: Mapping[str, Any], environment: MutableMapping[str, str] = os.environ) -> None:
    """Tell this process, and those that it starts, which tasks its job has.

    Raises ``ConfigError`` for resources that name another starter than srun.
    """
    for name in (_TASKS, _NODES):
        environment.pop(name, None)
    # What Snakemake hands over has ``get``, and otherwise is a list.
    starter, tasks = resources.get("mpi"), resources.get("tasks")
    if starter is None or "SLURM_JOB_ID" not in environment:
        return
    if starter != "srun" or tasks is None:
        raise ConfigError(
            "a training over several tasks of a SLURM job needs the resources mpi: srun and tasks "
            f"(profiles/slurm/config.yaml); this job has mpi: {starter}, tasks: {tasks or 'none'}"
        )
    environment[_TASKS] = str(tasks)
    environment[_NODES] = str(resources.get("nodes", 1))


def allotted(environment: Mapping[str, str] = os.environ) -> Tasks | None:
    """The tasks that this job has for its processes; None where it starts them itself."""
    if _TASKS not in environment:
        return None
    return Tasks(int(environment[_TASKS]), int(environment[_NODES]))


def here(count: int, environment: Mapping[str, str] = os.environ) -> int:
    """Of ``count`` things that the job holds, as many on each node, those on this one."""
    own = allotted(environment)
    return count if own is None else -(-count // own.nodes)
