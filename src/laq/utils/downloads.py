"""Downloads that are complete and verified, or absent; the records of files from outside."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from laq.utils.errors import DataError, StorageError
from laq.utils.files import atomic

# The record of a file from outside the study: name, bytes and sha256. Its path is no part of it.


def of_file(path: str | os.PathLike[str]) -> dict[str, Any]:
    """``name``, ``bytes`` and ``sha256`` of a file.

    Raises:
        DataError: it cannot be read.
    """
    path = Path(path)
    digest = sha256(path)
    return {"name": path.name, "bytes": path.stat().st_size, "sha256": digest}


def of_folder(root: Path, files: Iterable[Path]) -> dict[str, Any]:
    """``name``, ``files`` (how many), ``bytes`` and ``sha256`` of these files below ``root``.

    The sha256 is that of the lines that ``sha256sum`` prints for the files. Their names are
    relative to ``root`` and in the order of their bytes.

    Raises:
        DataError: a file cannot be read.
    """
    digest, count, size = hashlib.sha256(), 0, 0
    for name, path in sorted((os.fsencode(f.relative_to(root).as_posix()), f) for f in files):
        digest.update(sha256(path).encode() + b"  " + name + b"\n")
        count, size = count + 1, size + path.stat().st_size
    return {"name": root.name, "files": count, "bytes": size, "sha256": digest.hexdigest()}


def sha256(path: Path) -> str:
    """The sha256 of a file's content. Raises ``DataError`` where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror or error}): make it readable, or name "
            "another file"
        ) from error


SILENCE = 60.0  # seconds after which a host that sends nothing is given up


@contextmanager
def impatient() -> Iterator[None]:
    """Give up connections that are silent for ``SILENCE`` seconds, within the block.

    They would hold a job for ever.
    """
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SILENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(timeout)


def fetch(urls: Sequence[str], target: Path, md5: str) -> None:
    """Download a file with torchvision: ``target`` appears complete and with this md5, or not.

    urls: the same file at one or more places, tried in this order. Folders above ``target`` are
    made.

    Raises:
        DataError: no URL gives the file; it has the error of each.
        StorageError: the disk does not take the file.
    """
    from torchvision.datasets.utils import download_url

    failures = []
    for url in urls:
        try:
            with atomic(target) as temporary, impatient():
                download_url(url, str(temporary.parent), temporary.name, md5)
            return
        except StorageError:
            raise
        # http.client raises other errors than OSError, torchvision RuntimeError for another md5.
        except Exception as error:
            failures.append(f"{url} ({error})")
    raise DataError(
        f"{target.name} cannot be downloaded from {', '.join(failures)}: run again, or fetch it by "
        f"other means and put it at {target.absolute()}"
    )
