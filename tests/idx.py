"""Files in the exact format of MNIST, with other images."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np

NAMES = (
    *("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    *("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
)


def arrays(train: int, test: int, seed: int) -> dict[str, np.ndarray]:
    """Images and labels by file name, so many images of each of ten classes."""
    rng = np.random.default_rng(seed)
    made = {}
    for part, count in (("train", train), ("t10k", test)):
        labels = rng.permutation(np.arange(10, dtype=np.uint8).repeat(count))
        images = rng.integers(0, 256, (len(labels), 28, 28), np.uint8)
        made |= {f"{part}-images-idx3-ubyte": images, f"{part}-labels-idx1-ubyte": labels}
    return made


def encode(array: np.ndarray) -> bytes:
    """An array of unsigned bytes as IDX."""
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return header + array.tobytes()


def write(folder: Path, contents: Mapping[str, bytes], packed: bool) -> None:
    """Write files, gzipped or not."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content, mtime=0))
        else:
            (folder / name).write_bytes(content)
