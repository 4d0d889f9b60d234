"""One curve of drops over the share that is quantized, with what chance may have made of it.

The shares are those of a design, not drawn, so the bootstrap keeps them and draws runs anew: each
run's residual, and in each repeat that of the control, which all its drops have in common.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from laq.analysis.partial.forms import COARSE, Array, Form
from laq.analysis.statistics.bootstrap import FEWEST, check_confidence
from laq.utils import seeds

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Curve:
    """A fitted form, ``D(x)`` the drop at the share x.

    parameters: a, b, c, (3,), NaN where the form has fewer. draws: those of B resamples, (B, 3),
    none where runs are too few. tail: share of draws beyond each end of an interval of the curve;
    beyond: of one of runs. spread: standard deviation of a run, in units of that of a rate, and the
    degrees of freedom it was estimated with. control: mean top-1 of the controls. images: that
    top-1 is a rate of.
    """

    form: Form
    variable: str
    parameters: Array
    draws: Array = field(repr=False)
    spread: float
    free: int
    tail: float
    beyond: float
    control: float
    images: int
    n: int
    rmse: float

    def at(self, x: ArrayLike) -> Array:
        """The drop at x (n,): (n,)."""
        return self.form.at(x, self.parameters)

    def band(self, x: ArrayLike) -> tuple[Array, Array]:
        """Pointwise interval of the curve at x (n,)."""
        return self._between(self.form.at(x, self.draws), x)

    def foretold(self, x: ArrayLike, seed: int) -> tuple[Array, Array]:
        """Pointwise interval at x (n,) of the drop that one further run will show.

        Its own chance and that of its control are those of the runs fitted to. As these only
        estimate it, all is drawn wider by what Student's t is wider than a normal.
        """
        drop = self.form.at(x, self.draws)
        if not len(drop):
            return self._between(drop, x)
        rng, at = seeds.stream(seed, "foretold"), self.at(x)
        wider = np.sqrt(self.free / rng.chisquare(self.free, (len(drop), 1)))
        of_run = np.hypot(self._deviation(at), self._deviation(np.zeros(1)))
        noise = rng.standard_normal(drop.shape) * self.spread * of_run
        found = at + wider * (drop - at + noise)
        low, high = np.quantile(found, [self.beyond, 1 - self.beyond], axis=0)
        return low, high

    def intervals(self) -> tuple[Array, Array]:
        """Intervals of the parameters, (3,) each."""
        low, high = self._between(self.draws, self.parameters)
        known = np.isfinite(self.parameters)
        return np.where(known, low, np.nan), np.where(known, high, np.nan)

    def _between(self, values: Array, like: ArrayLike) -> tuple[Array, Array]:
        if not len(values):
            nothing = np.full(np.shape(like), np.nan)
            return nothing, nothing
        low, high = np.quantile(values, [self.tail, 1 - self.tail], axis=0)
        return low, high

    def _deviation(self, drop: Array) -> Array:
        return deviation(self.control - drop, self.images)


def deviation(rate: Array, images: int) -> Array:
    """Standard deviation that one image's answer has, as runs differ more where more is wrong.

    Of a rate nearer to 0 or 1 than one of ``images``, that of one image.
    """
    inside = np.clip(rate, 1 / images, 1 - 1 / images)
    return np.sqrt(inside * (1 - inside))


def fit(
    rows: pd.DataFrame,
    form: Form,
    variable: str,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Curve:
    """The curve of a form through ``rows`` of ``table.curves``, by least squares over runs.

    A resample has each run's fitted drop plus a residual drawn from those of all runs, in units of
    its rate's standard deviation, less one of each repeat for its control: a run like any other,
    which its drops have in common. Residuals are what a repeat's own mean leaves, widened by the
    parameters and means fitted; intervals leave out the tail of Student's t.

    Measured for nominal 95 % intervals of the curve, 6 shares and 3 repeats, power 2, 300 studies
    each: 0.95-0.98 where all runs vary alike, 0.91-0.95 where the curve itself is off by as much,
    0.98-1.00 where controls vary less. Resampling shares and repeats as if drawn at random gives
    bands up to fifty times as wide at the end; runs alone, 0.75-0.97.

    Raises:
        ConfigError: if the confidence is not between 0 and 1.
    """
    from scipy.special import ndtr, stdtrit

    check_confidence(confidence)
    x, y = rows[variable].to_numpy(float), rows["drop"].to_numpy(float)
    repeat = rows.groupby(["network", "repeat"], sort=False).ngroup().to_numpy()
    controls = rows.groupby("network")["control"].transform("mean").to_numpy(float)
    images = int(rows["n"].min())
    parameters = form.fit(x, y)
    fitted = form.at(x, parameters)
    n, repeats = len(y), int(repeat.max()) + 1
    rmse = float(np.sqrt(np.mean((y - fitted) ** 2)))
    free = n - form.parameters - (repeats - 1)
    draws, spread, tail = np.empty((0, 3)), float("nan"), float("nan")
    if n >= FEWEST and free >= 1 and resamples:
        unit = deviation(controls - fitted, images)
        residuals = _without_means(y - fitted, repeat) / unit * np.sqrt(n / free)
        residuals -= residuals.mean()
        spread = float(np.sqrt(np.mean(residuals**2)))
        rng = np.random.default_rng(seed)
        own = rng.choice(residuals, (resamples, n)) * unit
        shared = rng.choice(residuals, (resamples, repeats))[:, repeat]
        drops = fitted + own - shared * deviation(controls, images)
        draws = form.fit(x, drops, refinements=COARSE)
        tail = float(ndtr(stdtrit(free, (1 - confidence) / 2)))
    control = float(controls.mean())
    beyond = (1 - confidence) / 2
    return Curve(
        *(form, variable, parameters, draws, spread, free, tail, beyond, control, images, n, rmse)
    )


def _without_means(values: Array, group: NDArray[np.intp]) -> Array:
    sums = np.bincount(group, values)
    return values - (sums / np.bincount(group))[group]
