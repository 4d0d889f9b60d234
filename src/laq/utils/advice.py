"""What to do about ends of a run that no job could tell of itself, from Snakemake's log of it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

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
