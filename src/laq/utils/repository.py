"""The git state of a folder of sources: their commit, and whether they differ from it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

SECONDS = 60  # that git may take, on a slow network file system too


def state(folder: Path) -> dict[str, Any] | None:
    """``commit``, and ``changed``: whether tracked files differ from it.

    None where ``folder`` is not the top of a repository with a commit (a copy, an archive, a
    folder in someone else's repository), or where git is absent or refuses to read it.
    """
    try:
        top = _git(folder, "rev-parse", "--show-toplevel").rstrip("\n")
        if not Path(top).samefile(folder):
            return None
        commit = _git(folder, "rev-parse", "--verify", "HEAD").strip()
        changed = bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError, UnicodeError):
        return None
    return {"commit": commit, "changed": changed}


def _git(folder: Path, *arguments: str) -> str:
    # Who runs the workflow from a git hook has variables set that point to another repository.
    environment = {name: v for name, v in os.environ.items() if not name.startswith("GIT_")}
    return subprocess.run(
        ["git", "-C", os.fspath(folder), *arguments],
        env=environment | {"GIT_OPTIONAL_LOCKS": "0"},  # it only reads
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=SECONDS,
        check=True,
    ).stdout
