"""Huffman's code (Huffman, 1952) in its canonical form: the lengths of the codewords determine it.

Codewords of one length are consecutive numbers in the order of their symbols, and shorter ones
come before longer ones (Schwartz & Kallick, 1964). The bit string has the highest bit of a
codeword first, and the highest bit of a byte. The last byte is padded with zeros. A symbol that is
alone has a codeword of one bit, so that a string has at least a bit a symbol. Lengths have no
limit: a codeword of 48 bits would take more than 10^10 symbols.

The loops run in plain Python for short strings, for which loading a compiler would take longer,
and are compiled for others. All of them are in this file: Numba's cache would not see a change in
another one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from laq.utils.errors import DataError

LONGEST = 48
# Codewords up to so many bits are looked up at once.
_LOOKUP = 12
# So many symbols take the plain loops some 30 ms.
_SHORT = 2**16

Symbols = NDArray[np.uint16]


def lengths(counts: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Bits of each symbol's codeword in an optimal code, 0 for symbols that do not occur.

    counts: (A,), how often each symbol occurs. Of the optimal codes it is the one whose longest
    codeword is shortest (van Leeuwen's two queues, leaves first).
    """
    symbols = np.flatnonzero(counts)
    code_lengths = np.zeros(len(counts), dtype=np.uint8)
    if len(symbols) == 1:
        code_lengths[symbols] = 1
    if len(symbols) < 2:
        return code_lengths
    order = symbols[np.argsort(counts[symbols], kind="stable")]
    leaves = counts[order].tolist()
    total = len(leaves)
    weights, parents = [], [0] * (2 * total - 1)  # inner nodes; parents of leaves and inner nodes
    leaf = inner = 0
    while len(weights) < total - 1:
        weight = 0
        for _ in range(2):
            if leaf < total and (inner == len(weights) or leaves[leaf] <= weights[inner]):
                weight, node, leaf = weight + leaves[leaf], leaf, leaf + 1
            else:
                weight, node, inner = weight + weights[inner], total + inner, inner + 1
            parents[node] = total + len(weights)
        weights.append(weight)
    depths = [0] * (2 * total - 1)
    for node in range(2 * total - 3, -1, -1):
        depths[node] = depths[parents[node]] + 1
    code_lengths[order] = depths[:total]
    return code_lengths


