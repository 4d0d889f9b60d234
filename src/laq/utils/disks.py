"""What a disk that takes no file is told to the user as: which file, why, and what to do."""

from __future__ import annotations

import errno
import glob
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from laq.utils.errors import StorageError

# Temporary folders that a killed process leaves to the next one to remove.


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


_RIGHTS = "give this account the right to read and write there (chmod, chown)"
_AGAIN = "run again; work that is finished is kept"

# What the user can mend, by the system's own word for it. All else is a defect of this project.
REMEDIES = {
    errno.ENOSPC: "free space there",
    errno.EDQUOT: "your quota there is used up: delete files, ask for more",
    errno.EROFS: "have the disk mounted for writing",
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EIO: "the disk or its connection fails, see the system's log: mend it",
    errno.EFBIG: "the file is larger than the disk's format or `ulimit -f` allows: raise the limit",
    errno.EMFILE: "too many files are open: raise `ulimit -n`",
    errno.ENFILE: "too many files are open on this machine: end other programs",
    errno.ENOMEM: "memory is short: end other programs, or give the job more",
    errno.ENAMETOOLONG: "shorten the names in the config",
    errno.ESTALE: "the network disk lost the file: see that it is mounted",
}

# Of a file that was to be written; of others they are defects.
IN_THE_WAY = {
    errno.ENOTDIR: "a file lies where a folder is to be: move it away",
    errno.EEXIST: "a file lies where a folder is to be: move it away",
    errno.EISDIR: "a folder lies where the file is to be: move it away",
}

# Another disk would do as well.
_PLACES = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}

# Libraries in Rust, safetensors among them, raise errors of their own that end so.
_RUST = re.compile(r"\(os error (\d+)\)")


def number(error: BaseException) -> int | None:
    """The system's number of an error, from whichever library."""
    if isinstance(error, OSError):
        return error.errno
    found = _RUST.search(str(error))
    return int(found[1]) if found else None


def explained(
    error: BaseException, path: str | os.PathLike[str] | None = None
) -> StorageError | None:
    """What to tell the user of ``error``, or None where it is none of theirs to mend.

    ``path``: the file that was to be written; without one, the file that the error names.
    """
    code = number(error)
    if isinstance(error, FileNotFoundError) and "temporary directory" in str(error):
        # tempfile tried every folder it knows, and does not say what was wrong with them.
        return StorageError(
            f"{error.strerror}: free space in one of them, or set TMPDIR to a folder on a disk "
            f"that has some; {_AGAIN}"
        )
    remedy = (REMEDIES if path is None else REMEDIES | IN_THE_WAY).get(code)
    if remedy is None:
        return None
    if code in _PLACES:
        remedy += ", or put the study elsewhere (config key root)"
    named = path if path is not None else getattr(error, "filename", None)
    what = "a file" if named is None else os.fsdecode(named)
    done = "cannot be written" if path is not None else "cannot be opened or written"
    free = _free(Path(what)) if named is not None and code == errno.ENOSPC else ""
    return StorageError(f"{what} {done} ({os.strerror(code)}{free}): {remedy}; {_AGAIN}")


def check_reading(error: BaseException, path: str | os.PathLike[str]) -> None:
    """Raise ``StorageError`` where ``path`` is not read for want of rights, memory or a sound disk.

    Such a file is not to be deleted.
    """
    if isinstance(error, MemoryError):
        told = "memory is short", "give the job more, or end other programs"
    elif isinstance(error, OSError) and error.errno in REMEDIES:
        told = os.strerror(error.errno), REMEDIES[error.errno]
    else:
        return
    raise StorageError(f"{path} cannot be read ({told[0]}): {told[1]}; {_AGAIN}") from error


def check(folder: str | os.PathLike[str], elsewhere: str) -> None:
    """Try whether files can be made in ``folder``, or above it where it is not there yet.

    elsewhere: how the user takes another folder, for the message.

    Raises:
        StorageError: no, by rights or by the disk.
    """
    path = Path(folder).absolute()
    there = next(place for place in (path, *path.parents) if place.exists())
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(bytes(2**16))
            file.flush()
    except OSError as error:
        remedy = (REMEDIES | IN_THE_WAY).get(error.errno, "see that it is a folder on a sound disk")
        raise StorageError(
            f"no file can be made in {there} ({error.strerror}): {remedy}, or {elsewhere}; {_AGAIN}"
        ) from error


def check_project() -> None:
    """Whether Snakemake can keep its notes in the working directory.

    Where it cannot, it ends in a traceback, and makes what it could not note again.
    """
    check(".snakemake", "run in a copy of the project elsewhere")


def check_study(root: str) -> None:
    """Whether a study with this root can run: its folder, logs and temporary files.

    A job whose log or benchmark cannot be written has its results thrown away at its end.
    """
    for folder in (root, f"{root}/logs", f"{root}/benchmarks"):
        check(folder, "put the study elsewhere (config key root)")
    # Not tempfile's choice, which passes by a folder that is full: others do not.
    named = next(filter(None, map(os.environ.get, ("TMPDIR", "TEMP", "TMP"))), "/tmp")
    check(named, "set TMPDIR to another folder")


@contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn what keeps ``path`` from being written into a ``StorageError`` that names it.

    A file elsewhere that the block reads is named instead.
    """
    try:
        yield
    except Exception as error:
        if (told := explained(error, path if _concerns(error, Path(path)) else None)) is None:
            raise
        raise told from error


def _concerns(error: Exception, path: Path) -> bool:
    """Whether an error is of ``path``, of what lies beside it, or of a folder on the way."""
    if getattr(error, "filename", None) is None:
        return True
    named, target = (Path(os.fsdecode(name)).absolute() for name in (error.filename, path))
    return target.parent in (named, *named.parents) or named in target.parents


def _free(path: Path) -> str:
    """How full the disk of ``path`` is, which may be out of files before it is out of bytes."""
    try:
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        # What was half-written is removed by now, and its few files are free again.
        if (usage := os.statvfs(folder)).f_files and usage.f_favail < 16:
            return f", too many files on the disk of {folder}"
        left = shutil.disk_usage(folder).free
    except OSError:
        return ""
    return f", {left / 2**20:.1f} MiB left on the disk of {folder}"
