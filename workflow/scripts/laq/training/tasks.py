"""The processes of a training as tasks of a SLURM job, on one node or on several.

Srun starts an agent of torchrun as each task; they meet at a port of the node that the job runs on.
Files go by the folder of the training, which all nodes must see.
"""

from __future__ import annotations

import json
import logging
import socket
import subprocess
import sys
from pathlib import Path

import torch

from laq.allotment import Tasks
from laq.errors import ConfigError, ProcessError
from laq.training import agent

logger = logging.getLogger(__name__)


def run(own: Tasks, processes: int, folder: Path, module: str, gpus: bool) -> None:
    """Run ``module`` on ``folder`` in ``processes`` processes, as many in each task, to their end.

    Raises ``ConfigError`` where they cannot be shared so, ``ProcessError``, and what a process
    noted.
    """
    logger.info("the processes are of %d tasks on %d of the job's nodes", own.count, own.nodes)
    with subprocess.Popen(command(own, processes, folder, module, gpus)) as srun:
        try:
            code = srun.wait()
        except BaseException:
            srun.terminate()  # srun passes it on to its tasks
            raise
    if not code:
        return
    codes: dict[int, int] = {}
    for file in sorted(folder.glob(agent.CODES.format(task="*"))):
        told = json.loads(file.read_text(encoding="utf-8"))
        codes |= {int(rank): ended for rank, ended in told.items()}
    if codes:
        raise agent.reason(folder, codes)
    raise ProcessError(
        f"srun ended the tasks of the training with code {code}, see above; if it refused them, "
        f"give the job {own.count} tasks of {_cpus(own, processes)} CPUs (resources tasks and "
        "cpus_per_task). Run again: it goes on from the last state written"
    )


def command(own: Tasks, processes: int, folder: Path, module: str, gpus: bool) -> list[str]:
    """The call of srun."""
    each, rest = divmod(processes, own.count)
    if rest or not each:
        raise ConfigError(
            f"processes: {processes} cannot be shared by {own.count} tasks; set a multiple of "
            f"{own.count} (config key networks or variants), or the resource tasks of the rule"
        )
    host = "127.0.0.1" if own.nodes == 1 else socket.gethostname()
    meeting = [f"--nnodes={own.count}", f"--master-addr={host}", f"--master-port={_port()}"]
    if own.nodes == 1:
        meeting.append(agent.LOOPBACK)
    call = [
        "srun",
        f"--ntasks={own.count}",
        f"--nodes={own.nodes}",
        f"--cpus-per-task={_cpus(own, processes)}",
        "--kill-on-bad-exit=1",
    ]
    if gpus:  # each task sees its own
        call.append(f"--gpus-per-task={each}")
    python = [sys.executable, "-m", agent.__name__, str(folder), module, str(each)]
    return [*call, *python, *meeting]


def _cpus(own: Tasks, processes: int) -> int:
    """Of a task."""
    return processes // own.count * torch.get_num_threads()


def _port() -> int:
    """A port that is free on this node now."""
    with socket.socket() as free:
        free.bind(("", 0))
        return free.getsockname()[1]
