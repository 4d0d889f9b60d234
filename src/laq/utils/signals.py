"""Ends of a process that come from outside: signals, and a parent that is gone."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

# What to do about ends of a run that no job could tell of itself, from Snakemake's log of it.


# Snakemake names the signal; behind a shell it is 128 and the signal's number.
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


# By which a process that the library starts knows whose end is its own.
STARTER = "LAQ_STARTED_BY"


class Ended(SystemExit):
    """The process was told to end."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)  # should nobody catch it
        self.name = signal.Signals(number).name


def raise_on_signals() -> None:
    """Raise ``Ended`` where SIGTERM or SIGHUP says to end, so that temporary files are removed."""

    def end(number: int, _: object) -> NoReturn:
        raise Ended(number)

    for name in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(name) == signal.SIG_DFL:  # not under nohup
            signal.signal(name, end)


def end_with(parent: int, grace: float = 0) -> None:
    """End this process when its parent, which would take the result, is gone.

    It would hold its GPU against the run that is started next. With ``grace`` it is told so by a
    SIGTERM, and ended so many seconds later, should it be in the midst of a long call.
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
    """End this process, one that the library started, when the process named by it is gone."""
    end_with(int(os.environ[STARTER]))
