"""Entropy coders by name, and strings of symbols as the container has them."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from laq.checkpoints.deep_container import ans, fixed, huffman
from laq.utils.errors import DataError

# In the order of their numbers in a file.
CODERS: dict[str, ModuleType] = {"fixed": fixed, "huffman": huffman, "ans": ans}

Symbols = NDArray[np.uint16]


@dataclass(frozen=True)
class CodedSymbols:
    """Symbols as bytes. coder: of ``CODERS``. table: of the code. string: the coded symbols."""

    coder: str
    table: bytes
    string: bytes


def encode(symbols: Symbols, alphabet: int, coder: str) -> CodedSymbols:
    """``symbols`` (n,) below ``alphabet``, by ``coder``, or Huffman's where that has no answer."""
    coded = CODERS[coder].encode(symbols, alphabet) if len(symbols) else (b"", b"")
    if coded is None:
        return encode(symbols, alphabet, "huffman")
    return CodedSymbols(coder, *coded)


def decode(coded: CodedSymbols, count: int, alphabet: int) -> Symbols:
    """The ``count`` symbols. Raises ``DataError`` for what ``encode`` cannot have written."""
    if not count:
        if coded.table or coded.string:
            raise DataError("bytes of no symbols")
        return np.zeros(0, dtype=np.uint16)
    return CODERS[coded.coder].decode(coded.table, coded.string, count, alphabet)
