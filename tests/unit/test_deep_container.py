"""Containers: what goes in comes out bit for bit, and what was damaged does not."""

from __future__ import annotations

import contextlib
import copy
import json
import math
import resource
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from laq.checkpoints.deep_container import container, header, size_formula, sparse_index
from laq.checkpoints.deep_container.sparse_weight import PrunedWeight, SharedWeight
from laq.utils.errors import DataError

QUICK = settings(max_examples=60, deadline=None)
CODERS = ("fixed", "huffman", "ans")


def shared(
    shape: tuple[int, ...], share: float, centroids: int, bits: int | None, seed: int = 0
) -> SharedWeight:
    generator = torch.Generator().manual_seed(seed)
    kept = torch.rand(shape, generator=generator) < share
    codes = torch.randn(shape, generator=generator).mul(centroids / 6).add(centroids / 2)
    codes = codes.round().clamp(0, centroids - 1).to(torch.int64)
    return SharedWeight.of(codes, torch.randn(centroids, generator=generator), kept, bits)


def same(first: torch.Tensor, second: torch.Tensor) -> bool:
    """Bit for bit."""
    alike = first.dtype == second.dtype and first.shape == second.shape
    if not alike or not first.numel():
        return alike
    octets = [tensor.contiguous().reshape(-1).view(torch.uint8) for tensor in (first, second)]
    return torch.equal(*octets)


def test_relative_indices_are_those_of_the_paper() -> None:
    # Figure 2 of Han et al., 3 bits: from 4 on to 15 there are 11, so a filler is at 12.
    found = sparse_index.relative(np.array([1, 4, 15]), 16, 3)
    assert (found.gaps + 1).tolist() == [2, 3, 8, 3]  # counted from place −1, so that 0 can be kept
    assert found.kept.tolist() == [0, 1, 3] and found.fillers == 1
    assert sparse_index.absolute(found.gaps).tolist() == [1, 4, 12, 15]


