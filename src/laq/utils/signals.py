"""Ends of a process that come from outside: signals, and a parent that is gone."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import NoReturn

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
