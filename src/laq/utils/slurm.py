"""Processes as tasks of a SLURM job, on one node or on several: srun starts them.

``python -m laq.utils.slurm`` is one task: it starts its process, and records how that ended. Tasks
share a folder, which all nodes must see. Nothing here imports torch.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from laq.utils import signals
from laq.utils.errors import ProcessError

# Environment variable that hands the job's ``mpi`` resource to its functions.
_STARTER = "LAQ_STARTER"

# File in the shared folder that holds the exit code of a failed task.
_CODE = "failed.{rank}"


def tell(resources: Mapping[str, Any]) -> None:
    """Record for this process and its children which program starts processes.

    It is Snakemake's resource ``mpi``.
    """
    # Snakemake's resources have ``get``, though they are a list otherwise.
    os.environ[_STARTER] = str(resources.get("mpi", ""))


def asked() -> bool:
    """Whether this is a SLURM job that has tasks for its processes."""
    return os.environ.get(_STARTER) == "srun" and "SLURM_JOB_ID" in os.environ


def run(count: int, threads: int, folder: Path, module: str) -> dict[int, int]:
    """Run ``module`` on ``folder`` in ``count`` tasks to their end; ``threads`` CPUs each.

    Tasks of a node see all GPUs that the job has there. When a task fails, srun ends the others.
    Returns the exit codes of those that failed, by rank; a negative code is the signal that ended
    it. Raises ``ProcessError`` where srun failed, and no process.
    """
    call = ["srun", f"--ntasks={count}", f"--cpus-per-task={threads}", "--kill-on-bad-exit=1"]
    call += [sys.executable, "-m", __name__, str(folder), module]
    with subprocess.Popen(call, env=os.environ | {"MASTER_PORT": str(_port())}) as srun:
        try:
            code = srun.wait()
        except BaseException:
            srun.terminate()  # srun forwards it to its tasks
            raise
    if not code:
        return {}
    files = sorted(folder.glob(_CODE.format(rank="*")))
    if not files:
        raise ProcessError(
            f"srun ended the training with code {code}, see above; if it refused its tasks, give "
            f"the job {count} of {threads} CPUs (resources tasks and cpus_per_task). Run again: it "
            "goes on from the last state written"
        )
    return {int(file.suffix[1:]): int(file.read_text(encoding="utf-8")) for file in files}


def _port() -> int:
    """A port that is free on this node, where the first task runs."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]


def main(folder: Path, module: str) -> int:
    """Run ``module`` on ``folder`` as torchrun would. Returns the exit code.

    If it fails, its exit code is written to the folder.
    """
    rank = os.environ["SLURM_PROCID"]
    variables = {
        "RANK": rank,
        "LOCAL_RANK": os.environ["SLURM_LOCALID"],
        "WORLD_SIZE": os.environ["SLURM_NTASKS"],
        "MASTER_ADDR": os.environ["SLURM_LAUNCH_NODE_IPADDR"],
        signals.STARTER: str(os.getpid()),
    }
    command = [sys.executable, "-m", module, str(folder)]
    code = subprocess.run(command, env=os.environ | variables, check=False).returncode
    if code:
        (folder / _CODE.format(rank=rank)).write_text(str(code), encoding="utf-8")
    return int(code != 0)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
