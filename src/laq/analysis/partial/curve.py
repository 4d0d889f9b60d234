"""One curve of drops over the share that is quantized, with what chance may have made of it.

The shares are those of a design, not drawn, so the bootstrap keeps them and draws runs anew: each
run's residual, and in each repeat that of the control, which all its drops have in common.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from laq.analysis.statistics.bootstrap import FEWEST, check_confidence
from laq.utils import seeds

if TYPE_CHECKING:
    import pandas as pd


# Candidate forms of the accuracy drop against the share that is quantized, fitted exactly.
#
# A form is D(x) = a g(x) with g(0) = 0 and g(1) = 1: nothing quantized loses nothing, and a is
# what the whole network loses. g has up to two shape parameters. For given ones a is a
# least-squares factor, so that only they are searched for (variable projection, Golub and Pereyra
# 1973): on a grid that is refined around its best point, which cannot fail to converge, and takes
# any number of weightings of the same points at once.


Array = NDArray[np.float64]

# Times that the grid is refined, each by this factor: shapes are found to three digits and more.
REFINEMENTS, FINER = 5, 4
COARSE = 2  # refinements of what is only one of many draws


@dataclass(frozen=True)
class Form:
    """A form of ``D(x) = a g(x)``; x from 0 to 1.

    formula: in words. g: of x (…) and the shape parameters, each broadcast. grids: of each shape
    the values that the search begins with, as their least, largest and number, and whether these
    are powers of 2 of what is stated.
    """

    name: str
    formula: str
    g: Callable[..., Array]
    grids: tuple[tuple[float, float, int, bool], ...] = ()
    constant: bool = False

    @property
    def parameters(self) -> int:
        """How many are fitted."""
        return 0 if self.constant else 1 + len(self.grids)

    def at(self, x: ArrayLike, parameters: Array) -> Array:
        """D at x (n,) for ``parameters`` (…, 3), NaN where the form has fewer: (…, n)."""
        x = np.asarray(x, dtype=np.float64)
        if self.constant:
            return np.zeros((*parameters.shape[:-1], *x.shape))
        a = parameters[..., :1]
        shapes = [parameters[..., place, None] for place in range(1, 1 + len(self.grids))]
        return a * self.g(x, *shapes)

    def fit(
        self,
        x: ArrayLike,
        y: ArrayLike,
        weights: ArrayLike | None = None,
        refinements: int = REFINEMENTS,
    ) -> Array:
        """Least-squares parameters a, b, c of y (…, n) at x (n,): (…, 3), NaN for those not there.

        weights: (…, n), broadcast with y. Where they leave nothing to fit, a is 0.
        """
        x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
        w = np.ones(x.shape) if weights is None else np.asarray(weights, dtype=np.float64)
        w, y = np.broadcast_arrays(w, y)
        lead = y.shape[:-1]
        # Points at the same x are one point, of their mean and with their weight.
        x, place = np.unique(x, return_inverse=True)
        gather = np.eye(len(x))[place]
        wy, w = (w * y).reshape(-1, len(place)) @ gather, w.reshape(-1, len(place)) @ gather
        found = np.full((len(w), 3), np.nan)
        if not self.constant:
            shapes = self._search(x, w, wy, refinements)
            found[:, 0] = _factor(self._basis(x, shapes), w, wy)
            found[:, 1 : 1 + len(self.grids)] = self._stated(shapes)
        return found.reshape(*lead, 3)

    def _search(self, x: Array, w: Array, wy: Array, refinements: int) -> Array:
        """The best shapes of each weighting: (B, shapes)."""
        axes = [np.linspace(low, high, count) for low, high, count, _ in self.grids]
        grid = np.array(list(product(*axes)), dtype=np.float64)
        basis = self._basis(x, grid)
        best = grid[_best(wy @ basis.T, w @ (basis**2).T)]
        steps = np.array([axis[1] - axis[0] for axis in axes])
        low = np.array([axis[0] for axis in axes])
        high = np.array([axis[-1] for axis in axes])
        near_by = np.arange(-FINER, FINER + 1)
        around = np.array(list(product(near_by, repeat=len(axes))), dtype=np.float64)
        for _ in range(refinements if axes else 0):
            steps = steps / FINER
            best = np.concatenate(
                [
                    self._nearer(x, w[part], wy[part], np.clip(own + around * steps, low, high))
                    for part in _parts(len(best))
                    for own in (best[part, None],)
                ]
            )
        return best

    def _nearer(self, x: Array, w: Array, wy: Array, shapes: Array) -> Array:
        """The best of the shapes (B, F, p) that each weighting (B, n) may have: (B, p)."""
        basis = self._basis(x, shapes)
        place = _best((basis * wy[:, None]).sum(-1), (basis**2 * w[:, None]).sum(-1))
        return shapes[np.arange(len(shapes)), place]

    def _stated(self, shapes: Array) -> Array:
        """Shapes (…, p) as g takes them."""
        logarithmic = np.array([grid[3] for grid in self.grids], dtype=bool)
        return np.where(logarithmic, np.exp2(np.where(logarithmic, shapes, 0)), shapes)

    def _basis(self, x: Array, shapes: Array) -> Array:
        """g at x (n,) for shapes (…, p): (…, n)."""
        g = self.g(x, *np.moveaxis(self._stated(shapes), -1, 0)[..., None])
        return np.broadcast_to(g, (*shapes.shape[:-1], len(x)))


def _factor(basis: Array, w: Array, wy: Array) -> Array:
    """The factor a of each weighting (B, n) of bases (B, n): (B,)."""
    products, squares = (basis * wy).sum(-1), (basis**2 * w).sum(-1)
    return np.divide(products, squares, out=np.zeros_like(products), where=squares > 0)


def _best(products: Array, squares: Array) -> NDArray[np.intp]:
    """Which of F bases lessens the sum of squares most: (B, F) → (B,); of equal ones the middle."""
    gained = np.divide(products**2, squares, out=np.zeros_like(products), where=squares > 0)
    alike = gained >= gained.max(-1, keepdims=True) * (1 - 1e-12)
    aside = np.abs(np.arange(gained.shape[-1]) - gained.shape[-1] // 2)
    return np.where(alike, aside, gained.shape[-1]).argmin(-1)


def _parts(count: int) -> Iterator[slice]:
    """A few hundred weightings at a time, so that memory does not grow with their number."""
    return (slice(first, first + 256) for first in range(0, count, 256))


def _power(x: Array, b: Array) -> Array:
    return x**b


def _exponential(x: Array, b: Array) -> Array:
    flat = np.abs(b) < 1e-9  # where its limit is the straight line
    safe = np.where(flat, 1.0, b)
    return np.where(flat, x, np.expm1(-safe * x) / np.expm1(-safe))


def _logistic(x: Array, b: Array, c: Array) -> Array:
    def rise(at: ArrayLike) -> Array:
        return 1 / (1 + np.exp(-b * (at - c)))

    return (rise(x) - rise(0.0)) / (rise(1.0) - rise(0.0))


FORMS = {
    form.name: form
    for form in (
        Form("zero", "0", np.zeros_like, constant=True),
        Form("linear", "a x", lambda x: x),
        Form("power", "a x^b", _power, ((-4.0, 4.0, 65, True),)),
        Form(
            "exponential",
            "a (1 - e^(-b x)) / (1 - e^(-b))",
            _exponential,
            ((-10.0, 10.0, 41, False),),
        ),
        Form(
            "logistic",
            "a (s(x) - s(0)) / (s(1) - s(0)), s(x) = 1 / (1 + e^(-b (x - c)))",
            _logistic,
            ((1.0, 6.0, 21, True), (0.0, 1.0, 21, False)),
        ),
    )
}


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
