"""Symbols of one width, the baseline of the entropy coders. The highest bit is first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from laq.utils.errors import DataError

Symbols = NDArray[np.uint16]


def width(alphabet: int) -> int:
    """Bits of a symbol, ⌈log₂ alphabet⌉ and at least 1."""
    return max(1, (alphabet - 1).bit_length())


def encode(symbols: Symbols, alphabet: int) -> tuple[bytes, bytes]:
    """No table, and the bit string of ``symbols`` (n,), all below ``alphabet``."""
    octets = symbols.astype(">u2").view(np.uint8).reshape(-1, 2)
    bits = np.unpackbits(octets, axis=1)[:, 16 - width(alphabet) :]
    return b"", np.packbits(bits).tobytes()


def decode(table: bytes, string: bytes, count: int, alphabet: int) -> Symbols:
    """The ``count`` symbols that ``encode`` was given. Raises ``DataError`` for another string."""
    symbol_bits = width(alphabet)
    if table or len(string) != -(-count * symbol_bits // 8):
        raise DataError(f"{count} symbols of {symbol_bits} bits in {len(string)} bytes")
    bits = np.unpackbits(np.frombuffer(string, dtype=np.uint8), count=count * symbol_bits)
    padded = np.zeros((count, 16), dtype=np.uint8)
    padded[:, 16 - symbol_bits :] = bits.reshape(count, symbol_bits)
    symbols = np.packbits(padded, axis=1).view(">u2")[:, 0].astype(np.uint16)
    if count and int(symbols.max()) >= alphabet:
        raise DataError(f"symbol {symbols.max()} of {alphabet}")
    return symbols
