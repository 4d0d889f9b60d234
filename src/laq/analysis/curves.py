"""Curves of accuracy against median ICD: one for each setting, variant and scope."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from laq.analysis.observations import DECIMALS, ORIGINAL
from laq.analysis.statistics import (
    FEWEST_FOR_CURVE,
    FEWEST_FOR_RANKS,
    Crossing,
    LogCurve,
    crossing,
    fit_log_curve,
    spearman,
)
from laq.utils.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

Key = tuple[str, str, str]

NONE = float("nan")


@dataclass(frozen=True)
class Curves:
    """Fits y = a ln(x) + c by (setting, variant, scope), in the order of the accuracy table.

    ``points``: the table's rows of every key. ``fits``: the curves, except of keys with too few
    subsets. ``gains``: tables with the columns subset, repeat, median_icd and gain, of keys whose
    setting has an original, except the original itself. ``crossings``: fitted to the gains.
    """

    points: dict[Key, pd.DataFrame]
    fits: dict[Key, LogCurve]
    gains: dict[Key, pd.DataFrame]
    crossings: dict[Key, Crossing]
    confidence: float
    seed: int

    def table(self) -> pd.DataFrame:
        """One row a curve: the columns of ``tables/curves.csv``.

        Estimates are over all points. The unit of p values and intervals is a subset with all its
        repeats. Values that too few subsets cannot give are empty, and so are those of a gain in
        the rows of an original.
        """
        import pandas as pd

        table = pd.DataFrame([self._row(key) for key in self.points])
        return table.astype({"above": "Int64"})

    def _row(self, key: Key) -> dict[str, Any]:
        fit, points, gains = self.fits.get(key), self.points[key], self.gains.get(key)
        row: dict[str, Any] = dict(zip(("setting", "variant", "scope"), key, strict=True))
        row |= {
            "n": len(points),
            "subsets": points["subset"].nunique(),
            "mean": points["top1"].mean(),
        }
        for name in ("a", "c"):
            low, high = getattr(fit, f"{name}_interval", (NONE, NONE))
            row |= {name: getattr(fit, name, NONE), f"{name}_low": low, f"{name}_high": high}
        row |= dict.fromkeys(("spearman", "spearman_low", "spearman_high", "spearman_p"), NONE)
        row |= {"spearman_top1": _rho(points, "top1"), "above": None}
        if gains is not None:
            means = gains.groupby("subset", sort=False)[["median_icd", "gain"]].mean()
            means = means.round(DECIMALS)
            ranks = spearman(means["median_icd"], means["gain"], self.confidence, seed=self.seed)
            row |= {
                "spearman": _rho(gains, "gain"),
                "spearman_low": ranks.low,
                "spearman_high": ranks.high,
                "spearman_p": ranks.p,
                "above": int((gains["gain"] > 0).sum()),
            }
        crossing = self.crossings.get(key)
        row |= {
            "crossing": getattr(crossing, "x", NONE),
            "crossing_low": getattr(crossing, "low", NONE),
            "crossing_high": getattr(crossing, "high", NONE),
        }
        return row


def fit_curves(table: pd.DataFrame, confidence: float, resamples: int, seed: int) -> Curves:
    """Fit top-1 (as a share) and its gain over the original against median ICD.

    ``table``: as ``observations.read`` gives it. Every row is a point of the fit. The bootstrap
    resamples subsets, each with its repeats. A gain is a variant's repeat r less the original's
    repeat r of that subset, or less the original's only row. Fewer than three subsets, as of a
    study of one deployed class list, make no curve, and neither do subsets at one distance.

    Raises:
        DataError: a distance that has no logarithm; a variant's row without its original.
    """
    columns = ["setting", "variant", "scope"]
    points = {tuple(map(str, key)): rows for key, rows in table.groupby(columns, sort=False)}
    options = {"confidence": confidence, "resamples": resamples, "seed": seed}
    fits: dict[Key, LogCurve] = {}
    gains: dict[Key, pd.DataFrame] = {}
    crossings: dict[Key, Crossing] = {}
    for key, rows in points.items():
        setting, variant, scope = key
        original = points.get((setting, ORIGINAL, scope))
        if variant != ORIGINAL and original is not None:
            gains[key] = _gains(rows, original, key)
        if rows["subset"].nunique() < FEWEST_FOR_CURVE or rows["median_icd"].nunique() < 2:
            continue
        try:
            fits[key] = fit_log_curve(*_xy(rows, "top1"), groups=rows["subset"], **options)
            if key in gains:
                gain = gains[key]
                crossings[key] = crossing(*_xy(gain, "gain"), groups=gain["subset"], **options)
        except DataError as error:
            raise DataError(f"no curve for {' / '.join(key)}: {error}") from error
    return Curves(points, fits, gains, crossings, confidence, seed)


def _gains(rows: pd.DataFrame, original: pd.DataFrame, key: Key) -> pd.DataFrame:
    """The rows' top-1 less the original's: subset, repeat, median_icd, gain."""
    keys = ["subset", "repeat"]
    reference = rows[keys].merge(original[[*keys, "top1"]], on=keys, how="left")["top1"].to_numpy()
    single = original.drop_duplicates("subset", keep=False).set_index("subset")["top1"]
    fallback = rows["subset"].map(single).to_numpy(float)
    reference = np.where(np.isnan(reference), fallback, reference)
    if np.isnan(reference).any():
        subset, repeat = rows[keys].iloc[int(np.flatnonzero(np.isnan(reference))[0])]
        raise DataError(
            f"{' / '.join(key)} has subset {subset}, repeat {repeat}, and {ORIGINAL} has not: "
            "delete the accuracy table and run again"
        )
    gain = (rows["top1"] - reference).round(DECIMALS)
    return rows[["subset", "repeat", "median_icd"]].assign(gain=gain)


def _xy(rows: pd.DataFrame, column: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return rows["median_icd"].to_numpy(float), rows[column].to_numpy(float)


def _rho(rows: pd.DataFrame, column: str) -> float:
    """Spearman's rho of a column with median ICD over all points, NaN where there is none."""
    from scipy.stats import spearmanr

    x, y = _xy(rows, column)
    if len(x) < FEWEST_FOR_RANKS or np.ptp(x) == 0 or np.ptp(y) == 0:
        return NONE
    return float(spearmanr(x, y).statistic)
