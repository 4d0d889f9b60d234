"""Verdicts over simulated studies: how often they are wrong, and how often they see what is there.

Each arm of a simulated study scatters about a known mean, evenly, skewed, or less at high ICD.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest

from laq.analysis.claims import Evidence, Rigour, judge
from tests.simulated import NOISE, distances, evidence, on_the_border, scattered

pytestmark = pytest.mark.long

ERROR = 0.05
STUDIES = 50  # a kind of noise

# So many draws that the least p they can give still passes Holm's first step.
QUICK = {
    12: Rigour(resamples=20, flips=999, draws=10_000),
    35: Rigour(resamples=20, flips=999, draws=2000),
}


def simulate(
    draw: Callable[[np.random.Generator], Evidence],
    n: int,
    studies: int,
    generator: np.random.Generator,
) -> pd.DataFrame:
    """Verdicts on so many studies, studies × claims."""
    judged = [
        judge(draw(generator), replace(QUICK[n], seed=seed)).set_index("claim")["verdict"]
        for seed in range(studies)
    ]
    return pd.DataFrame(judged)


@pytest.mark.parametrize("n", [12])
def test_no_more_than_one_study_in_twenty_has_a_wrong_verdict_of_either_kind(n):
    """On the bounds of the regions either verdict is wrong, and as likely as it ever gets.

    At most 5 % and twice the Monte-Carlo error of 150 studies, 8.6 %. Over 2000 studies a kind of
    noise the rates were 2 to 4 % for reproduced and 3 to 6 % for not reproduced, the most where
    12 subsets have skewed noise.
    """
    generator = np.random.default_rng(n)
    kinds = []
    for noise in NOISE:

        def draw(generator: np.random.Generator, noise: str = noise) -> Evidence:
            return evidence(scattered(on_the_border(), n, noise, generator), n)

        kinds.append(simulate(draw, n, STUDIES, generator))
    verdicts = pd.concat(kinds)
    most = ERROR + 2 * np.sqrt(ERROR * (1 - ERROR) / len(verdicts))
    for wrong in ("reproduced", "not reproduced"):
        assert (verdicts == wrong).any(axis=1).mean() <= most


def as_published(n: int, generator: np.random.Generator) -> Evidence:
    """Means and spreads over subsets of the differences that the published logs show."""

    def apart(from_: np.ndarray | float, mean: float, spread: float) -> np.ndarray:
        return from_ + generator.normal(mean, spread, n)

    curve = 0.83 + 0.046 * np.log(distances(n) / 12.8)
    quant = apart(curve, 0, 0.022)
    ft_quant = apart(quant, -0.022, 0.04)
    mp53 = apart(quant, 0.015, 0.021)
    top1 = {
        "original": {"all": 0.83, "subset": 0.941},
        "quant": {"all": quant, "subset": apart(quant, 0.001, 0.0015)},
        "ft": {"all": apart(0.83, 0.0975, 0.0365), "subset": apart(0.941, 0.001, 0.006)},
        "ft_quant": {"all": ft_quant, "subset": ft_quant},
        "mp53": {"all": mp53},
        "mp35": {"all": apart(mp53, -0.145, 0.073)},
        "bits32": {"all": 0.83, "subset": apart(0.941, -0.074, 0.049)},
    }
    return evidence(top1, n)


CLEAR = [
    *("ft_best", "alike_subset", "original_wins_low", "quant_wins_high"),
    *("mp53_far_better", "keeps_unrestricted"),
]


@pytest.mark.parametrize(
    ("n", "clear", "subtle"),
    [
        (12, ["ft_best", "keeps_unrestricted"], []),
        (35, CLEAR, ["ft_quant_worse", "mp53_slightly_better"]),
    ],
)
def test_effects_of_the_published_size_are_seen(n, clear, subtle):
    verdicts = simulate(partial(as_published, n), n, 25, np.random.default_rng(n))
    reproduced = (verdicts == "reproduced").mean()
    assert (reproduced[clear] >= 0.9).all()
    assert (reproduced[subtle] >= 0.5).all()
    assert (verdicts["rounding"] == "not reproduced").mean() >= 0.25
