"""Runs under watch: no connection leaves the machine, and home and temporary folder are new."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

# Python imports it at its start, in every process of the run.
REFUSING = """
import os
import socket

_RECORD = os.environ["LAQ_CONNECTIONS"]
_LOCAL = ("127.", "::1", "localhost", "0.0.0.0")


def _refused(where):
    with open(_RECORD, "a") as file:
        file.write(f"{where}\\n")
    raise OSError(f"no connection to {where} in this test")


class _Socket(socket.socket):
    def connect(self, address):
        if self.family != socket.AF_UNIX and not str(address[0]).startswith(_LOCAL):
            _refused(address)
        return super().connect(address)

    connect_ex = connect


def _resolved(host, *arguments, _resolve=socket.getaddrinfo, **named):
    if host is not None and not str(host).startswith(_LOCAL):
        _refused(host)
    return _resolve(host, *arguments, **named)


socket.socket, socket.getaddrinfo = _Socket, _resolved
"""


@dataclass(frozen=True)
class Watch:
    """Where a watched run leaves what it should not: ``folder`` holds nothing else."""

    folder: Path

    @property
    def connections(self) -> list[str]:
        """Hosts that were asked for."""
        record = self.folder / "connections.txt"
        return record.read_text().splitlines() if record.exists() else []

    def left(self, name: str) -> list[str]:
        """Files left in ``home`` or ``tmp``."""
        root = self.folder / name
        return sorted(
            path.relative_to(root).as_posix() for path in root.rglob("*") if not path.is_dir()
        )

    @contextmanager
    def over(self) -> Iterator[None]:
        """Watch what is started within."""
        for name in ("home", "tmp", "python"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "python/sitecustomize.py").write_text(REFUSING)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("LAQ_CONNECTIONS", str(self.folder / "connections.txt"))
            patch.setenv("PYTHONPATH", str(self.folder / "python"))
            patch.setenv("HOME", str(self.folder / "home"))
            patch.setenv("TMPDIR", str(self.folder / "tmp"))
            for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR", "NUMBA_CACHE_DIR"):
                patch.delenv(name, raising=False)
            yield
