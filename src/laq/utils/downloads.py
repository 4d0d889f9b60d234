"""Downloads that are complete and verified, or absent. Hosts that stop sending are given up."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from laq.utils.errors import DataError

# The record of a file from outside the study: name, bytes and sha256. Its path is no part of it.


def of_file(path: str | os.PathLike[str]) -> dict[str, Any]:
    """``name``, ``bytes`` and ``sha256`` of a file.

    Raises:
        DataError: it cannot be read.
    """
    path = Path(path)
    return {"name": path.name, "bytes": _size(path), "sha256": sha256(path)}


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
        count, size = count + 1, size + _size(path)
    return {"name": root.name, "files": count, "bytes": size, "sha256": digest.hexdigest()}


def sha256(path: Path) -> str:
    """The sha256 of a file's content. Raises ``DataError`` where it cannot be read."""
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


SILENCE = 60.0  # seconds after which a host that sends nothing is given up

# Seconds after which a killed download's folder is swept.
ABANDONED = 24 * 3600


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


def fetch(urls: Sequence[str], target: Path, md5: str, what: str) -> None:
    """Download a file: ``target`` appears complete and with this md5, or not at all.

    urls: the same file at one or more places, tried in this order. what: the file in a word, for
    messages. Folders above ``target`` are made. Raises ``DataError`` with the error of every URL.
    """
    remedy = f"run again, or fetch it by other means and put it at {target.absolute()}"
    target.parent.mkdir(parents=True, exist_ok=True)
    _sweep(target)
    failures: list[str] = []
    with (
        tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder,
        impatient(),
    ):
        download = Path(folder, target.name)
        for url in urls:
            try:
                _download(url, download, md5, what)
            except DataError as error:
                failures.append(str(error))
                download.unlink(missing_ok=True)
                continue
            with download.open("rb") as file:
                os.fsync(file.fileno())
            download.replace(target)
            return
    raise DataError(f"{'; '.join(failures)}; {remedy}")


def _download(url: str, arrived: Path, md5: str, what: str) -> None:
    from torchvision.datasets.utils import download_url

    try:
        download_url(url, str(arrived.parent), arrived.name, md5)
    # http.client raises other errors than OSError. torchvision raises RuntimeError for a wrong
    # checksum. Whatever the error is, nothing was fetched.
    except Exception as error:
        if isinstance(error, RuntimeError) and arrived.is_file():
            raise DataError(
                f"what came from {url} ({arrived.stat().st_size:,} bytes) is not {what}, whose md5 "
                f"is {md5}: it was cut short or altered, and is deleted"
            ) from error
        raise DataError(f"{url} cannot be downloaded ({error})") from error


def _sweep(target: Path) -> None:
    """Remove the folders that killed downloads left.

    A younger folder may be of a download that runs at the same time.
    """
    for leftover in target.parent.glob(f".{target.name}.*"):
        if time.time() - leftover.stat().st_mtime > ABANDONED:
            shutil.rmtree(leftover, ignore_errors=True)
