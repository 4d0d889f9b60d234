"""A recommendation from the tables of a finished study."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from laq.analysis.partial import candidates, recommendation, sizes, table
from laq.analysis.partial.recommendation import BUDGETS, Budget
from laq.analysis.statistics.bootstrap import check_confidence
from laq.utils.errors import ConfigError

RESAMPLES = 2000


def advise(
    results: str | os.PathLike[str],
    network: str | None,
    limits: Mapping[str, float],
    sure: bool = False,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[dict[str, Any], str]:
    """The row of ``laq.analysis.partial.recommendation`` for a budget, and the same in words.

    results: the folder ``partial_qat`` of a study. network: its id, or None where it is the only
    one. limits: by name of ``BUDGETS``.

    Raises:
        ConfigError: no network or budget is given, or one that cannot be.
        DataError: the tables are not there or damaged, or nothing meets the budget.
    """
    check_confidence(confidence)
    if not limits:
        raise ConfigError(f"give a budget, at most so many {', '.join(BUDGETS.values())}")
    for name, limit in limits.items():
        if not math.isfinite(limit) or limit < 0:
            raise ConfigError(f"{limit:g} {BUDGETS[name]} is no budget: give a number from 0 on")
    folder = Path(results)
    runs = table.read(folder / "runs.csv")
    known = list(dict.fromkeys(runs["network"]))
    if network is None and len(known) > 1:
        raise ConfigError(f"say which --network is meant: there are {', '.join(known)}")
    if network is not None and network not in known:
        raise ConfigError(f"there is no network {network}; there are {', '.join(known)}")
    of = network or known[0]
    described = sizes.read(folder / of / "tensors.csv", sizes.names_of(runs, of))
    arms, top1 = candidates.arms(runs, described, of, confidence, RESAMPLES, seed)
    budget = Budget(dict(limits), sure)
    arm = recommendation.recommend(arms, budget)
    row = recommendation.row(of, budget, arm, top1, "")
    return row, recommendation.explained(of, budget, arm, top1, confidence)
