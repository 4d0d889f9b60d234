"""Conclusions on the ratio that label-awareness gains, in the form of the study's claims.

What would count as reproducing each was written down before it was applied to any measurement:
docs/method.md, "Label-aware compression". Subsets on which a curve does not cross the level are
kept. A conclusion holds only where it holds for all ratios that these curves leave possible.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from laq.analysis import collected
from laq.analysis.claims.effects import NONE, Rigour
from laq.analysis.claims.verdicts import INCONCLUSIVE, NOT_REPRODUCED, REPRODUCED
from laq.analysis.deep.reach import Reach, reach
from laq.analysis.observations import DECIMALS
from laq.analysis.statistics.bootstrap import FEWEST, Alternative, p_of_draws
from laq.analysis.statistics.logcurve import (
    FEWEST_FOR_CURVE,
    PARAMETERS,
    LogCurve,
    fit_log_curve,
)
from laq.analysis.statistics.paired import Estimate, holm, mean_interval, sign_flip_p
from laq.utils.errors import DataError
from laq.utils.files import AGAIN, read_table

if TYPE_CHECKING:
    import pandas as pd


# What label-awareness gains in compression ratio at equal accuracy, subset by subset.
#
# A curve that never falls below the level, or begins below it, gives bounds of the ratio at which
# it crosses. The ratio gained then has bounds as well.


COLUMNS = (
    *("network", "subset", "median_icd", "mean_icd", "classes", "density", "repeat", "scope"),
    *("n", "correct", "top1", "bytes", "ratio"),
)
FLOAT = "none"  # of the column ``classes``
NAMES = {"subset": "aware", "all": "agnostic"}


def observations(table: str | os.PathLike[str], subsets: str | os.PathLike[str]) -> pd.DataFrame:
    """The rows of ``deep/label_aware.csv``, each set of classes counted once.

    Raises ``DataError`` for a table that lacks rows or columns, holds what cannot be true, or has a
    subset that ``subsets`` has not.
    """
    rows = collected.read(table, COLUMNS)
    subset_table = read_table(subsets, ["subset", "duplicate_of"])
    if unknown := sorted(set(rows["subset"]) - set(subset_table["subset"])):
        raise DataError(f"{table} has the subset {unknown[0]}, and {subsets} has not: {AGAIN}")
    present = subset_table[subset_table["subset"].isin(rows["subset"])]
    classes = present["duplicate_of"].fillna(present["subset"])
    return rows[rows["subset"].isin(present.loc[~classes.duplicated(), "subset"])]


def gained(table: pd.DataFrame, tolerance: float) -> pd.DataFrame:
    """A row for each network, scope and subset, as results/README.md has them.

    table: of ``observations``. tolerance: by which the level is below the top-1 in float, a share.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    keys = ["network", "scope", "subset"]
    for key, group in table.groupby(keys, sort=False):
        row = dict(zip(keys, key, strict=True))
        row |= group.iloc[0][["median_icd", "mean_icd"]].to_dict()
        level = float(group.loc[group["classes"] == FLOAT, "top1"].mean()) - tolerance
        row["level"] = round(level, DECIMALS)
        results = {arm: _reach(group[group["classes"] == arm], row["level"]) for arm in NAMES}
        for arm, result in results.items():
            name = NAMES[arm]
            row |= {f"ratio_{name}": result.ratio, f"ratio_{name}_low": result.low}
            row |= {f"ratio_{name}_high": result.high}
        aware, agnostic = (results[arm] for arm in NAMES)
        row |= {
            "gained": aware.ratio / agnostic.ratio,
            "gained_low": aware.low / agnostic.high,
            "gained_high": aware.high / agnostic.low,
            "censored": "; ".join(
                _open(arm, result) for arm, result in results.items() if result.censored
            ),
        }
        rows.append(row)
    return pd.DataFrame(rows)


def _reach(rows: pd.DataFrame, level: float) -> Reach:
    """The reach of one arm on a subset. Repeats are averaged first, ratios by their logarithms."""
    points = rows.assign(ratio=np.log(rows["ratio"])).groupby("density")[["ratio", "top1"]].mean()
    return reach(np.exp(points["ratio"]), points["top1"].round(DECIMALS), level)


def _open(arm: str, found: Reach) -> str:
    phrase = "is never below the level" if np.isinf(found.high) else "begins below the level"
    return f"{NAMES[arm]} {phrase}"


SCOPE = "subset"  # that claims are judged on
UPPER, LOWER = 0.75, 0.25  # quantiles of median ICD between which a slope is taken


@dataclass(frozen=True)
class RatioClaim:
    id: str
    statement: str
    comparison: str


GAINS = RatioClaim(
    "deep_ratio_gained",
    "At equal accuracy on the subset, Deep Compression on its classes compresses further than on "
    "all classes.",
    "ratio on the subset's classes / ratio on all, geometric mean over subsets",
)
GROWS = RatioClaim(
    "deep_gain_grows",
    "The ratio gained is larger where classes are far apart (high ICD).",
    "curve of the ratio gained at the upper quartile of ICD / at the lower",
)
REGION = "> 1"


def judge(gains: pd.DataFrame, rigour: Rigour) -> pd.DataFrame:
    """The claims, rows in the form of ``tables/claims.csv``; networks are families of their own.

    gains: of ``gained``. Effects, intervals and regions are ratios.
    """
    import pandas as pd

    scoped = gains[gains["scope"] == SCOPE]
    blocks = [_block(name, rows, rigour) for name, rows in scoped.groupby("network", sort=False)]
    return pd.concat(blocks, ignore_index=True)


@dataclass(frozen=True)
class RatioEffect:
    """An effect in logarithms, with p values at the least favourable ratios of censored subsets."""

    estimate: Estimate
    p: float
    p_against: float
    remark: str = ""


