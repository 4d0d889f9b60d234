"""Torchrun's agent: it starts the processes of a training on its machine, and watches them.

By itself (``python -m laq.training.agent``) it is one task of a SLURM job, see ``tasks``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from laq import errors
from laq.endings import end_with
from laq.errors import LaqError, ProcessError

# A machine's own name need not be known to it.
LOOPBACK = "--local-addr=127.0.0.1"

# Files in the folder: what a process said in the end, and how those of a task ended.
NOTE, CODES = "error.{rank}.json", "failed.{task}.json"


# By which processes know whose end is theirs.
_AGENT = "LAQ_AGENT"


class Failed(Exception):
    """Processes that failed. codes: by rank, negative for the signal that ended it."""

    def __init__(self, codes: Mapping[int, int]) -> None:
        super().__init__(dict(codes))
        self.codes = dict(codes)


def run(arguments: Sequence[str], processes: int, folder: Path, module: str) -> None:
    """Run ``module`` on ``folder`` in ``processes`` processes of this machine to their end.

    arguments: of torchrun, how they meet. Raises ``Failed``, and ``ProcessError`` if this process
    is told to end.
    """
    from torch.distributed import run as torchrun
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    whole = [
        *arguments,
        f"--nproc-per-node={processes}",
        f"--log-dir={folder / 'torchrun'}",
        "--module",
        module,
        str(folder),
    ]
    os.environ[_AGENT] = str(os.getpid())
    with _signals():
        try:
            torchrun.run(torchrun.parse_args(whole))
        except ChildFailedError as failed:
            codes = {rank: failure.exitcode for rank, failure in failed.failures.items()}
            raise Failed(codes) from None
        except SignalException as told:
            raise ProcessError(
                f"the training was ended from outside ({told.sigval.name}): run again, it goes on "
                "from the last state written"
            ) from None


def end_with_it() -> None:
    """End this process, one that ``run`` started, when its agent is gone."""
    end_with(int(os.environ[_AGENT]))


def reason(folder: Path, codes: Mapping[int, int]) -> Exception:
    """What ended the processes, as far as can be told from their notes and exit codes."""
    for note in sorted(folder.glob(NOTE.format(rank="*"))):
        kind, message = json.loads(note.read_text(encoding="utf-8"))
        return getattr(errors, kind, LaqError)(message)
    # One that was killed takes the others with it: they lose the connection, or torchrun ends them.
    killed = [rank for rank, code in codes.items() if code < 0 and code != -signal.SIGTERM]
    if not killed and any(code > 0 for code in codes.values()):
        return RuntimeError(f"processes of the training failed, see above: exit codes {codes}")
    rank = min(killed or codes)
    return ProcessError(
        f"process {rank} of the training was ended by {signal.Signals(-codes[rank]).name}; if "
        "nobody did that, memory was short: set fewer processes or a smaller batch_size (config "
        "key networks or variants), or give the job more. Run again: it goes on from the last "
        "state written"
    )


@contextmanager
def _signals() -> Iterator[None]:
    """Put back the handlers that torchrun replaces by its own."""
    names = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
    before = {name: signal.getsignal(name) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def main(folder: Path, module: str, processes: int, meeting: Sequence[str]) -> int:
    """As one task of several: leave word of how its processes ended; the exit code."""
    task = int(os.environ["SLURM_PROCID"])
    try:
        run([f"--node-rank={task}", *meeting], processes, folder, module)
    except Failed as failed:
        (folder / CODES.format(task=task)).write_text(json.dumps(failed.codes), encoding="utf-8")
        return 1
    except ProcessError as told:
        print(told, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4:]))
