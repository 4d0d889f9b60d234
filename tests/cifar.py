"""Archives in the exact format of CIFAR-10 and CIFAR-100, with other images.

As the official ones: gzipped tar, pickles of protocol 2 as Python 2 wrote them (text and
pixels as byte strings, NumPy by its old names), all members and all their keys.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import struct
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from laq.data.cifar import CIFAR10, CIFAR100, SUPERCLASSES

FOLDERS = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}
ARCHIVES = {"cifar10": "cifar-10-python.tar.gz", "cifar100": "cifar-100-python.tar.gz"}


def write_archive(
    path: Path, kind: str, train_per_class: int, test_per_class: int, seed: int
) -> str:
    """Write an archive of ``cifar10`` or ``cifar100`` and return its md5.

    Each class is a coarse pattern of colours under noise, so that a network can learn it. The
    same arguments give the same bytes. CIFAR-10 spreads its training images over five batches.
    """
    return pack(path, FOLDERS[kind], members(kind, train_per_class, test_per_class, seed))


def members(kind: str, train_per_class: int, test_per_class: int, seed: int) -> dict[str, bytes]:
    """Every member's name and content, in the archive's order."""
    rng = np.random.default_rng(seed)
    classes = CIFAR10 if kind == "cifar10" else CIFAR100
    patterns = rng.integers(40, 216, (len(classes), 3, 4, 4)).repeat(8, axis=2).repeat(8, axis=3)

    def draw(per_class: int) -> tuple[np.ndarray, list[int]]:
        labels = rng.permutation(np.arange(len(classes)).repeat(per_class))
        noise = rng.normal(scale=20, size=(len(labels), 3, 32, 32))
        images = np.clip(patterns[labels] + noise, 0, 255).astype(np.uint8)
        return images.reshape(len(labels), -1), labels.tolist()

    def named(labels: list[int]) -> list[str]:
        return [f"{classes[label]}_s_{i:06d}.png" for i, label in enumerate(labels)]

    train, test = draw(train_per_class), draw(test_per_class)
    if kind == "cifar100":
        coarse = [next(i for i, c in enumerate(SUPERCLASSES.values()) if n in c) for n in CIFAR100]
        contents: dict[str, Any] = {
            name: {
                "filenames": named(labels),
                "batch_label": f"{name}ing batch 1 of 1",
                "fine_labels": labels,
                "coarse_labels": [coarse[label] for label in labels],
                "data": data,
            }
            for name, (data, labels) in (("train", train), ("test", test))
        }
        names = {"fine_label_names": list(classes), "coarse_label_names": list(SUPERCLASSES)}
        contents["meta"] = names
        extra = {"file.txt~": b"left by an editor\n"}
    else:
        parts = np.array_split(np.arange(len(train[1])), 5)
        contents = {
            f"data_batch_{i}": {
                "batch_label": f"training batch {i} of 5",
                "labels": [train[1][j] for j in part],
                "data": train[0][part],
                "filenames": named([train[1][j] for j in part]),
            }
            for i, part in enumerate(parts, 1)
        }
        contents["test_batch"] = {
            "batch_label": "testing batch 1 of 1",
            "labels": test[1],
            "data": test[0],
            "filenames": named(test[1]),
        }
        contents["batches.meta"] = {
            "num_cases_per_batch": len(parts[0]),
            "label_names": list(classes),
            "num_vis": 3072,
        }
        extra = {"readme.html": b"<html></html>\n"}
    return extra | {name: python2_pickle(content) for name, content in contents.items()}


def pack(path: Path, folder: str, contents: Mapping[str, bytes]) -> str:
    """Write members below a folder as a gzipped tar archive, without a clock; return its md5."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        top = tarfile.TarInfo(folder)
        top.type, top.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(top)
        for name, content in contents.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    path.write_bytes(gzip.compress(raw.getvalue(), compresslevel=1, mtime=0))
    return hashlib.md5(path.read_bytes()).hexdigest()


def python2_pickle(content: Any) -> bytes:
    """``content`` as Python 2's cPickle writes it with protocol 2."""
    file = io.BytesIO()
    _Python2Pickler(file, protocol=2).dump(content)
    return file.getvalue()


class _Python2Pickler(pickle._Pickler):
    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def save_string(self, value: str | bytes) -> None:
        raw = value.encode("latin1") if isinstance(value, str) else value
        short = len(raw) < 256
        self.write(b"U" + bytes([len(raw)]) if short else b"T" + struct.pack("<i", len(raw)))
        self.write(raw)
        self.memoize(value)

    dispatch[str] = dispatch[bytes] = save_string

    def save_global(self, value: Any, name: str | None = None) -> None:
        if getattr(value, "__name__", "") == "_reconstruct":
            self.write(b"cnumpy.core.multiarray\n_reconstruct\n")
            self.memoize(value)
        else:
            super().save_global(value, name)