def _block(network: str, rows: pd.DataFrame, rigour: Rigour) -> pd.DataFrame:
    import pandas as pd

    effects = {GAINS: mean(rows, rigour), GROWS: slope(rows, rigour)}
    p = holm([tested.p for tested in effects.values()])
    p_against = holm([tested.p_against for tested in effects.values()])
    alpha = 1 - rigour.confidence
    table = []
    for (claim, tested), p_holm, against_holm in zip(effects.items(), p, p_against, strict=True):
        verdict = (
            REPRODUCED
            if p_holm < alpha
            else NOT_REPRODUCED
            if against_holm < alpha
            else INCONCLUSIVE
        )
        effect, low, high = np.exp(
            [tested.estimate.value, tested.estimate.low, tested.estimate.high]
        )
        table.append(
            {
                "setting": network,
                "claim": claim.id,
                "statement": claim.statement,
                "source": "control",
                "comparison": claim.comparison,
                "region": REGION,
                "effect": effect,
                "low": low,
                "high": high,
                "n": tested.estimate.n,
                "p": tested.p,
                "p_holm": p_holm,
                "p_against": tested.p_against,
                "p_against_holm": against_holm,
                "verdict": verdict,
                "remark": "; ".join(filter(None, [tested.remark, *_censored(rows)])),
            }
        )
    return pd.DataFrame(table)


def _censored(rows: pd.DataFrame) -> Iterator[str]:
    if count := int((rows["censored"] != "").sum()):
        yield (
            f"of {count} of {len(rows)} subsets a curve does not cross the level: "
            "their ratios count as far as measured in the effect, and at their bounds in interval "
            "and p"
        )
    never = rows["censored"].str.contains("never")
    if never.any():
        yield f"{int(never.sum())} never fall below it: add smaller values of density"


def _logs(rows: pd.DataFrame) -> tuple[NDArray[np.float64], ...]:
    """Logarithms of the ratio gained, of its lower bound and of its upper bound: (n,) each."""
    names = ("gained", "gained_low", "gained_high")
    with np.errstate(divide="ignore"):
        return tuple(np.log(rows[name].to_numpy(float)).round(DECIMALS) for name in names)


def mean(rows: pd.DataFrame, rigour: Rigour) -> RatioEffect:
    """The mean over subsets; with bounds, the interval spans those of both bounds' means."""
    middle, lows, highs = _logs(rows)
    test = partial(sign_flip_p, bound=0.0, resamples=rigour.flips, seed=rigour.seed)
    estimates = [_mean(values, rigour) for values in (middle, lows, highs)]
    p = test(lows, alternative="greater") if np.isfinite(lows).all() else 1.0
    p_against = test(highs, alternative="less") if np.isfinite(highs).all() else 1.0
    return RatioEffect(_spanned(*estimates), p, p_against)


def slope(rows: pd.DataFrame, rigour: Rigour) -> RatioEffect:
    """How much more is gained at the upper quartile of median ICD than at the lower.

    With bounds, curves are fitted to the flattest and to the steepest gains that these allow.
    """
    icd = rows["median_icd"].to_numpy(float)
    middle, lows, highs = _logs(rows)
    run = float(np.log(np.quantile(icd, UPPER) / np.quantile(icd, LOWER)))
    right = np.log(icd) > np.log(icd).mean()  # where a higher gain makes the slope steeper
    data = (middle, np.where(right, lows, highs), np.where(right, highs, lows))
    unknown = Estimate(NONE, NONE, NONE, len(rows))
    if len(rows) < FEWEST_FOR_CURVE or np.ptp(icd) == 0:
        remark = f"no curve: it needs {FEWEST_FOR_CURVE} subsets of different ICD"
        return RatioEffect(unknown, NONE, NONE, remark)
    curves = [_curve(icd, values, rigour) for values in data]
    estimates = [_risen(curve, run, sign) for curve, sign in zip(curves, (1, -1, 1), strict=True)]
    estimate = _spanned(*estimates)
    if len(rows) < FEWEST:
        remark = f"a curve through fewer than {FEWEST} subsets has no p"
        return RatioEffect(estimate, NONE, NONE, remark)
    flat, steep = curves[1:]
    p = _p(flat, "greater") if flat else 1.0
    p_against = _p(steep, "less") if steep else 1.0
    return RatioEffect(estimate, p, p_against)


def _curve(icd: NDArray[np.float64], d: NDArray[np.float64], rigour: Rigour) -> LogCurve | None:
    if not np.isfinite(d).all():
        return None
    return fit_log_curve(icd, d, rigour.confidence, rigour.draws, rigour.seed)


def _risen(curve: LogCurve | None, run: float, sign: int) -> Estimate:
    """The rise between the quartiles; without a curve it is infinite, with the sign ``sign``."""
    if curve is None:
        return Estimate(*[sign * np.inf] * 3, 0)
    return Estimate(*(run * a for a in (curve.a, *curve.a_interval)), curve.n)


def _p(curve: LogCurve, alternative: Alternative) -> float:
    return p_of_draws(curve.draws[0], 0.0, alternative, curve.n, PARAMETERS)


def _mean(d: NDArray[np.float64], rigour: Rigour) -> Estimate:
    if not np.isfinite(d).all():
        return Estimate(*[float(d.sum())] * 3, len(d))
    return mean_interval(d, rigour.confidence, rigour.resamples, rigour.seed)


def _spanned(middle: Estimate, low: Estimate, high: Estimate) -> Estimate:
    """The value of ``middle``, from the lower limit of ``low`` to the upper limit of ``high``."""
    return Estimate(middle.value, low.low, high.high, middle.n)
