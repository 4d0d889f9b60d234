"""Errors of the disk as messages for the user: which file, why, and what to do."""

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

# Temporary folders. What a killed process leaves, the next process removes.


@contextmanager
def folder(place: Path, name: str) -> Iterator[Path]:
    """An empty folder ``name.xxxxxxxx`` in ``place``, removed at the end of the block.

    Folders of that name whose processes have ended are removed first.
    """
    sweep(place, name)
    path, handle = _own(place, name)
    try:
        yield Path(path)
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(handle)


def sweep(place: Path, name: str) -> None:
    """Remove the folders ``name.xxxxxxxx`` in ``place`` that killed processes left."""
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
    """A new folder and the handle that locks it.

    The system releases the lock when the process ends, however it ends.
    """
    while True:
        path = tempfile.mkdtemp(dir=place, prefix=f"{name}.")
        with suppress(FileNotFoundError):
            handle = os.open(path, os.O_RDONLY)
            # The sweep of another process may have come before the lock.
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
    except (ImportError, OSError):  # as on NFS: nothing says whether its process lives
        return None
    return True


_RIGHTS = "give this account the right to read and write there (chmod, chown)"
_AGAIN = "run again; work that is finished is kept"

# Remedies by error number, for errors that the user can mend. All others are defects of this
# project.
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

# Remedies for a file that was to be written. With other files these errors are defects.
IN_THE_WAY = {
    errno.ENOTDIR: "a file lies where a folder is to be: move it away",
    errno.EEXIST: "a file lies where a folder is to be: move it away",
    errno.EISDIR: "a folder lies where the file is to be: move it away",
}

# Errors that another disk may not have.
_PLACES = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}

# Rust libraries, such as safetensors, raise errors of their own whose text ends like this.
_RUST = re.compile(r"\(os error (\d+)\)")


def number(error: BaseException) -> int | None:
    """The error number (``errno``) of an error from any library, or None."""
    if isinstance(error, OSError):
        return error.errno
    match = _RUST.search(str(error))
    return int(match[1]) if match else None


def explained(
    error: BaseException, path: str | os.PathLike[str] | None = None
) -> StorageError | None:
    """The message for the user, or None where the user cannot mend ``error``.

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
    file = path if path is not None else getattr(error, "filename", None)
    subject = "a file" if file is None else os.fsdecode(file)
    fault = "cannot be written" if path is not None else "cannot be opened or written"
    space = _free(Path(subject)) if file is not None and code == errno.ENOSPC else ""
    return StorageError(f"{subject} {fault} ({os.strerror(code)}{space}): {remedy}; {_AGAIN}")


def check_reading(error: BaseException, path: str | os.PathLike[str]) -> None:
    """Raise ``StorageError`` if ``path`` is not read for lack of rights, memory or a sound disk.

    The file itself may be sound, so the message does not say to delete it.
    """
    if isinstance(error, MemoryError):
        reason = "memory is short", "give the job more, or end other programs"
    elif isinstance(error, OSError) and error.errno in REMEDIES:
        reason = os.strerror(error.errno), REMEDIES[error.errno]
    else:
        return
    raise StorageError(f"{path} cannot be read ({reason[0]}): {reason[1]}; {_AGAIN}") from error


def check(folder: str | os.PathLike[str], elsewhere: str) -> None:
    """Check that files can be made in ``folder``, or in its nearest parent that exists.

    elsewhere: how the user chooses another folder, for the message.

    Raises:
        StorageError: rights or the disk do not allow it.
    """
    path = Path(folder).absolute()
    base = next(candidate for candidate in (path, *path.parents) if candidate.exists())
    try:
        with tempfile.TemporaryFile(dir=base) as file:
            file.write(bytes(2**16))
            file.flush()
    except OSError as error:
        remedy = (REMEDIES | IN_THE_WAY).get(error.errno, "see that it is a folder on a sound disk")
        raise StorageError(
            f"no file can be made in {base} ({error.strerror}): {remedy}, or {elsewhere}; {_AGAIN}"
        ) from error


def check_project() -> None:
    """Check that Snakemake can keep its records in the working directory.

    Where it cannot, it ends in a traceback, and repeats the jobs that it could not record.
    """
    check(".snakemake", "run in a copy of the project elsewhere")


def check_study(root: str) -> None:
    """Check that a study with this root can run: its folder, logs and temporary files.

    Snakemake discards a job's results at its end where its log or benchmark cannot be written.
    """
    for folder in (root, f"{root}/logs", f"{root}/benchmarks"):
        check(folder, "put the study elsewhere (config key root)")
    # tempfile would skip a full folder. Other programs do not.
    temp_folder = next(filter(None, map(os.environ.get, ("TMPDIR", "TEMP", "TMP"))), "/tmp")
    check(temp_folder, "set TMPDIR to another folder")


@contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn an error that keeps ``path`` from being written into a ``StorageError`` that names it.

    Where the error is of another file, which the block reads, the message names that file.
    """
    try:
        yield
    except Exception as error:
        if (failure := explained(error, path if _concerns(error, Path(path)) else None)) is None:
            raise
        raise failure from error


def _concerns(error: Exception, path: Path) -> bool:
    """Whether an error is of ``path``, of a file beside it, or of a folder above it."""
    if getattr(error, "filename", None) is None:
        return True
    source, target = (Path(os.fsdecode(name)).absolute() for name in (error.filename, path))
    return target.parent in (source, *source.parents) or source in target.parents


def _free(path: Path) -> str:
    """The free space on the disk of ``path``, as the end of a phrase.

    A disk may run out of files before it runs out of bytes.
    """
    try:
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        # The half-written files are removed by now, and count as free again.
        if (usage := os.statvfs(folder)).f_files and usage.f_favail < 16:
            return f", too many files on the disk of {folder}"
        free_bytes = shutil.disk_usage(folder).free
    except OSError:
        return ""
    return f", {free_bytes / 2**20:.1f} MiB left on the disk of {folder}"
