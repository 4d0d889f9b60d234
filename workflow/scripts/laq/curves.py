"""Curves of accuracy against median ICD: one for each network, variant and scope."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from laq.errors import DataError
from laq.statistics import FEWEST_FOR_CURVE, LogCurve, fit_log_curve

if TYPE_CHECKING:
    import pandas as pd

Key = tuple[str, str, str]


@dataclass(frozen=True)
class Curves:
    """Fits y = a ln(x) + c by (network, variant, scope), in the order of the accuracy table.

    ``points`` has every key; ``fits`` lacks those with too few subsets for a curve.
    """

    fits: dict[Key, LogCurve]
    points: dict[Key, pd.DataFrame]

    def table(self) -> pd.DataFrame:
        """One row a curve: a and c with their intervals, n subsets, the mean accuracy.

        What too few subsets cannot give is empty.
        """
        import pandas as pd

        return pd.DataFrame([self._row(key) for key in self.points])

    def _row(self, key: Key) -> dict[str, Any]:
        fit, points = self.fits.get(key), self.points[key]
        row = dict(zip(("network", "variant", "scope"), key, strict=True))
        row |= {"n": len(points), "mean_top1": points["top1"].mean()}
        for name in ("a", "c"):
            low, high = getattr(fit, f"{name}_interval", (None, None))
            row |= {name: getattr(fit, name, None), f"{name}_low": low, f"{name}_high": high}
        return row


def fit_curves(accuracy: pd.DataFrame, confidence: float, resamples: int, seed: int) -> Curves:
    """Fit top-1 (as a share) against median ICD over the subsets.

    ``accuracy``: the long table with columns network, subset, variant, scope, median_icd, top1.
    Fewer than three subsets, as of a study of one deployed class list, make no curve.

    Raises:
        DataError: a distance that has no logarithm, or all distances alike.
    """
    fits, points = {}, {}
    for (network, variant, scope), rows in accuracy.groupby(
        ["network", "variant", "scope"], sort=False
    ):
        key = (str(network), str(variant), str(scope))
        points[key] = rows
        if len(rows) < FEWEST_FOR_CURVE:
            continue
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
    return Curves(fits, points)
