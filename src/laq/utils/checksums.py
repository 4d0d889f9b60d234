"""What a file from outside the study is: its name, bytes and sha256, and not where it lay."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from laq.utils.errors import DataError


def of_file(path: str | os.PathLike[str]) -> dict[str, Any]:
    """``name``, ``bytes`` and ``sha256`` of a file.

    Raises:
        DataError: it cannot be read.
    """
    path = Path(path)
    return {"name": path.name, "bytes": _size(path), "sha256": sha256(path)}


def of_folder(root: Path, files: Iterable[Path]) -> dict[str, Any]:
    """``name``, ``files`` (how many), ``bytes`` and ``sha256`` of these files below ``root``.

    The sum is that of the lines of ``sha256sum`` over the files, relative to ``root`` and in the
    order of their names' bytes.

    Raises:
        DataError: a file cannot be read.
    """
    digest, count, size = hashlib.sha256(), 0, 0
    for name, path in sorted((os.fsencode(f.relative_to(root).as_posix()), f) for f in files):
        digest.update(sha256(path).encode() + b"  " + name + b"\n")
        count, size = count + 1, size + _size(path)
    return {"name": root.name, "files": count, "bytes": size, "sha256": digest.hexdigest()}


def sha256(path: Path) -> str:
    """Of a file's content. Raises ``DataError`` where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from error


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(
        f"{path} cannot be read ({error.strerror or error}): make it readable, or name another file"
    )
