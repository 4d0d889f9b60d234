"""A time limit on hosts that fall silent: the libraries that download for us set none."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

SILENCE = 60.0  # seconds after which a host that sends nothing is given up


@contextmanager
def impatient() -> Iterator[None]:
    """Within it connections are given up after ``SILENCE``; else they would hold a job for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SILENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
