"""The end of a process from outside: by a signal, or because its parent has ended."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

# Advice after a run that was ended before its jobs could say why, from Snakemake's log.


# How the log shows it: Snakemake names the signal, a shell gives 128 plus the signal's number.
_KILLED = ("<Signals.SIGKILL: 9>", "exit status 137")


def after(logs: Iterable[str]) -> list[str]:
    """Lines of advice after a failed run that wrote ``logs``."""
    if any(sign in log for log in map(_read, logs) for sign in _KILLED):
        return [
            "A job was killed (SIGKILL); see above which. If nobody did that, memory was short: "
            "run again with fewer cores (--cores), or with a smaller batch_size, fewer images or "
            "less memory in the config. What is finished is kept, and a training goes on from its "
            "last epoch."
        ]
    return []


def _read(log: str) -> str:
    try:
        return Path(log).read_text(errors="replace")
    except OSError:  # the disk that failed the run may have failed its log
        return ""


# Environment variable of a process that the library starts: the process id of its starter.
STARTER = "LAQ_STARTED_BY"


class Ended(SystemExit):
    """A signal told the process to end."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)  # the exit code, where nothing catches it
        self.name = signal.Signals(number).name


def raise_on_signals() -> None:
    """Raise ``Ended`` on SIGTERM or SIGHUP, so that temporary files are removed."""

    def end(number: int, _: object) -> NoReturn:
        raise Ended(number)

    for name in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(name) == signal.SIG_DFL:  # not under nohup
            signal.signal(name, end)


def end_with(parent: int, grace: float = 0) -> None:
    """End this process when its parent, which would take the result, has ended.

    It would otherwise hold its GPU while the next run starts. With ``grace`` the process gets a
    SIGTERM first, and is ended that many seconds later, even in the middle of a long call.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        if grace:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(grace)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def end_with_starter() -> None:
    """End this process, which the library started, when its starter (``STARTER``) has ended."""
    end_with(int(os.environ[STARTER]))
