"""Curves of accuracy against median ICD: one for each network, variant and scope."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from laq.errors import DataError
from laq.statistics import LogCurve, fit_log_curve

if TYPE_CHECKING:
    import pandas as pd

Key = tuple[str, str, str]


@dataclass(frozen=True)
class Curves:
    """Fits y = a ln(x) + c by (network, variant, scope), in the order of the accuracy table."""

    fits: dict[Key, LogCurve]
    points: dict[Key, pd.DataFrame]

    def table(self) -> pd.DataFrame:
        """One row a curve: a and c with their intervals, n subsets, the mean accuracy."""
        import pandas as pd

        rows = []
        for (network, variant, scope), fit in self.fits.items():
            points = self.points[network, variant, scope]
            rows.append(
                {
                    "network": network,
                    "variant": variant,
                    "scope": scope,
                    "n": len(points),
                    "mean_top1": points["top1"].mean(),
                    "a": fit.a,
                    "a_low": fit.a_interval[0],
                    "a_high": fit.a_interval[1],
                    "c": fit.c,
                    "c_low": fit.c_interval[0],
                    "c_high": fit.c_interval[1],
                }
            )
        return pd.DataFrame(rows)


def fit_curves(accuracy: pd.DataFrame, confidence: float, resamples: int, seed: int) -> Curves:
    """Fit top-1 (as a share) against median ICD over the subsets.

    ``accuracy``: the long table with columns network, subset, variant, scope, median_icd, top1.

    Raises:
        DataError: fewer than three distinct subsets, or a distance that has no logarithm.
    """
    fits, points = {}, {}
    for (network, variant, scope), rows in accuracy.groupby(
        ["network", "variant", "scope"], sort=False
    ):
        key = (str(network), str(variant), str(scope))
        try:
            fits[key] = fit_log_curve(
                rows["median_icd"].to_numpy(float),
                rows["top1"].to_numpy(float),
                confidence=confidence,
                resamples=resamples,
                seed=seed,
            )
        except DataError as error:
            raise DataError(f"no curve for {' / '.join(key)}: {error}") from error
        points[key] = rows
    return Curves(fits, points)
