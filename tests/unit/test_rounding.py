"""Rounding rules, and the compiled loop's copy of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from laq.ptq import kernels_cpu
from laq.quantizers import rounding
from laq.quantizers.rounding import KINDS, Rounding
from laq.utils.errors import ConfigError

ENDS = torch.tensor(-4.0, dtype=torch.float64), torch.tensor(4.0, dtype=torch.float64)
VALUES = torch.tensor([-9.0, -2.5, -1.2, -0.5, 0.0, 0.3, 0.7, 1.5, 2.4, 9.0], dtype=torch.float64)


@pytest.mark.parametrize(
    ("kind", "threshold", "expected"),
    [
        ("nearest", 0.0, [-4, -2, -1, 0, 0, 0, 1, 2, 2, 4]),
        ("soft", 0.6, [-4, -2, -1, 0, 0, 0, 0, 1, 2, 4]),
        ("hard", 0.6, [-4, -3, -2, 0, 0, 0, 1, 2, 3, 4]),
    ],
)
def test_codes_are_those_of_the_definition(kind, threshold, expected):
    assert rounding.codes(VALUES, kind, threshold, *ENDS).tolist() == expected


def test_stochastic_codes_are_a_neighbour_and_right_in_the_mean():
    values = torch.full((20_000,), -1.3, dtype=torch.float64)
    noise = Rounding("stochastic", generator=torch.Generator().manual_seed(0)).noise(
        20_000, like=values
    )
    codes = rounding.codes(values, "stochastic", 0.0, *ENDS, noise)
    assert set(codes.tolist()) == {-2.0, -1.0}
    assert codes.mean().item() == pytest.approx(-1.3, abs=4 * (0.3 * 0.7 / 20_000) ** 0.5)


@settings(deadline=None)  # the first call compiles
@given(
    value=st.floats(-100, 100),
    noise=st.floats(0, 1, exclude_max=True),
    kind=st.sampled_from(KINDS),
    threshold=st.floats(0, 3),
    ends=st.tuples(st.integers(-40, 0), st.integers(0, 40)),
)
def test_the_compiled_loop_rounds_alike(value, noise, kind, threshold, ends):
    number = torch.tensor([value], dtype=torch.float64)
    draw = torch.tensor([noise], dtype=torch.float64)
    low, high = (torch.tensor(float(end), dtype=torch.float64) for end in ends)
    expected = rounding.codes(number, kind, threshold, low, high, draw).item()
    compiled = kernels_cpu._code(value, noise, KINDS.index(kind), threshold, *map(float, ends))
    assert compiled == expected
    assert ends[0] <= expected <= ends[1]


def test_noise_does_not_depend_on_how_it_is_cut():
    def draw() -> Rounding:
        return Rounding("stochastic", generator=torch.Generator().manual_seed(3))

    like = torch.empty(0)
    whole, parts = draw().noise(100, 7, like=like), draw()
    cut = torch.cat([parts.noise(rows, 7, like=like) for rows in (64, 1, 35)])
    assert torch.equal(whole, cut)
    assert Rounding().noise(3, like=like) is None
    assert 0 <= whole.min() < whole.max() < 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"kind": "up"}, "up.*nearest"), ({"kind": "soft", "threshold": np.nan}, "threshold is nan")],
)
def test_what_is_no_rounding_is_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        Rounding(**arguments)


def test_a_generator_belongs_to_stochastic_rounding():
    with pytest.raises(ValueError, match="generator"):
        Rounding("stochastic")
