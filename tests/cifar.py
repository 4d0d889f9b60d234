"""Archives in the format of CIFAR-10 and CIFAR-100, with other images."""

from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torchvision

from laq.data.cifar import CIFAR10, CIFAR100, SUPERCLASSES

TORCHVISION = {"cifar10": torchvision.datasets.CIFAR10, "cifar100": torchvision.datasets.CIFAR100}


def write_archive(
    folder: Path, kind: str, train_per_class: int, test_per_class: int, seed: int
) -> dict[str, Any]:
    """Write an archive of ``cifar10`` or ``cifar100`` to a folder, under its published name.

    The same arguments give the same bytes. Returns the attributes of torchvision's class that make
    this archive the published one.
    """
    known = TORCHVISION[kind]
    contents = members(kind, train_per_class, test_per_class, seed)
    archive = pack(folder / known.filename, known.base_folder, contents)
    md5 = {name: hashlib.md5(content).hexdigest() for name, content in contents.items()}
    lists = {
        key: [[name, md5[name]] for name, _ in getattr(known, key)]
        for key in ("train_list", "test_list")
    }
    meta = {**known.meta, "md5": md5[known.meta["filename"]]}
    return {**lists, "meta": meta, "tgz_md5": hashlib.md5(archive.read_bytes()).hexdigest()}


def declare(checkout: Path, attributes: Mapping[str, Any]) -> None:
    """Have the library of a checkout take an archive for the published one."""
    with (checkout / "src/laq/data/cifar.py").open("a", encoding="utf-8") as file:
        file.write(f"""

_torchvision = _published


def _published(settings):
    known = _torchvision(settings)
    for name, value in {dict(attributes)!r}.items():
        setattr(known, name, value)
    return known
""")


def members(kind: str, train_per_class: int, test_per_class: int, seed: int) -> dict[str, bytes]:
    """Every member's name and content, in the archive's order.

    Each class is a coarse pattern of colours under noise, so that a network can learn it. CIFAR-10
    spreads its training images over five batches.
    """
    rng = np.random.default_rng(seed)
    classes = CIFAR10 if kind == "cifar10" else CIFAR100
    patterns = rng.integers(40, 216, (len(classes), 3, 4, 4)).repeat(8, axis=2).repeat(8, axis=3)

    def draw(per_class: int) -> tuple[np.ndarray, np.ndarray]:
        labels = rng.permutation(np.arange(len(classes)).repeat(per_class))
        noise = rng.normal(scale=20, size=(len(labels), 3, 32, 32))
        images = np.clip(patterns[labels] + noise, 0, 255).astype(np.uint8)
        return images.reshape(len(labels), -1), labels

    (train, train_labels), (test, test_labels) = draw(train_per_class), draw(test_per_class)
    if kind == "cifar100":
        contents: dict[str, Any] = {
            "train": {"data": train, "fine_labels": train_labels.tolist()},
            "test": {"data": test, "fine_labels": test_labels.tolist()},
            "meta": {"fine_label_names": [*classes], "coarse_label_names": [*SUPERCLASSES]},
        }
    else:
        contents = {
            f"data_batch_{number}": {"data": train[part], "labels": train_labels[part].tolist()}
            for number, part in enumerate(np.array_split(np.arange(len(train)), 5), 1)
        }
        contents["test_batch"] = {"data": test, "labels": test_labels.tolist()}
        contents["batches.meta"] = {"label_names": [*classes]}
    # Protocol 2, with NumPy's names of before 2.0, as in the published files.
    return {
        name: pickle.dumps(content, 2).replace(b"cnumpy._core.", b"cnumpy.core.")
        for name, content in contents.items()
    }


def pack(path: Path, folder: str, contents: Mapping[str, bytes]) -> Path:
    """Write members below a folder as a gzipped tar archive, without a clock."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    path.write_bytes(gzip.compress(raw.getvalue(), compresslevel=1, mtime=0))
    return path
