"""Which layers to quantize at how many bits, given what may be spent."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from laq.analysis.partial import candidates, sizes, table
from laq.analysis.partial.candidates import CandidateArm
from laq.analysis.statistics.bootstrap import check_confidence
from laq.utils.errors import ConfigError, DataError

# What a budget can be of: as the command and the config call it, and in words.
BUDGETS = {
    "bytes": "bytes of the file",
    "update_bytes": "bytes that a client downloads",
    "step_bytes": "bytes that a process sends in a training step",
    "drop": "points of top-1 lost",
}
# Arms whose drops differ by less than a tenth of a point are alike: the smaller file then decides.
ALIKE = 0.001

COLUMNS = (
    *("network", "budget", "limit", "sure", "position", "k", "width", "bits", "layers"),
    *("weights_share", "bytes", "update_bytes", "step_bytes", "drop", "drop_low", "drop_high"),
    *("top1", "low", "high", "measured_drop", "remark"),
)


@dataclass(frozen=True)
class Budget:
    """What an arm may take at most: bytes by quantity, and ``drop``, a share of top-1.

    sure: the drop is kept to by the upper end of what one run will show, not by the mean.
    """

    limits: Mapping[str, float]
    sure: bool = False

    def __str__(self) -> str:
        return " and ".join(_worded(name, limit) for name, limit in self.limits.items())

    def takes(self, arm: CandidateArm, name: str) -> float:
        """What an arm takes of one of the limits; infinitely much of what is not known."""
        value = (arm.high if self.sure else arm.drop) if name == "drop" else arm.bytes.get(name)
        return np.inf if value is None or np.isnan(value) else value

    def met_by(self, arm: CandidateArm) -> bool:
        return all(self.takes(arm, name) <= limit for name, limit in self.limits.items())


def recommend(arms: Sequence[CandidateArm], budget: Budget) -> CandidateArm:
    """Of the arms within the budget the one that loses least; given a drop, the
    smallest file.

    Of arms that lose alike the smallest file, of equal files the one that loses less.

    Raises ``DataError`` where no arm meets the budget; it says which comes nearest.
    """
    within = [arm for arm in arms if budget.met_by(arm)]
    if not within:
        raise DataError(_nearest(arms, budget))
    if "drop" in budget.limits:
        return min(within, key=_smallest)
    # What is foretold to be better than in float is so by chance.
    least = max(0.0, min(arm.drop for arm in within))
    alike = [arm for arm in within if arm.drop <= least + ALIKE]
    return min(alike, key=_smallest)


def _smallest(arm: CandidateArm) -> tuple[float, float, int]:
    return arm.bytes["bytes"], arm.drop, arm.k


def _nearest(arms: Sequence[CandidateArm], budget: Budget) -> str:
    """What there is instead of an arm within the budget."""
    said = []
    for name in budget.limits:
        nearest = min(arms, key=lambda arm: (budget.takes(arm, name), arm.bytes["bytes"]))
        if np.isinf(budget.takes(nearest, name)):
            said.append(f"the runs do not say how many {BUDGETS[name]} an arm takes")
        else:
            took = _worded(name, budget.takes(nearest, name))
            said.append(f"the least is {took}: {nearest} (drop {_points(nearest.drop)})")
    if len(said) > 1:
        said.append("together they leave nothing")
    return f"no arm takes at most {budget}: {'; '.join(said)}; give more, or run at fewer bits"


def _worded(name: str, value: float) -> str:
    if name == "drop":
        return _points(value)
    return f"{value:,.0f} {BUDGETS[name]}"


def _points(share: float) -> str:
    return f"{100 * share + 0.0:.2f} points of top-1"


def row(
    network: str, budget: Budget, arm: CandidateArm | None, top1: float, remark: str
) -> dict[str, Any]:
    """A row of ``recommendation.csv``; where there is no arm, all of one is empty.

    top1: mean of the float controls. ``low`` and ``high`` are what one run will show.
    """
    found: dict[str, Any] = dict.fromkeys(COLUMNS)
    found |= {
        "network": network,
        "budget": " ".join(budget.limits),
        "limit": " ".join(f"{limit:.10g}" for limit in budget.limits.values()),
        "sure": budget.sure,
        "remark": remark,
    }
    if arm is not None:
        found |= {name: getattr(arm, name) for name in ("position", "k", "width", "bits", "drop")}
        found |= {name: _rounded(value) for name, value in arm.bytes.items()}
        found |= {
            "layers": " ".join(arm.layers),
            "weights_share": arm.share,
            "drop_low": arm.low,
            "drop_high": arm.high,
            "top1": top1 - arm.drop,
            "low": top1 - arm.high,
            "high": top1 - arm.low,
            "measured_drop": arm.measured,
        }
    return found


def rows(
    network: str, arms: Sequence[CandidateArm], top1: float, budgets: Sequence[Budget]
) -> list[dict[str, Any]]:
    """A row for each budget; one that nothing meets says in its remark what comes nearest."""
    found = []
    for budget in budgets:
        try:
            found.append(row(network, budget, recommend(arms, budget), top1, ""))
        except DataError as error:
            found.append(row(network, budget, None, top1, str(error)))
    return found


def budgets(shares: Mapping[str, Sequence[float]], in_float: Mapping[str, float]) -> list[Budget]:
    """The config's: of bytes as shares of what the network takes in float, of drops as they are.

    Quantities that are not known in float are left out.
    """
    found = []
    for name, limits in shares.items():
        for limit in limits:
            if name == "drop":
                found.append(Budget({name: limit}))
            elif np.isfinite(in_float.get(name, np.nan)):
                found.append(Budget({name: float(round(limit * in_float[name]))}))
    return found


def explained(
    network: str, budget: Budget, arm: CandidateArm, top1: float, confidence: float
) -> str:
    """A recommendation for people."""
    layers = ", ".join(arm.layers) or "none"
    inputs = f" ({arm.width.partition('a')[2]} for their inputs)" if "a" in arm.width else ""
    sized = [f"  {BUDGETS[name]}: {value:,.0f}" for name, value in arm.bytes.items()]
    low, high = top1 - arm.high, top1 - arm.low
    lines = [
        f"{network}, at most {budget}:",
        f"  quantize {arm}{inputs}: {layers}" if arm.layers else "  quantize nothing",
        *sized,
        f"  top-1: {100 * (top1 - arm.drop):.2f} %, one run with a chance of "
        f"{100 * confidence:g} % between {100 * low:.2f} and {100 * high:.2f} "
        f"(in float {100 * top1:.2f} %)",
    ]
    if np.isfinite(arm.measured) and arm.layers:
        lines.append(f"  measured: a drop of {_points(arm.measured)} in the mean of its runs")
    return "\n".join(lines) + "\n"


def _rounded(value: float) -> int | None:
    return round(value) if np.isfinite(value) else None


# A recommendation from the tables of a finished study.


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
    arm = recommend(arms, budget)
    return row(of, budget, arm, top1, ""), explained(of, budget, arm, top1, confidence)
