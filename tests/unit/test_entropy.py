"""The entropy of codes against scipy's of their histogram."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from laq.quantizers.entropy import entropy

WIDE = {torch.int8: 1, torch.int16: 2**11, torch.int32: 2**25, torch.int64: 2**55}


@settings(deadline=None)  # the first call compiles
@given(
    codes=st.lists(st.integers(-9, 9), min_size=1, max_size=60),
    dtype=st.sampled_from(list(WIDE)),
    wide=st.booleans(),
)
def test_entropy_is_that_of_the_histogram(codes, dtype, wide):
    scaled = torch.tensor(codes, dtype=dtype) * (WIDE[dtype] if wide else 1)
    counts = [codes.count(code) for code in set(codes)]
    assert entropy(scaled) == pytest.approx(stats.entropy(counts, base=2), abs=1e-12)


@pytest.mark.parametrize("codes", [torch.full((3, 4), -5), torch.empty(0, dtype=torch.int8)])
def test_codes_all_equal_have_no_entropy(codes):
    assert str(entropy(codes)) == "0.0"
