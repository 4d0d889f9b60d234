"""Asymmetric numeral systems (Duda, 2013) by the library ``constriction``.

What Huffman's whole bits leave on the table. Frequencies are whole numbers of which the file says
what they add up to, 2^precision, so that a reader computes with what the writer had: the share of
all symbols before symbol i of A, whose frequencies sum to c, is ⌊c · (2^24 − A) / 2^precision⌋ + i
in units of 2^−24. The string is little-endian words of 32 bits; the last is the top of the stack,
and the state has two. A test decodes it so, without the library.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from laq.utils.errors import DataError

# Of the frequencies in a table; which is best depends on how much there is to code.
PRECISIONS = (8, 10, 12, 14, 16)
# Symbols that a byte may hold, so that a size that cannot be is seen: the others go to Huffman.
DENSEST = 16

Symbols = NDArray[np.uint16]


def frequencies(counts: NDArray[np.int64], precision: int) -> NDArray[np.int64]:
    """``counts`` (A,) scaled to whole numbers of the sum 2^precision, none that occurs to 0."""
    total, whole = int(counts.sum()), 1 << precision
    scaled = counts * whole
    found = np.where(counts > 0, np.maximum(scaled // total, 1), 0)
    missing = whole - int(found.sum())
    if missing > 0:  # by the largest remainders
        rest = np.where(scaled // total > 0, scaled % total, -1)
        found[np.argsort(-rest, kind="stable")[:missing]] += 1
    for _ in range(-missing):  # where it matters least
        found[found.argmax()] -= 1
    return found


def encode(symbols: Symbols, alphabet: int) -> tuple[bytes, bytes] | None:
    """Table and string of ``symbols`` (n,), all below ``alphabet``; None where ANS is not for them.

    The table is the precision and the frequencies of the alphabet, as numbers of 7 bits a byte,
    lowest first, all bytes of a number but its last with the highest bit set. ANS is not for fewer
    than two symbols that occur, nor for so few bits that nobody could tell how many there are.
    """
    counts = np.bincount(symbols, minlength=alphabet)
    if np.count_nonzero(counts) < 2:
        return None
    table = min((_table(counts, precision) for precision in PRECISIONS), key=lambda t: t[0])[1]
    coder = _coder()
    coder.encode_reverse(symbols.astype(np.int32), _model(*_read(table, alphabet)))
    string = coder.get_compressed().astype("<u4").tobytes()
    return (table, string) if _plausible(len(symbols), string) else None


def decode(table: bytes, string: bytes, count: int, alphabet: int) -> Symbols:
    """The ``count`` symbols that ``encode`` was given.

    Raises ``DataError`` for what it cannot have written, before it takes memory for them.
    """
    if len(string) % 4 or not _plausible(count, string):
        raise DataError(f"{count} symbols in {len(string)} bytes")
    found, precision = _read(table, alphabet)
    words = np.frombuffer(string, dtype="<u4").astype(np.uint32)
    if not words.size or words[-1] == 0:
        raise DataError("a stack without a top")
    coder = _coder(words)
    symbols = coder.decode(_model(found, precision), count)
    if not coder.is_empty():
        raise DataError(f"more than {count} symbols in {len(string)} bytes")
    return symbols.astype(np.uint16)


def _plausible(count: int, string: bytes) -> bool:
    return count <= DENSEST * len(string)


def _coder(*words: NDArray[np.uint32]) -> Any:
    import constriction

    return constriction.stream.stack.AnsCoder(*words)


def _model(found: NDArray[np.int64], precision: int) -> Any:
    """Exact in double precision, and so the same everywhere: all are multiples of 2^−precision."""
    import constriction

    return constriction.stream.model.Categorical(found / (1 << precision), perfect=False)


def _table(counts: NDArray[np.int64], precision: int) -> tuple[float, bytes]:
    """Bits of the table and of all symbols with it; infinitely many where it is too coarse."""
    if np.count_nonzero(counts) > 1 << precision:
        return np.inf, b""
    found = frequencies(counts, precision)
    table = bytearray([precision])
    for number in found.tolist():
        while number > 127:
            table.append(number & 127 | 128)
            number >>= 7
        table.append(number)
    used = counts > 0
    bits = float((counts[used] * (precision - np.log2(found[used]))).sum())
    return 8 * len(table) + bits, bytes(table)


def _read(table: bytes, alphabet: int) -> tuple[NDArray[np.int64], int]:
    """Frequencies (A,) and precision. Raises ``DataError`` for another table."""
    precision = table[0] if table else 0
    numbers, number, shift = [], 0, 0
    for octet in table[1:]:
        number |= (octet & 127) << shift
        shift += 7
        if octet < 128:
            numbers.append(number)
            number = shift = 0
    if precision not in PRECISIONS or len(numbers) != alphabet or shift:
        raise DataError(f"frequencies of {len(numbers)} symbols, not of {alphabet}")
    if sum(numbers) != 1 << precision or sum(number > 0 for number in numbers) < 2:
        raise DataError(f"frequencies that do not add up to 2^{precision}")
    return np.array(numbers, dtype=np.int64), precision
