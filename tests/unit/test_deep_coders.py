"""Coders against entropies, a plain Huffman, and a decoder of ANS that knows no library."""

from __future__ import annotations

import bisect
import heapq
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from laq.checkpoints.deep_container import ans, coders, fixed, huffman
from laq.utils.errors import DataError

QUICK = settings(max_examples=60, deadline=None)
COUNTS = st.lists(st.integers(0, 10**6) | st.integers(0, 3), min_size=1, max_size=300)


def heap_total(counts: list[int]) -> int:
    """Bits of all symbols in an optimal code: the sum of the inner nodes (Huffman, 1952)."""
    heap, total = [count for count in counts if count], 0
    heapq.heapify(heap)
    while len(heap) > 1:
        both = heapq.heappop(heap) + heapq.heappop(heap)
        total += both
        heapq.heappush(heap, both)
    return total


def drawn(count: int, alphabet: int, seed: int = 0, spread: float = 0.5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.full(alphabet, spread))
    return rng.choice(alphabet, count, p=shares).astype(np.uint16)


@QUICK
@given(COUNTS)
def test_lengths_are_optimal_and_within_a_bit_of_entropy(counts: list[int]) -> None:
    lengths = huffman.lengths(np.array(counts, dtype=np.int64))
    assert [length > 0 for length in lengths] == [count > 0 for count in counts]
    used = sum(count > 0 for count in counts)
    if used < 2:
        assert lengths.sum() == used
        return
    total = int((lengths * np.array(counts)).sum())
    assert total == heap_total(counts)
    mean, entropy = total / sum(counts), stats.entropy(counts, base=2)
    assert entropy - 1e-9 <= mean < entropy + 1


@QUICK
@given(COUNTS)
def test_codewords_are_canonical_and_none_begins_another(counts: list[int]) -> None:
    lengths = huffman.lengths(np.array(counts, dtype=np.int64))
    words = huffman.codewords(lengths)
    in_order = sorted((int(n), symbol) for symbol, n in enumerate(lengths) if n)
    texts = [f"{words[symbol]:0{n}b}" for n, symbol in in_order]
    assert [len(text) for text in texts] == [n for n, _ in in_order]
    assert texts == sorted(texts)
    assert not any(b.startswith(a) for a, b in itertools.pairwise(texts))


def test_lengths_without_a_limit_survive(monkeypatch: pytest.MonkeyPatch) -> None:
    fibonacci = [1, 1]
    while len(fibonacci) < 27:
        fibonacci.append(fibonacci[-1] + fibonacci[-2])
    symbols = np.repeat(np.arange(27, dtype=np.uint16), fibonacci)
    symbols = np.random.default_rng(0).permutation(symbols)
    coded = coders.encode(symbols, 27, "huffman")
    assert max(coded.table) == 26  # beyond what is looked up at once
    assert np.array_equal(coders.decode(coded, len(symbols), 27), symbols)
    monkeypatch.setattr(huffman, "_SHORT", 2**30)  # the loops as they stand
    few = symbols[:3000]
    coded = coders.encode(few, 27, "huffman")
    assert np.array_equal(coders.decode(coded, 3000, 27), few)


@QUICK
@given(
    st.lists(st.integers(0, 40), max_size=200),
    st.sampled_from([*coders.CODERS]),
    st.integers(0, 600),
)
def test_symbols_come_back(values: list[int], coder: str, unused: int) -> None:
    symbols = np.array(values, dtype=np.uint16)
    alphabet = max(values, default=0) + 1 + unused
    coded = coders.encode(symbols, alphabet, coder)
    found = coders.decode(coded, len(values), alphabet)
    assert found.dtype == np.uint16 and found.tolist() == values


def as_documented(table: bytes, string: bytes, count: int, alphabet: int) -> list[int]:
    """ANS by the words of ``laq.checkpoints.deep_container.ans`` alone."""
    numbers, number, shift = [], 0, 0
    for octet in table[1:]:
        number, shift = number | (octet & 127) << shift, shift + 7
        if octet < 128:
            numbers.append(number)
            number = shift = 0
    sums = [0, *np.cumsum(numbers).tolist()]
    lows = [c * (2**24 - alphabet) // 2 ** table[0] + i for i, c in enumerate(sums)]
    stack, found = np.frombuffer(string, "<u4").tolist(), []
    state = 0
    while stack and state < 2**32:
        state = state << 32 | stack.pop()
    for _ in range(count):
        part = state % 2**24
        symbol = bisect.bisect_right(lows, part) - 1
        found.append(symbol)
        state = (state >> 24) * (lows[symbol + 1] - lows[symbol]) + part - lows[symbol]
        if state < 2**32 and stack:
            state = state << 32 | stack.pop()
    assert not stack and not state
    return found


@pytest.mark.parametrize("alphabet", [2, 33, 257])
def test_ans_is_what_the_format_says_whatever_the_library_does(alphabet: int) -> None:
    for count in (50, 400, 3000):
        symbols = drawn(count, alphabet, seed=count, spread=9.0)
        coded = ans.encode(symbols, alphabet)
        assert coded is not None
        assert as_documented(*coded, count, alphabet) == symbols.tolist()


@pytest.mark.parametrize("alphabet", [32, 256])
def test_ans_comes_as_near_to_entropy_as_its_frequencies(alphabet: int) -> None:
    symbols = drawn(200_000, alphabet)
    table, string = ans.encode(symbols, alphabet)
    best = stats.entropy(np.bincount(symbols), base=2) * len(symbols) / 8
    assert best <= len(string) < 1.001 * best + 8
    assert len(table) < 2.1 * alphabet + 1


@QUICK
@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=256), st.sampled_from([8, 12, 16]))
def test_frequencies_add_up_and_leave_out_nothing_that_occurs(counts: list[int], bits: int) -> None:
    counts[:2] = [max(1, count) for count in counts[:2]]
    found = ans.frequencies(np.array(counts, dtype=np.int64), bits)
    assert found.sum() == 2**bits
    assert [number > 0 for number in found] == [count > 0 for count in counts]


@pytest.mark.parametrize("coder", [*coders.CODERS])
def test_damaged_tables_and_strings_end_in_an_error_or_in_symbols(coder: str) -> None:
    coded = coders.encode(drawn(300, 20), 20, coder)

    @QUICK
    @given(st.data())
    def tried(data: st.DataObject) -> None:
        table, string = bytearray(coded.table), bytearray(coded.string)
        part = data.draw(st.sampled_from([part for part in (table, string) if part]))
        place = data.draw(st.integers(0, len(part) - 1))
        if data.draw(st.booleans()):
            part[place] = data.draw(st.integers(0, 255))
        else:
            del part[place:]
        try:
            found = coders.decode(coders.CodedSymbols(coder, bytes(table), bytes(string)), 300, 20)
        except DataError:
            return
        assert len(found) == 300 and found.max() < 20

    tried()


def test_fixed_width_is_that_of_the_alphabet() -> None:
    assert [fixed.width(size) for size in (1, 2, 3, 32, 33, 256, 257)] == [1, 1, 2, 5, 6, 8, 9]
    table, string = fixed.encode(np.array([1, 0, 2, 3], dtype=np.uint16), 4)
    assert (table, string) == (b"", bytes([0b01_00_10_11]))
