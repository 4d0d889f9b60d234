"""IDX, the format of MNIST's files: a magic number, the lengths of all axes, and the values.

http://yann.lecun.com/exdb/mnist/ describes it; numbers are big-endian. Only unsigned bytes are
read, the type of every file of MNIST's kind.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from laq.utils.errors import DataError

# Bytes of a file's content; of the official ones the largest has 47 million. A few kilobytes of
# gzip may unpack to any number.
LARGEST = 2**30

_UNSIGNED_BYTES = 0x08
_MOST = {1: "labels", 3: "images"}


def content(path: Path) -> bytes:
    """What a file holds, unpacked where it is gzipped, by its first bytes and not its name.

    Raises ``DataError`` for a damaged gzip file or one of more than ``LARGEST`` bytes, ``OSError``
    for one that cannot be read.
    """
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    try:
        with (gzip.open if zipped else open)(path, "rb") as file:
            found = file.read(LARGEST + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(
            f"{path} is cut short or damaged ({error}): delete it and fetch it anew"
        ) from error
    if len(found) > LARGEST:
        raise DataError(f"{path} holds more than {LARGEST:,} bytes: take the official file")
    return found


def parse(found: bytes, axes: int, path: Path) -> np.ndarray:
    """The array in an IDX file's content: uint8 with so many axes, 1 of labels and 3 of images.

    path: the file's, for messages. Raises ``DataError`` for anything else, and for content that is
    shorter or longer than it says.
    """
    expected = struct.pack(">HBB", 0, _UNSIGNED_BYTES, axes)
    start = 4 * (1 + axes)
    if found[:4] != expected:
        raise DataError(
            f"{path} begins with {found[:4].hex() or 'nothing'}, and an IDX file of {_MOST[axes]} "
            f"with {expected.hex()}: {_meant(found[:4], path)}"
        )
    if len(found) < start:
        raise DataError(f"{path} is cut short in its header: delete it and fetch it anew")
    shape = struct.unpack(f">{axes}I", found[4:start])
    if len(found) - start != math.prod(shape):
        what = " × ".join(f"{length:,}" for length in shape)
        raise DataError(
            f"{path} says that it has {what} values, and has {len(found) - start:,}: it was cut "
            "short or altered; delete it and fetch it anew"
        )
    return np.frombuffer(found, np.uint8, offset=start).reshape(shape)


def _meant(magic: bytes, path: Path) -> str:
    other = next(
        (what for axes, what in _MOST.items() if magic == struct.pack(">HBB", 0, 8, axes)), None
    )
    if other is not None:
        return f"it holds {other}; give each file its own name back"
    return (
        f"delete it and fetch it anew, or, if {path.name} is of another format, take image_folder"
    )
