"""Which layers to quantize at how many bits, given a budget."""

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

# Quantities of a budget: the name in the command and the config, and a text.
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
    """Limits of what an arm takes: bytes by quantity, and ``drop``, a share of top-1.

    sure: the limit of the drop holds for the upper limit of one run's interval, not for the mean.
    """

    limits: Mapping[str, float]
    sure: bool = False

    def __str__(self) -> str:
        return " and ".join(_worded(name, limit) for name, limit in self.limits.items())

    def takes(self, arm: CandidateArm, name: str) -> float:
        """How much an arm takes of the quantity of one limit; infinite where it is not known."""
        value = (arm.high if self.sure else arm.drop) if name == "drop" else arm.bytes.get(name)
        return np.inf if value is None or np.isnan(value) else value

    def met_by(self, arm: CandidateArm) -> bool:
        return all(self.takes(arm, name) <= limit for name, limit in self.limits.items())


def recommend(arms: Sequence[CandidateArm], budget: Budget) -> CandidateArm:
    """The arm within the budget that loses least; with a limit of the drop, the smallest file.

    Of arms that lose alike the smallest file is taken, and of equal files the one that loses less.

    Raises ``DataError`` where no arm meets the budget; the message names the nearest.
    """
    within = [arm for arm in arms if budget.met_by(arm)]
    if not within:
        raise DataError(_nearest(arms, budget))
    if "drop" in budget.limits:
        return min(within, key=_smallest)
    # An arm that is predicted to be better than in float is so by chance.
    lowest = max(0.0, min(arm.drop for arm in within))
    ties = [arm for arm in within if arm.drop <= lowest + ALIKE]
    return min(ties, key=_smallest)


def _smallest(arm: CandidateArm) -> tuple[float, float, int]:
    return arm.bytes["bytes"], arm.drop, arm.k


def _nearest(arms: Sequence[CandidateArm], budget: Budget) -> str:
    """A message that names the nearest arm of each limit, where none is within the budget."""
    messages = []
    for name in budget.limits:
        nearest = min(arms, key=lambda arm: (budget.takes(arm, name), arm.bytes["bytes"]))
        if np.isinf(budget.takes(nearest, name)):
            messages.append(f"the runs do not say how many {BUDGETS[name]} an arm takes")
        else:
            amount = _worded(name, budget.takes(nearest, name))
            messages.append(f"the least is {amount}: {nearest} (drop {_points(nearest.drop)})")
    if len(messages) > 1:
        messages.append("together they leave nothing")
    return f"no arm takes at most {budget}: {'; '.join(messages)}; give more, or run at fewer bits"


def _worded(name: str, value: float) -> str:
    if name == "drop":
        return _points(value)
    return f"{value:,.0f} {BUDGETS[name]}"


def _points(share: float) -> str:
    return f"{100 * share + 0.0:.2f} points of top-1"


def row(
    network: str, budget: Budget, arm: CandidateArm | None, top1: float, remark: str
) -> dict[str, Any]:
    """A row of ``recommendation.csv``; without an arm, the columns of one are empty.

    top1: mean of the float controls. ``low`` and ``high``: the interval of one run's top-1.
    """
    record: dict[str, Any] = dict.fromkeys(COLUMNS)
    record |= {
        "network": network,
        "budget": " ".join(budget.limits),
        "limit": " ".join(f"{limit:.10g}" for limit in budget.limits.values()),
        "sure": budget.sure,
        "remark": remark,
    }
    if arm is not None:
        record |= {name: getattr(arm, name) for name in ("position", "k", "width", "bits", "drop")}
        record |= {name: _rounded(value) for name, value in arm.bytes.items()}
        record |= {
            "layers": " ".join(arm.layers),
            "weights_share": arm.share,
            "drop_low": arm.low,
            "drop_high": arm.high,
            "top1": top1 - arm.drop,
            "low": top1 - arm.high,
            "high": top1 - arm.low,
            "measured_drop": arm.measured,
        }
    return record


def rows(
    network: str, arms: Sequence[CandidateArm], top1: float, budgets: Sequence[Budget]
) -> list[dict[str, Any]]:
    """A row for each budget; where no arm meets it, the remark names the nearest."""
    records = []
    for budget in budgets:
        try:
            records.append(row(network, budget, recommend(arms, budget), top1, ""))
        except DataError as error:
            records.append(row(network, budget, None, top1, str(error)))
    return records


def budgets(shares: Mapping[str, Sequence[float]], in_float: Mapping[str, float]) -> list[Budget]:
    """The config's budgets: bytes are shares of the network's bytes in float, drops absolute.

    Quantities that are not known in float are left out.
    """
    choices = []
    for name, limits in shares.items():
        for limit in limits:
            if name == "drop":
                choices.append(Budget({name: limit}))
            elif np.isfinite(in_float.get(name, np.nan)):
                choices.append(Budget({name: float(round(limit * in_float[name]))}))
    return choices


def explained(
    network: str, budget: Budget, arm: CandidateArm, top1: float, confidence: float
) -> str:
    """The recommendation as text for people."""
    layers = ", ".join(arm.layers) or "none"
    inputs = f" ({arm.width.partition('a')[2]} for their inputs)" if "a" in arm.width else ""
    size_lines = [f"  {BUDGETS[name]}: {value:,.0f}" for name, value in arm.bytes.items()]
    low, high = top1 - arm.high, top1 - arm.low
    lines = [
        f"{network}, at most {budget}:",
        f"  quantize {arm}{inputs}: {layers}" if arm.layers else "  quantize nothing",
        *size_lines,
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
        ConfigError: no network or budget is given, or an impossible one.
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
    networks = list(dict.fromkeys(runs["network"]))
    if network is None and len(networks) > 1:
        raise ConfigError(f"say which --network is meant: there are {', '.join(networks)}")
    if network is not None and network not in networks:
        raise ConfigError(f"there is no network {network}; there are {', '.join(networks)}")
    selected = network or networks[0]
    description = sizes.read(folder / selected / "tensors.csv", sizes.names_of(runs, selected))
    arms, top1 = candidates.arms(runs, description, selected, confidence, RESAMPLES, seed)
    budget = Budget(dict(limits), sure)
    arm = recommend(arms, budget)
    return row(selected, budget, arm, top1, ""), explained(selected, budget, arm, top1, confidence)