def codewords(found: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The canonical codeword of each symbol, (A,), by their ``lengths`` (A,)."""
    words = np.zeros(len(found), dtype=np.int64)
    word = previous = 0
    for symbol in _canonical(found).tolist():
        word <<= int(found[symbol]) - previous
        words[symbol], previous = word, int(found[symbol])
        word += 1
    return words


def encode(symbols: Symbols, alphabet: int) -> tuple[bytes, bytes]:
    """Table and bit string of ``symbols`` (n,), all below ``alphabet``.

    The table has a byte for each symbol of the alphabet: the length of its codeword.
    """
    code_lengths = lengths(np.bincount(symbols, minlength=alphabet))
    words = codewords(code_lengths)
    bits = int(code_lengths[symbols].sum(dtype=np.int64))
    packed = _filled(_put, symbols, words, code_lengths, size=-(-bits // 8), work=len(symbols))
    return code_lengths.tobytes(), packed.astype(np.uint8).tobytes()


def decode(table: bytes, string: bytes, count: int, alphabet: int) -> Symbols:
    """The ``count`` symbols that ``encode`` was given.

    Raises ``DataError`` for what it cannot have written, before memory is taken for the symbols.
    """
    code_lengths = np.frombuffer(table, dtype=np.uint8)
    if len(code_lengths) != alphabet or count > 8 * len(string):
        raise DataError(f"{count} symbols of {alphabet} in {len(string)} bytes, {len(table)} long")
    if not count:
        return np.zeros(0, dtype=np.uint16)
    order = _canonical(code_lengths)
    longest = int(code_lengths.max())
    if len(order) == 1:
        if longest > 1 or len(string) != -(-count // 8) or any(string):
            raise DataError(f"{count} times one symbol in other bytes than zeros")
        return np.full(count, order[0], dtype=np.uint16)
    if longest > LONGEST or _kraft(code_lengths) != 1 << LONGEST:
        raise DataError("lengths of codewords that make no whole code")
    lookup_bits = min(longest, _LOOKUP)
    words = codewords(code_lengths)
    lookup = np.zeros(1 << lookup_bits, dtype=np.int64)
    for symbol in order.tolist():
        if (length := int(code_lengths[symbol])) <= lookup_bits:
            first = int(words[symbol]) << (lookup_bits - length)
            lookup[first : first + (1 << (lookup_bits - length))] = symbol << 6 | length
    # Of each length: its first codeword, how many there are, and where they begin in ``order``.
    counts = np.bincount(code_lengths[order], minlength=longest + 1)
    starts = np.concatenate(([0], np.cumsum(counts)[:-1]))
    firsts = np.zeros(longest + 1, dtype=np.int64)
    for length in np.flatnonzero(counts).tolist():
        firsts[length] = words[order[starts[length]]]
    padded = np.frombuffer(string + bytes(8), dtype=np.uint8)
    tables = (lookup, lookup_bits, longest, firsts, counts, starts, order)
    symbols = _filled(_take, padded, *tables, size=count + 1, work=count)
    if -(-int(symbols[count]) // 8) != len(string):
        raise DataError(f"{count} symbols that take {symbols[count]} bits of {8 * len(string)}")
    return symbols[:count].astype(np.uint16)


def _canonical(found: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Symbols that occur, in the order of their codewords."""
    symbols = np.flatnonzero(found)
    return symbols[np.argsort(found[symbols], kind="stable")]


def _kraft(found: NDArray[np.uint8]) -> int:
    """Kraft's sum of 2^−length, in units of 2^−LONGEST."""
    return sum(1 << (LONGEST - length) for length in found[found > 0].tolist())


def _filled(loop: Callable, *arguments: Any, size: int, work: int) -> NDArray[np.int64]:
    """What ``loop`` writes into an array (size,). Where ``work`` is small, plain Python runs it."""
    compiled_loop = _compiled(loop) if work > _SHORT else None
    if compiled_loop is None:
        lists = [a.tolist() if isinstance(a, np.ndarray) else a for a in arguments]
        out = [0] * size
        loop(out, *lists)
        return np.array(out, dtype=np.int64)
    out = np.zeros(size, dtype=np.int64)
    compiled_loop(out, *arguments)
    return out


@cache
def _compiled(loop: Callable) -> Callable | None:
    """None without Numba, which a program that only loads checkpoints may lack."""
    from laq.utils.compiling import HAS_NUMBA, compiled

    return compiled()(loop) if HAS_NUMBA else None


def _put(out, symbols, words, found):
    """Write codewords into the bytes ``out``."""
    buffer = bits = position = 0
    for i in range(len(symbols)):
        symbol = symbols[i]
        buffer = buffer << found[symbol] | words[symbol]
        bits += found[symbol]
        while bits >= 8:
            bits -= 8
            out[position] = buffer >> bits
            buffer &= (1 << bits) - 1
            position += 1
    if bits:
        out[position] = buffer << (8 - bits)


def _take(out, string, lookup, near, longest, firsts, counts, starts, order):
    """Read symbols into ``out``, and behind the last of them the number of bits they took."""
    buffer = bits = position = 0
    end = len(string)
    for i in range(len(out) - 1):
        while bits < longest:
            buffer = buffer << 8 | (string[position] if position < end else 0)
            position += 1
            bits += 8
        entry = lookup[buffer >> (bits - near)]
        length = entry & 63
        symbol = entry >> 6
        if length == 0:  # a longer codeword
            length = near
            while length < longest:
                length += 1
                index = (buffer >> (bits - length)) - firsts[length]
                if 0 <= index < counts[length]:
                    symbol = order[starts[length] + index]
                    break
        out[i] = symbol
        bits -= length
        buffer &= (1 << bits) - 1
    out[len(out) - 1] = 8 * position - bits
