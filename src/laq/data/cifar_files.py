"""The published files of CIFAR: found, fetched, verified, and read without extracting.

URLs, checksums and the members' names are those of torchvision, which is slow to import and so
is imported here by the job alone.
"""

from __future__ import annotations

import hashlib
import posixpath
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from laq.utils import downloads
from laq.utils.errors import DataError

# Bytes of a member; of the official ones the largest has 155 million. A few kilobytes of an
# archive may unpack to any number.
LARGEST = 2**30


@dataclass(frozen=True)
class Official:
    """What the data set's authors published, by torchvision's account."""

    url: str
    archive: str
    md5: str
    folder: str
    train: Mapping[str, str]  # member to md5
    test: Mapping[str, str]
    meta: Mapping[str, str]

    @property
    def members(self) -> dict[str, str]:
        return {**self.train, **self.test, **self.meta}


def official(kind: str) -> Official:
    """The files of ``cifar10`` or ``cifar100``."""
    from torchvision import datasets

    known = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[kind]
    return Official(
        known.url,
        known.filename,
        known.tgz_md5,
        known.base_folder,
        dict(known.train_list),
        dict(known.test_list),
        {known.meta["filename"]: known.meta["md5"]},
    )


def read(settings: Mapping[str, Any], files: Official) -> tuple[Path, dict[str, bytes]]:
    """The archive or folder at ``path``, and its members' contents, verified.

    settings: ``path``, ``md5`` (None for the official files), ``download``: fetch the archive
    where nothing is there. Raises ``DataError`` naming the file, what is wrong, and the remedy.
    """
    path = Path(settings["path"])
    try:
        path = path.expanduser()
        found = locate(path, files)
        if found is None:
            found = _target(path, files)
            _fetch(found, settings, files)
        if found.is_dir():
            return found, _from_folder(found, settings["md5"], files)
        return found, _from_archive(found, settings["md5"], files)
    # RuntimeError: ~someone whom nobody knows; ValueError: a name that no system takes.
    except (OSError, RuntimeError, ValueError) as error:
        raise DataError(f"{path.absolute()} cannot be read or written: {error}") from error


def locate(path: Path, files: Official) -> Path | None:
    """The archive or the folder of members that ``path`` is or holds; None where none is."""
    if path.is_file():
        return path
    candidates = (path / files.archive, path / files.folder)
    if any((path / name).exists() for name in files.members):
        return path
    return next((candidate for candidate in candidates if candidate.exists()), None)


def _target(path: Path, files: Official) -> Path:
    """Where the archive belongs: ``path`` itself where it has an archive's name."""
    return path if path.name.endswith((".tar.gz", ".tgz")) else path / files.archive


def _fetch(target: Path, settings: Mapping[str, Any], files: Official) -> None:
    """Download the official archive: ``target`` appears whole and verified or not at all."""
    if not settings["download"]:
        raise DataError(
            f"neither {target.absolute()} nor a folder {files.folder} is there: set "
            f"dataset.download: true, or fetch {files.url} and put it at {target.absolute()}"
        )
    if settings["md5"] not in (None, files.md5):
        raise DataError(
            f"there is no file at {target.absolute()}, and dataset.md5 is not the official "
            f"archive's ({files.md5}), the one that can be downloaded: put your archive there, "
            "or leave dataset.md5 out"
        )
    downloads.fetch([files.url], target, files.md5, "the archive")


def _from_archive(archive: Path, md5: str | None, files: Official) -> dict[str, bytes]:
    """Members of a tar archive whose md5 is right, read in memory."""
    from torchvision.datasets.utils import calculate_md5

    _verify(archive, calculate_md5(archive), md5, files.md5, files)
    contents = {}
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                folder, name = posixpath.split(posixpath.normpath(member.name))
                if folder == files.folder and name in files.members and member.isfile():
                    if member.size > LARGEST:
                        raise DataError(
                            f"{name} in {archive} is of {member.size:,} bytes, where the largest "
                            f"has {LARGEST:,} at most: take the official files"
                        )
                    contents[name] = tar.extractfile(member).read()
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise DataError(f"{archive} is no readable tar archive: {error}") from error
    _complete(contents, f"{archive} has no {files.folder}/", files)
    return contents


def _from_folder(folder: Path, md5: str | None, files: Official) -> dict[str, bytes]:
    """Members in a folder, each of the official md5, or all in a row of the one given."""
    there = [name for name in files.members if (folder / name).is_file()]
    _complete(there, f"{folder} lacks ", files)
    contents = {name: (folder / name).read_bytes() for name in there}
    if md5 is None:
        for name, expected in files.members.items():
            if (found := _md5(contents[name])) != expected:
                raise DataError(
                    f"{folder / name} is not the official file: its md5 is {found}, not "
                    f"{expected}. If it is damaged, take the folder away and {_again(files)}; if "
                    f"these are files of your own, set dataset.md5: {_of_all(contents, files)}"
                )
    else:
        _verify(folder, _of_all(contents, files), md5, "", files)
    return contents


def _verify(path: Path, found: str, md5: str | None, expected: str, files: Official) -> None:
    if md5 is None and found != expected:
        raise DataError(
            f"{path} is not the official archive: its md5 is {found}, not {expected}. If it is "
            f"cut short or damaged, delete it and {_again(files)}; if it is an archive of your "
            f"own, set dataset.md5: {found}"
        )
    if md5 is not None and found != md5.lower():
        raise DataError(
            f"the md5 of {path} is {found}, and dataset.md5 says {md5}: if the file is as you "
            "mean it, write the former, else bring the file that you mean; without dataset.md5 "
            "the official one is expected"
        )


def _complete(there: Any, lacking: str, files: Official) -> None:
    if missing := [name for name in files.members if name not in there]:
        raise DataError(
            f"{lacking}{', '.join(missing)}: take all members, {', '.join(files.members)}, "
            f"or take it away and {_again(files)}"
        )


def _again(files: Official) -> str:
    return f"fetch {files.url} anew (dataset.download: true does so where nothing is there)"


def _of_all(contents: Mapping[str, bytes], files: Official) -> str:
    """What ``cat`` of all members, in the official order, through ``md5sum`` gives."""
    return _md5(b"".join(contents[name] for name in files.members))


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