@QUICK
@given(st.data(), st.integers(1, 8), st.integers(1, 3000))
def test_positions_come_back_and_a_size_is_bounded(
    data: st.DataObject, bits: int, size: int
) -> None:
    chosen = sorted(data.draw(st.sets(st.integers(0, size - 1), max_size=30)))
    found = sparse_index.relative(np.array(chosen, dtype=np.int64), size, bits)
    assert sparse_index.absolute(found.gaps)[found.kept].tolist() == chosen
    assert found.gaps.max(initial=0) < 2**bits
    assert size < (found.entries + 1) * 2**bits
    gaps = np.diff([-1, *chosen])
    assert found.fillers >= sum((gap - 1) // 2**bits for gap in gaps.tolist())


@QUICK
@given(st.integers(1, 6), st.integers(1, 5), st.integers(1, 4), st.integers(0, 2**31))
def test_columns_first_is_the_transposed_weight(n: int, m: int, k: int, seed: int) -> None:
    dense = np.random.default_rng(seed).random((n, m, k)) < 0.4
    rows = np.flatnonzero(dense)
    turned, order = sparse_index.by_columns(rows, dense.shape)
    assert turned.tolist() == np.flatnonzero(dense.transpose(1, 2, 0)).tolist()
    back, again = sparse_index.by_rows(turned, dense.shape)
    assert back.tolist() == rows.tolist()
    assert order[again].tolist() == list(range(len(rows)))


@QUICK
@given(st.integers(1, 6), st.integers(1, 5), st.integers(1, 4), st.integers(0, 2**31))
def test_without_its_empty_lines_a_weight_is_numpys(n: int, m: int, k: int, seed: int) -> None:
    dense = np.random.default_rng(seed).random((n, m, k)) < 0.2
    matrix, places = dense.reshape(n, -1), np.flatnonzero(dense)
    used = sparse_index.alive(places, dense.shape)
    assert used.tolist() == [*matrix.any(1).tolist(), *matrix.any(0).tolist()]
    inner = matrix[used[:n]][:, used[n:]]
    found, sides = sparse_index.squeezed(places, dense.shape, used)
    assert sides == inner.shape and found.tolist() == np.flatnonzero(inner).tolist()
    if len(places):
        assert sparse_index.spread(found, dense.shape, used).tolist() == places.tolist()


@st.composite
def weights(draw: st.DrawFn) -> SharedWeight | PrunedWeight:
    shape = tuple(draw(st.lists(st.integers(1, 9), min_size=1, max_size=4)))
    size = math.prod(shape)
    kept = torch.tensor(draw(st.lists(st.booleans(), min_size=size, max_size=size)))
    kept = kept.view(shape) | draw(st.booleans())
    bits = draw(st.sampled_from([None, 1, 2, 4, 5, 8, *([0] if kept.all() else [])]))
    floats = st.floats(width=32, allow_nan=False, allow_infinity=False)
    halves = st.floats(width=16, allow_nan=False, allow_infinity=False)
    kind = draw(st.sampled_from([floats, halves]))
    if draw(st.booleans()):
        values = draw(st.lists(kind, min_size=size, max_size=size))
        found = PrunedWeight.of(torch.tensor(values).view(shape), kept)
        dense = bool(len(found.positions) == size)
        return PrunedWeight(shape, found.positions, found.values, bits if bits or dense else None)
    centroids = torch.tensor(draw(st.lists(kind, min_size=1, max_size=256)))
    codes = draw(st.lists(st.integers(0, len(centroids) - 1), min_size=size, max_size=size))
    return SharedWeight.of(torch.tensor(codes).view(shape), centroids, kept, bits)


@settings(max_examples=40, deadline=None)
@given(st.lists(weights(), max_size=2), st.sampled_from(CODERS))
def test_weights_come_back_bit_for_bit(found: list, coder: str) -> None:
    named = {f"layer{place}.weight": weight for place, weight in enumerate(found)}
    state = {name: weight.weight() for name, weight in named.items()}
    written = container.encode(state, {"a": [1, None]}, named, coder)
    assert written == container.encode(state, {"a": [1, None]}, named, coder)
    read = container.decode(written)
    assert read.description == {"a": [1, None]}
    assert all(same(tensor, state[name]) for name, tensor in read.dense().items())
    for name, weight in named.items():
        again = read.weights[name]
        parts = (
            ("positions", "codes", "centroids")
            if type(weight) is SharedWeight
            else ("positions", "values")
        )
        assert type(again) is type(weight) and again.shape == weight.shape
        assert all(same(getattr(again, part), getattr(weight, part)) for part in parts)


def test_all_other_tensors_are_as_they_were() -> None:
    torch.manual_seed(0)
    state: dict[str, torch.Tensor] = {
        "bias": torch.randn(300),
        "half": torch.randn(300).half().float(),
        "zero": torch.tensor([-0.0, 0.0, 1e-45, 65504.0]),
        "turned": torch.randn(4, 5).T,
        "count": torch.tensor(7),
        "none": torch.zeros(0, 3),
    }
    for dtype in (
        torch.float64,
        torch.float16,
        torch.bfloat16,
        torch.int32,
        torch.int8,
        torch.bool,
    ):
        state[str(dtype)] = torch.randn(3, 2).to(dtype)
    written = container.encode(state, {}, {})
    read = container.decode(written)
    assert read.state.keys() == state.keys()
    assert all(same(read.state[name], tensor) for name, tensor in state.items())
    halves = {entry.name for entry in read.head.tensors if entry.half}
    assert halves == {"half", "none"}
    with pytest.raises(ValueError, match=r"tensors of type torch\.complex64"):
        container.encode({"odd": torch.zeros(2, dtype=torch.complex64)}, {}, {})


def lenet(coder: str, bits: int | None) -> bytes:
    found = {
        "ip1.weight": shared((300, 784), 0.08, 31, bits),
        "ip2.weight": shared((100, 300), 0.09, 31, bits, 1),
        "ip3.weight": shared((10, 100), 0.26, 31, bits, 2),
    }
    biases = {f"ip{i}.bias": torch.randn(n) for i, n in enumerate((300, 100, 10), 1)}
    return container.encode(biases, {"variant": "deep"}, found, coder)


def test_a_head_with_its_tables_is_small() -> None:
    for coder, bits in (("huffman", 5), ("ans", 5), ("huffman", 8)):
        written = lenet(coder, bits)
        assert header.longest(written[:16]) < 450
    assert len(lenet("huffman", 5)) < 266_610 * 4 / 36


def test_sizes_are_those_of_the_file_and_near_entropy() -> None:
    weight = shared((300, 784), 0.08, 31, 5)
    stages = size_formula.stages(weight)
    for name in ("pruned", "shared", "huffman", "ans"):
        coder = {"pruned": "fixed", "shared": "fixed"}.get(name, name)
        kept = weight
        if name == "pruned":
            kept = PrunedWeight(weight.shape, weight.positions, weight.values, 5)
        read = container.decode(container.encode({}, {}, {"w": kept}, coder))
        (entry,) = read.head.weights
        assert size_formula.stored(entry, read.weights["w"]) == getattr(stages, name)
        assert getattr(stages, name).bytes == entry.stored
    plain, coded = stages.shared, stages.huffman
    assert (plain.bits_per_code, plain.bits_per_index) == pytest.approx((5, 5), abs=0.01)
    assert plain.values == 31 * 4 and stages.pruned.values == 4 * stages.pruned.entries
    entries = coded.entries
    for size, entropy in ((coded.codes, coded.code_entropy), (coded.indices, coded.index_entropy)):
        assert entropy <= 8 * size / entries < entropy + 0.05
    least = entries * (coded.code_entropy + coded.index_entropy) / 8
    assert stages.ans.codes + stages.ans.indices == pytest.approx(least, rel=0.002)
    row = stages.row()
    assert row["huffman_bytes"] < row["shared_bytes"] < row["pruned_bytes"] < row["float_bytes"]
    assert row["csr_bytes"] > plain.indices


def test_entropies_are_scipys() -> None:
    weight = shared((40, 50), 1.0, 16, 0)
    found = size_formula.measured(weight, "huffman")
    counts = np.bincount(weight.codes.numpy())
    assert found.code_entropy == pytest.approx(stats.entropy(counts, base=2))
    assert (found.indices, found.index_entropy, found.index_bits) == (0, 0, 0)
    assert found.entropy == pytest.approx(found.code_entropy)


def test_the_formula_is_the_papers() -> None:
    # Figure 3 of Han et al.: 16 weights of 32 bits in 4 clusters, 16·32 / (4·32 + 2·16) = 3.2.
    assert size_formula.ratio(16, 4) == pytest.approx(3.2)
    assert size_formula.ratio(10**9, 256) == pytest.approx(4, rel=1e-4)


def test_a_weight_without_pruned_entries_takes_no_indices() -> None:
    weight = shared((20, 30), 1.0, 8, None)
    read = container.decode(container.encode({}, {}, {"w": weight}))
    (entry,) = read.head.weights
    assert (entry.index_bits, entry.indices.size) == (0, 0)
    assert torch.equal(read.weights["w"].weight(), weight.weight())


def test_the_walk_is_the_one_that_takes_less() -> None:
    weight = shared((300, 784), 0.2, 15, 8)
    kept = weight.weight() != 0
    kept[1:, torch.rand(784, generator=torch.Generator().manual_seed(1)) < 0.7] = False
    kept[0] = kept[:, 0] = True  # so that no line is empty
    codes = torch.zeros(300, 784, dtype=torch.int64)
    columns = SharedWeight.of(codes, torch.ones(1), kept, 8)
    rows = SharedWeight.of(codes.T, torch.ones(1), kept.T.contiguous(), 8)
    read = [container.decode(container.encode({}, {}, {"w": weight})) for weight in (columns, rows)]
    assert [found.head.weights[0].columns for found in read] == [True, False]
    assert read[0].head.weights[0].indices == read[1].head.weights[0].indices


def test_empty_lines_are_left_out_where_that_is_shorter() -> None:
    weight = shared((300, 784), 0.1, 15, 5)
    kept = weight.weight() != 0
    generator = torch.Generator().manual_seed(1)
    kept[torch.rand(300, generator=generator) < 0.4] = False
    kept[:, torch.rand(784, generator=generator) < 0.4] = False
    codes = torch.zeros(300, 784, dtype=torch.int64)
    for coder in CODERS:
        dead = SharedWeight.of(codes, torch.ones(2), kept, 5)
        read = container.decode(container.encode({}, {}, {"w": dead}, coder))
        (entry,) = read.head.weights
        assert entry.lines and entry.marks == math.ceil((300 + 784) / 8)
        assert torch.equal(read.weights["w"].positions, dead.positions)
        inner = kept[kept.any(1)][:, kept.any(0)]
        alone = SharedWeight.of(torch.zeros_like(inner, dtype=torch.int64), torch.ones(2), inner, 5)
        assert (
            size_formula.measured(dead, coder).indices
            == size_formula.measured(alone, coder).indices
        )
    full = container.decode(container.encode({}, {}, {"w": weight}))
    assert not full.head.weights[0].lines


@pytest.fixture(scope="module")
def small() -> bytes:
    named = {
        "a": shared((6, 20), 0.2, 15, 4),
        "b": PrunedWeight.of(torch.randn(5, 7), torch.rand(5, 7) < 0.5, 3),
        "c": shared((4, 5), 1.0, 3, 0),
    }
    state = {"bias": torch.randn(6), "n": torch.tensor(3)}
    return container.encode(state, {"variant": "deep"}, named, "ans")


def test_every_flipped_byte_and_every_cut_is_refused(small: bytes) -> None:
    for place in range(len(small)):
        flipped = bytearray(small)
        flipped[place] ^= 1 << place % 8
        with pytest.raises(DataError):
            container.decode(bytes(flipped))
        with pytest.raises(DataError):
            container.decode(small[:place])
    with pytest.raises(DataError):
        container.decode(small + b"\0")


def signed(content: dict[str, Any], tables: bytes, rest: bytes) -> bytes:
    """A container of any head, with a digest that is right."""
    whole = json.dumps(content).encode() + b"\n" + tables
    deflater = zlib.compressobj(9, zlib.DEFLATED, 15, 9, 0, header.WORDS)
    squeezed = deflater.compress(whole) + deflater.flush()
    first = header.MAGIC + header.number(len(squeezed)) + header.number(len(whole)) + squeezed
    return first + rest + header.digest([first, rest])


def taken_apart(written: bytes) -> tuple[dict[str, Any], bytes, bytes]:
    found, place = header.read(written)
    rest = written[place : -header.DIGEST]
    squeezed = written[:place]
    whole = zlib.decompressobj(zdict=header.WORDS).decompress(squeezed[squeezed.index(b"x\xf9") :])
    text, _, tables = whole.partition(b"\n")
    assert tables == found.tables
    return json.loads(text), tables, rest


def test_taken_apart_and_signed_anew_it_is_the_same(small: bytes) -> None:
    read = container.decode(signed(*taken_apart(small)))
    assert same(read.weights["a"].weight(), container.decode(small).weights["a"].weight())


@contextlib.contextmanager
def at_most_more(size: int) -> Iterator[None]:
    """The process is given at most so many more bytes of address space."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


JSON = st.none() | st.booleans() | st.integers(-1, 300) | st.floats() | st.text(max_size=3)


def places(node: Any) -> list[tuple[Any, Any]]:
    keys = list(node) if isinstance(node, dict) else range(len(node))
    inner = [node[key] for key in keys if isinstance(node[key], dict | list)]
    return [(node, key) for key in keys] + [place for child in inner for place in places(child)]


def test_lies_that_are_signed_take_no_memory_and_crash_nothing(small: bytes) -> None:
    content, tables, rest = taken_apart(small)

    @settings(max_examples=150, deadline=None)
    @given(st.data())
    def tried(data: st.DataObject) -> None:
        lie = copy.deepcopy(content)
        for _ in range(data.draw(st.integers(1, 3))):
            node, key = data.draw(st.sampled_from(places(lie)))
            node[key] = data.draw(JSON | st.sampled_from([2**40, 2**63, [2**30, 2**30], [], {}]))
        with contextlib.suppress(DataError):
            container.decode(signed(lie, tables, rest)).dense()

    with at_most_more(2**28):
        tried()
        with pytest.raises(RuntimeError, match="memory"):  # or nothing is limited
            torch.zeros(2**28)


# A weight's entry is name, shape, index bits, columns, kept, entries, …
@pytest.mark.parametrize(
    ("place", "fields"),
    [
        (0, {1: [2**20, 2**20]}),
        (0, {1: [2**20, 2**20], 4: 2**39, 5: 2**40 - 1}),
        (0, {1: [2**16, 2**8], 5: 2**20}),
        (0, {1: [2**20, 2**20], 3: 2}),
        (0, {1: [2, 60], 3: 2}),
        (1, {1: [2**20, 2**20], 4: 2**40, 5: 2**40, 2: 0}),
        (2, {1: [2**40], 4: 2**40, 5: 2**40}),
        (2, {1: [2**20], 4: 2**20, 5: 2**20}),
    ],
)
def test_a_weight_that_so_few_bytes_cannot_hold_is_refused(
    small: bytes, place: int, fields: dict[int, Any]
) -> None:
    content, tables, rest = taken_apart(small)
    for key, value in fields.items():
        content["w"][place][key] = value
    with at_most_more(2**26), pytest.raises(DataError):
        container.decode(signed(content, tables, rest))


def test_a_head_that_inflates_without_end_is_cut_off() -> None:
    deflater = zlib.compressobj(9, zlib.DEFLATED, 15, 9, 0, header.WORDS)
    bomb = deflater.compress(bytes(2**27)) + deflater.flush()
    for claimed in (2**27, 2**24, 100):
        first = header.MAGIC + header.number(len(bomb)) + header.number(claimed) + bomb
        whole = first + header.digest([first])
        with at_most_more(2**26), pytest.raises(DataError, match="head"):
            container.decode(whole)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"shape": (3, 0)}, "shape"),
        ({"positions": torch.tensor([2, 1])}, "ascend"),
        ({"positions": torch.tensor([0, 12])}, "beyond the 12"),
        ({"codes": torch.tensor([0, 2], dtype=torch.uint8)}, "code 2 of 2 centroids"),
        ({"codes": torch.tensor([0, 1])}, "codes are torch.int64"),
        ({"centroids": torch.tensor([0.5, torch.nan])}, "not finite"),
        ({"centroids": torch.zeros(257)}, "centroids are"),
        ({"index_bits": 9}, "index_bits is 9"),
        ({"index_bits": 0}, "10 weights are pruned"),
    ],
)
def test_what_is_no_weight_is_refused(fields: dict[str, Any], said: str) -> None:
    right = {
        "shape": (3, 4),
        "positions": torch.tensor([0, 5]),
        "codes": torch.tensor([1, 0], dtype=torch.uint8),
        "centroids": torch.tensor([0.5, -0.5]),
    }
    assert SharedWeight(**right).weight().count_nonzero() == 2
    with pytest.raises(ValueError, match=said):
        SharedWeight(**right | fields)
