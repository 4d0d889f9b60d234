"""Temporary folders that a killed process leaves to the next one to remove."""

from __future__ import annotations

import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def folder(place: Path, name: str) -> Iterator[Path]:
    """An empty folder ``name.xxxxxxxx`` in ``place``, removed when the block is left.

    Those of that name whose processes are no more are removed first.
    """
    sweep(place, name)
    path, handle = _own(place, name)
    try:
        yield Path(path)
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(handle)


def sweep(place: Path, name: str) -> None:
    """Remove what killed processes left of ``folder``."""
    for path in place.glob(f"{glob.escape(name)}.????????"):
        try:
            handle = os.open(path, os.O_RDONLY)
        except OSError:  # gone meanwhile, or another user's
            continue
        try:
            if _lock(handle) is True:
                shutil.rmtree(path, ignore_errors=True)
        finally:
            os.close(handle)


def _own(place: Path, name: str) -> tuple[str, int]:
    """A new folder, locked: the system drops the lock of a process that dies, however it does."""
    while True:
        path = tempfile.mkdtemp(dir=place, prefix=f"{name}.")
        with suppress(FileNotFoundError):
            handle = os.open(path, os.O_RDONLY)
            # Another's sweep may have come before the lock.
            if _lock(handle) is not False and Path(path).exists():
                return path, handle
            os.close(handle)


def _lock(handle: int) -> bool | None:
    """Lock a folder; False where another process has it, None on a disk that locks no folders."""
    try:
        import fcntl  # not on Windows, where checkpoints can be loaded

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):  # as on NFS: whether its process lives cannot be told
        return None
    return True
