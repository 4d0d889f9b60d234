"""Bit strings against an arbitrary-precision integer that holds all codes at once."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from laq.quantizers import bitpacking
from laq.utils.errors import DataError


def as_one_integer(codes: list[int], width: int) -> bytes:
    """The format's definition: code i at bits i·width, little-endian, in two's complement."""
    string = sum((code % 2**width) << (i * width) for i, code in enumerate(codes))
    return string.to_bytes(math.ceil(len(codes) * width / 8), "little")


@given(data=st.data(), width=st.integers(1, 64))
def test_bytes_follow_the_definition_and_round_trip(data, width):
    half = 2 ** (width - 1)
    codes = data.draw(st.lists(st.integers(-half, half - 1), max_size=40))
    packed = bitpacking.pack(torch.tensor(codes, dtype=torch.int64), width)
    assert packed.dtype == torch.uint8
    assert packed.ndim == 1
    assert bytes(packed.tolist()) == as_one_integer(codes, width)
    assert bitpacking.unpack(packed, len(codes), width).tolist() == codes


@pytest.mark.parametrize("width", [1, 4, 5, 13, 33, 64])
@pytest.mark.parametrize("extra", [-1, 0, 1, 8])
def test_chunks_meet_without_a_seam(monkeypatch, width, extra):
    monkeypatch.setattr(bitpacking, "_CHUNK", 64)
    half = 2 ** (width - 1)
    codes = np.random.default_rng(width).integers(-half, half - 1, 3 * 64 + extra, endpoint=True)
    packed = bitpacking.pack(codes, width)
    assert bytes(packed.tolist()) == as_one_integer(codes.tolist(), width)
    assert bitpacking.unpack(packed, codes.size, width).tolist() == codes.tolist()


@pytest.mark.parametrize(
    ("width", "dtype"),
    [
        (1, torch.int8),
        (8, torch.int8),
        (9, torch.int16),
        (16, torch.int16),
        (17, torch.int32),
        (32, torch.int32),
        (33, torch.int64),
        (64, torch.int64),
    ],
)
def test_codes_come_back_in_the_smallest_type(width, dtype):
    extremes = torch.tensor([-(2 ** (width - 1)), 2 ** (width - 1) - 1, -1])
    restored = bitpacking.unpack(bitpacking.pack(extremes, width), 3, width)
    assert restored.dtype == dtype
    assert restored.tolist() == extremes.tolist()


@pytest.mark.parametrize(("code", "width"), [(8, 4), (-9, 4), (1, 1), (2**31, 32)])
def test_a_code_that_does_not_fit_is_refused(code, width):
    with pytest.raises(DataError, match=f"do not fit {width} bits"):
        bitpacking.pack(torch.tensor([0, code]), width)


@pytest.mark.parametrize(
    "packed",
    [
        torch.zeros(2, dtype=torch.uint8),
        torch.zeros(4, dtype=torch.uint8),
        torch.zeros(1, 3, dtype=torch.uint8),
        torch.zeros(3, dtype=torch.int8),
    ],
)
def test_a_string_of_another_length_or_type_is_refused(packed):
    with pytest.raises(DataError, match="5 codes of 4 bits take 3 bytes"):
        bitpacking.unpack(packed, 5, 4)
