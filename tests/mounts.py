"""Small disks for tests of what disks refuse; needs root."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(folder: Path, *arguments: str) -> Iterator[None]:
    """``mount`` with these arguments on ``folder``; skip the test where that is not allowed."""
    if shutil.which("mount") is None:
        pytest.skip("there is no mount on this machine")
    done = subprocess.run(
        ["mount", *arguments, folder], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"this account may not mount a disk: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
