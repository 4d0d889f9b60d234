"""Asymmetric numeral systems (Duda, 2013) by the library ``constriction``.

It saves what Huffman's codes lose by having whole bits. Frequencies are whole numbers that add up
to 2^precision. The precision is in the file, so that a reader computes with the writer's numbers.
The share of all symbols before symbol i of A, whose frequencies sum to c, is
⌊c · (2^24 − A) / 2^precision⌋ + i in units of 2^−24. The string is little-endian words of 32 bits.
The last word is the top of the stack, and the state has two words. A test decodes the string so,
without the library.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from laq.utils.errors import DataError

# Precisions of the frequencies in a table. The best depends on how many symbols there are.
PRECISIONS = (8, 10, 12, 14, 16)
# Most symbols a byte, so that a reader can refuse an impossible size. Denser strings go to Huffman.
DENSEST = 16

Symbols = NDArray[np.uint16]


def frequencies(counts: NDArray[np.int64], precision: int) -> NDArray[np.int64]:
    """``counts`` (A,) as whole numbers of the sum 2^precision, at least 1 for each that occurs."""
    total, target = int(counts.sum()), 1 << precision
    scaled = counts * target
    freqs = np.where(counts > 0, np.maximum(scaled // total, 1), 0)
    missing = target - int(freqs.sum())
    if missing > 0:  # by the largest remainders
        remainders = np.where(scaled // total > 0, scaled % total, -1)
        freqs[np.argsort(-remainders, kind="stable")[:missing]] += 1
    for _ in range(-missing):  # where it matters least
        freqs[freqs.argmax()] -= 1
    return freqs


def encode(symbols: Symbols, alphabet: int) -> tuple[bytes, bytes] | None:
    """Table and string of ``symbols`` (n,), all below ``alphabet``; None where ANS does not apply.

    The table is the precision and the frequencies of the alphabet, as numbers of 7 bits a byte,
    lowest first. All bytes of a number but its last have the highest bit set. ANS does not apply to
    fewer than two symbols that occur, nor to strings with more than ``DENSEST`` symbols a byte.
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

    Raises ``DataError`` for what it cannot have written, before memory is taken for the symbols.
    """
    if len(string) % 4 or not _plausible(count, string):
        raise DataError(f"{count} symbols in {len(string)} bytes")
    freqs, precision = _read(table, alphabet)
    words = np.frombuffer(string, dtype="<u4").astype(np.uint32)
    if not words.size or words[-1] == 0:
        raise DataError("a stack without a top")
    coder = _coder(words)
    symbols = coder.decode(_model(freqs, precision), count)
    if not coder.is_empty():
        raise DataError(f"more than {count} symbols in {len(string)} bytes")
    return symbols.astype(np.uint16)


def _plausible(count: int, string: bytes) -> bool:
    return count <= DENSEST * len(string)


def _coder(*words: NDArray[np.uint32]) -> Any:
    import constriction

    return constriction.stream.stack.AnsCoder(*words)


def _model(found: NDArray[np.int64], precision: int) -> Any:
    """The library's model. Its probabilities, multiples of 2^−precision, are exact in float64."""
    import constriction

    return constriction.stream.model.Categorical(found / (1 << precision), perfect=False)


def _table(counts: NDArray[np.int64], precision: int) -> tuple[float, bytes]:
    """Bits of table and symbols, and the table; infinitely many where the precision is too low."""
    if np.count_nonzero(counts) > 1 << precision:
        return np.inf, b""
    freqs = frequencies(counts, precision)
    table = bytearray([precision])
    for number in freqs.tolist():
        while number > 127:
            table.append(number & 127 | 128)
            number >>= 7
        table.append(number)
    nonzero = counts > 0
    bits = float((counts[nonzero] * (precision - np.log2(freqs[nonzero]))).sum())
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
