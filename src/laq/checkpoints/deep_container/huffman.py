"""Huffman's code (Huffman, 1952) in its canonical form: the lengths of the codewords say it all.

Codewords of one length are consecutive numbers in the order of their symbols, and shorter ones
come before longer ones (Schwartz & Kallick, 1964). The bit string has the highest bit of a
codeword first, and of a byte; the last byte is filled up with zeros. A symbol that is alone has
a codeword of one bit, so that a string is never shorter than a bit a symbol. There is no limit to
lengths: 48 bits would take more than 10^10 symbols.

The loops run as they stand for short strings, for which loading a compiler would take longer, and
are compiled for others. All of them are in this file: Numba's cache would not see another one.
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

    counts: (A,), how often each symbol does. Of optimal codes it is the one with the shortest
    longest codeword (van Leeuwen's two queues, leaves first).
    """
    used = np.flatnonzero(counts)
    found = np.zeros(len(counts), dtype=np.uint8)
    if len(used) == 1:
        found[used] = 1
    if len(used) < 2:
        return found
    order = used[np.argsort(counts[used], kind="stable")]
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
    found[order] = depths[:total]
    return found


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

    The table has a byte a symbol of the alphabet, the length of its codeword.
    """
    found = lengths(np.bincount(symbols, minlength=alphabet))
    words = codewords(found)
    bits = int(found[symbols].sum(dtype=np.int64))
    packed = _filled(_put, symbols, words, found, size=-(-bits // 8), work=len(symbols))
    return found.tobytes(), packed.astype(np.uint8).tobytes()


def decode(table: bytes, string: bytes, count: int, alphabet: int) -> Symbols:
    """The ``count`` symbols that ``encode`` was given.

    Raises ``DataError`` for what it cannot have written, before it takes memory for them.
    """
    found = np.frombuffer(table, dtype=np.uint8)
    if len(found) != alphabet or count > 8 * len(string):
        raise DataError(f"{count} symbols of {alphabet} in {len(string)} bytes, {len(table)} long")
    if not count:
        return np.zeros(0, dtype=np.uint16)
    order = _canonical(found)
    longest = int(found.max())
    if len(order) == 1:
        if longest > 1 or len(string) != -(-count // 8) or any(string):
            raise DataError(f"{count} times one symbol in other bytes than zeros")
        return np.full(count, order[0], dtype=np.uint16)
    if longest > LONGEST or _kraft(found) != 1 << LONGEST:
        raise DataError("lengths of codewords that make no whole code")
    near = min(longest, _LOOKUP)
    words = codewords(found)
    lookup = np.zeros(1 << near, dtype=np.int64)
    for symbol in order.tolist():
        if (length := int(found[symbol])) <= near:
            first = int(words[symbol]) << (near - length)
            lookup[first : first + (1 << (near - length))] = symbol << 6 | length
    # Of each length: its first codeword, how many there are, and where they begin in ``order``.
    counts = np.bincount(found[order], minlength=longest + 1)
    starts = np.concatenate(([0], np.cumsum(counts)[:-1]))
    firsts = np.zeros(longest + 1, dtype=np.int64)
    for length in np.flatnonzero(counts).tolist():
        firsts[length] = words[order[starts[length]]]
    padded = np.frombuffer(string + bytes(8), dtype=np.uint8)
    tables = (lookup, near, longest, firsts, counts, starts, order)
    symbols = _filled(_take, padded, *tables, size=count + 1, work=count)
    if -(-int(symbols[count]) // 8) != len(string):
        raise DataError(f"{count} symbols that take {symbols[count]} bits of {8 * len(string)}")
    return symbols[:count].astype(np.uint16)


def _canonical(found: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Symbols that occur, in the order of their codewords."""
    used = np.flatnonzero(found)
    return used[np.argsort(found[used], kind="stable")]


def _kraft(found: NDArray[np.uint8]) -> int:
    """Kraft's sum of 2^−length, in units of 2^−LONGEST."""
    return sum(1 << (LONGEST - length) for length in found[found > 0].tolist())


def _filled(loop: Callable, *arguments: Any, size: int, work: int) -> NDArray[np.int64]:
    """What ``loop`` puts into an array (size,), by plain Python where ``work`` is little."""
    run = _compiled(loop) if work > _SHORT else None
    if run is None:
        plain = [a.tolist() if isinstance(a, np.ndarray) else a for a in arguments]
        out = [0] * size
        loop(out, *plain)
        return np.array(out, dtype=np.int64)
    out = np.zeros(size, dtype=np.int64)
    run(out, *arguments)
    return out


@cache
def _compiled(loop: Callable) -> Callable | None:
    """None without Numba, which a program that only loads checkpoints may lack."""
    try:
        from laq.utils.compiling import compiled
    except ModuleNotFoundError:
        return None
    return compiled()(loop)


def _put(out, symbols, words, found):
    """Write codewords into the bytes ``out``."""
    held = have = at = 0
    for i in range(len(symbols)):
        symbol = symbols[i]
        held = held << found[symbol] | words[symbol]
        have += found[symbol]
        while have >= 8:
            have -= 8
            out[at] = held >> have
            held &= (1 << have) - 1
            at += 1
    if have:
        out[at] = held << (8 - have)


def _take(out, string, lookup, near, longest, firsts, counts, starts, order):
    """Read symbols into ``out``, and behind the last of them how many bits they took."""
    held = have = at = 0
    end = len(string)
    for i in range(len(out) - 1):
        while have < longest:
            held = held << 8 | (string[at] if at < end else 0)
            at += 1
            have += 8
        entry = lookup[held >> (have - near)]
        length = entry & 63
        symbol = entry >> 6
        if length == 0:  # a longer codeword
            length = near
            while length < longest:
                length += 1
                place = (held >> (have - length)) - firsts[length]
                if 0 <= place < counts[length]:
                    symbol = order[starts[length] + place]
                    break
        out[i] = symbol
        have -= length
        held &= (1 << have) - 1
    out[len(out) - 1] = 8 * at - have
