"""Torchrun's agent: it starts the processes of a training on its machine, and watches them."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from laq.utils import errors, signals
from laq.utils.errors import LaqError, ProcessError

# A file in the folder: the error that ended a process.
NOTE = "error.{rank}.json"


def run(processes: int, folder: Path, module: str) -> dict[int, int]:
    """Run ``module`` on ``folder`` in ``processes`` processes of this machine to their end.

    Returns the exit codes of those that failed, by rank, each negative if a signal ended the
    process. Raises ``ProcessError`` if a signal ends this process.
    """
    from torch.distributed import run as torchrun
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    arguments = [
        "--standalone",
        "--local-addr=127.0.0.1",  # a machine's own name need not be known to it
        f"--nproc-per-node={processes}",
        f"--log-dir={folder / 'torchrun'}",
        "--module",
        module,
        str(folder),
    ]
    os.environ[signals.STARTER] = str(os.getpid())
    with _signals():
        try:
            torchrun.run(torchrun.parse_args(arguments))
        except ChildFailedError as error:
            return {rank: failure.exitcode for rank, failure in error.failures.items()}
        except SignalException as exception:
            raise ProcessError(
                f"the training was ended from outside ({exception.sigval.name}): run again, it "
                "goes on from the last state written"
            ) from None
    return {}


def reason(folder: Path, codes: Mapping[int, int]) -> Exception:
    """The error that ended the processes, as far as their notes and exit codes tell."""
    for note in sorted(folder.glob(NOTE.format(rank="*"))):
        kind, message = json.loads(note.read_text(encoding="utf-8"))
        return getattr(errors, kind, LaqError)(message)
    # A killed process ends the others: they lose the connection, or torchrun ends them.
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
    handlers = {name: signal.getsignal(name) for name in names}
    try:
        yield
    finally:
        for name, handler in handlers.items():
            signal.signal(name, handler)
