"""Integer codes as a tight string of bits.

A code of ``width`` bits is stored in two's complement, so that it ranges over
−2^(width − 1) … 2^(width − 1) − 1 and 0 is all zero bits. Bits are little-endian throughout:
code i takes the bits i·width … (i + 1)·width − 1 of the string, its lowest bit first, and bit j
of the string is bit j mod 8 of byte ⌊j / 8⌋. The last byte is filled up with zeros.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from laq.utils.errors import DataError

# Eight codes fill exactly ``width`` bytes, so groups of eight are independent of each other.
_GROUP = 8
# Codes handled at a time: the working memory is a few MB whatever the number of codes.
_CHUNK = _GROUP * 2**14


def packed_size(count: int, width: int) -> int:
    """Bytes that ``count`` codes of ``width`` bits take."""
    return -(-count * width // 8)


def pack(codes: Tensor | np.ndarray, width: int) -> Tensor:
    """Pack integer ``codes`` of any shape, row-major, into a uint8 tensor (⌈n·width/8⌉,).

    Raises ``DataError`` if ``width`` is outside 1…64, the codes are not integers, or one
    does not fit ``width`` bits.
    """
    word, flat = _word(width), _flat(codes)
    if flat.size:
        low, high, limit = int(flat.min()), int(flat.max()), 2 ** (width - 1)
        if low < -limit or high >= limit:
            raise DataError(
                f"codes from {low} to {high} do not fit {width} bits ({-limit} to {limit - 1})"
            )

    packed = np.empty(packed_size(flat.size, width), dtype=np.uint8)
    for first in range(0, flat.size, _CHUNK):
        chunk = flat[first : first + _CHUNK].astype(word)  # keeps the low bits of negative codes
        chunk &= word(2**width - 1)
        groups = _in_groups(chunk, _GROUP)  # (8, n): row i has code i of each group
        octets = np.zeros((width, groups.shape[1]), dtype=np.uint8)
        for code, octet, shift in _overlaps(width):
            octets[octet] |= _shifted(groups[code], shift).astype(np.uint8)
        target = packed[first // 8 * width :][: octets.size]
        target[:] = octets.T.reshape(-1)[: target.size]
    return torch.from_numpy(packed)


def unpack(packed: Tensor | np.ndarray, count: int, width: int) -> Tensor:
    """Give back the ``count`` codes of ``width`` bits that ``pack`` stored, (count,).

    Their type is the smallest that holds them: int8 up to 8 bits, int16 up to 16, and so on.
    Raises ``DataError`` if ``packed`` is not uint8 (⌈count·width/8⌉,).
    """
    word = _word(width)
    flat = np.asarray(packed.detach().cpu() if isinstance(packed, Tensor) else packed)
    size = packed_size(count, width)
    if flat.dtype != np.uint8 or flat.shape != (size,):
        raise DataError(
            f"{count} codes of {width} bits take {size} bytes, "
            f"got {flat.dtype} of shape {flat.shape}"
        )

    codes = np.empty(count, dtype=word)
    mask, sign = word(2**width - 1), word(2 ** (width - 1))
    for first in range(0, count, _CHUNK):
        chunk = flat[first // 8 * width :][: _CHUNK // 8 * width]
        octets = _in_groups(chunk, width).astype(word)  # (width, n)
        groups = np.zeros((_GROUP, octets.shape[1]), dtype=word)
        for code, octet, shift in _overlaps(width):
            groups[code] |= _shifted(octets[octet], -shift)
        groups &= mask
        groups ^= sign  # flipping the sign bit and subtracting it extends the sign to the word
        groups -= sign
        target = codes[first : first + _CHUNK]
        target[:] = groups.T.reshape(-1)[: target.size]
    return torch.from_numpy(codes.view(f"i{codes.itemsize}"))


def _flat(codes: Tensor | np.ndarray) -> np.ndarray:
    flat = np.asarray(codes.detach().cpu() if isinstance(codes, Tensor) else codes).reshape(-1)
    if not np.can_cast(flat.dtype, np.int64) or flat.dtype == bool:
        raise DataError(f"codes must be integers that int64 holds, got {flat.dtype}")
    return flat


def _word(width: int) -> type[np.unsignedinteger]:
    """The smallest unsigned integer that holds ``width`` bits."""
    if not 1 <= width <= 64:
        raise DataError(f"width is {width}: a code takes 1 to 64 bits")
    words = (np.uint8, np.uint16, np.uint32, np.uint64)
    return next(word for word in words if width <= np.iinfo(word).bits)


def _overlaps(width: int) -> Iterator[tuple[int, int, int]]:
    """Which of 8 codes share bits with which of ``width`` bytes: (code, byte, left shift)."""
    for code in range(_GROUP):
        bit = code * width
        for octet in range(bit // 8, (bit + width - 1) // 8 + 1):
            yield code, octet, bit - 8 * octet


def _shifted(values: np.ndarray, left: int) -> np.ndarray:
    """``values`` shifted within the word. Bits that leave it belong to another byte or code."""
    shift = values.dtype.type(abs(left))
    return values << shift if left >= 0 else values >> shift


def _in_groups(values: np.ndarray, size: int) -> np.ndarray:
    """``values`` (n,) as contiguous (size, ⌈n/size⌉). The last group is padded with zeros."""
    count = -(-values.size // size)
    padded = np.zeros(count * size, dtype=values.dtype)
    padded[: values.size] = values
    return np.ascontiguousarray(padded.reshape(count, size).T)
