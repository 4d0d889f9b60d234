"""One curve of drops over the share that is quantized, with bootstrap intervals.

The shares are those of a design and not random, so the bootstrap keeps them. It resamples the
residual of each run and, in each repeat, that of the control, which all its drops share.
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
# A form is D(x) = a g(x) with g(0) = 0 and g(1) = 1: the drop is 0 with nothing quantized, and a
# with the whole network quantized. g has up to two shape parameters. For given shapes a is a
# least-squares factor, so that only the shapes are searched for (variable projection, Golub and
# Pereyra 1973). The search grid is refined around its best point. It cannot fail to converge, and
# it fits any number of weightings of the same points at once.


Array = NDArray[np.float64]

# Number of grid refinements, and the factor of each: shapes have three exact digits or more.
REFINEMENTS, FINER = 5, 4
COARSE = 2  # refinements for one of many bootstrap draws


@dataclass(frozen=True)
class Form:
    """A form of ``D(x) = a g(x)``; x from 0 to 1.

    formula: as text. g: a function of x (…) and the shape parameters, which broadcast. grids: of
    each shape the initial grid of the search, as its least value, its largest, their number, and
    whether the values are logarithms of the shape to base 2.
    """

    name: str
    formula: str
    g: Callable[..., Array]
    grids: tuple[tuple[float, float, int, bool], ...] = ()
    constant: bool = False

    @property
    def parameters(self) -> int:
        """Number of fitted parameters."""
        return 0 if self.constant else 1 + len(self.grids)

    def at(self, x: ArrayLike, parameters: Array) -> Array:
        """D at x (n,) for ``parameters`` (…, 3), NaN where the form has fewer: (…, n)."""
        x = np.asarray(x, dtype=np.float64)
        if self.constant:
            return np.zeros((*parameters.shape[:-1], *x.shape))
        a = parameters[..., :1]
        shapes = [parameters[..., index, None] for index in range(1, 1 + len(self.grids))]
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
        batch_shape = y.shape[:-1]
        # Points at the same x are merged into one, with their mean and their total weight.
        x, inverse = np.unique(x, return_inverse=True)
        one_hot = np.eye(len(x))[inverse]
        wy, w = (w * y).reshape(-1, len(inverse)) @ one_hot, w.reshape(-1, len(inverse)) @ one_hot
        parameters = np.full((len(w), 3), np.nan)
        if not self.constant:
            shapes = self._search(x, w, wy, refinements)
            parameters[:, 0] = _factor(self._basis(x, shapes), w, wy)
            parameters[:, 1 : 1 + len(self.grids)] = self._stated(shapes)
        return parameters.reshape(*batch_shape, 3)

    def _search(self, x: Array, w: Array, wy: Array, refinements: int) -> Array:
        """The best shapes of each weighting: (B, shapes)."""
        axes = [np.linspace(low, high, count) for low, high, count, _ in self.grids]
        grid = np.array(list(product(*axes)), dtype=np.float64)
        basis = self._basis(x, grid)
        best = grid[_best(wy @ basis.T, w @ (basis**2).T)]
        steps = np.array([axis[1] - axis[0] for axis in axes])
        low = np.array([axis[0] for axis in axes])
        high = np.array([axis[-1] for axis in axes])
        axis_steps = np.arange(-FINER, FINER + 1)
        offsets = np.array(list(product(axis_steps, repeat=len(axes))), dtype=np.float64)
        for _ in range(refinements if axes else 0):
            steps = steps / FINER
            best = np.concatenate(
                [
                    self._nearer(
                        x, w[chunk], wy[chunk], np.clip(centre + offsets * steps, low, high)
                    )
                    for chunk in _parts(len(best))
                    for centre in (best[chunk, None],)
                ]
            )
        return best

    def _nearer(self, x: Array, w: Array, wy: Array, shapes: Array) -> Array:
        """The best of the shapes (B, F, p) that each weighting (B, n) may have: (B, p)."""
        basis = self._basis(x, shapes)
        index = _best((basis * wy[:, None]).sum(-1), (basis**2 * w[:, None]).sum(-1))
        return shapes[np.arange(len(shapes)), index]

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
    """Index, of F bases, of the least sum of squares: (B, F) → (B,); of ties the middle one."""
    gains = np.divide(products**2, squares, out=np.zeros_like(products), where=squares > 0)
    ties = gains >= gains.max(-1, keepdims=True) * (1 - 1e-12)
    distance = np.abs(np.arange(gains.shape[-1]) - gains.shape[-1] // 2)
    return np.where(ties, distance, gains.shape[-1]).argmin(-1)


def _parts(count: int) -> Iterator[slice]:
    """Slices of 256 weightings, so that memory does not grow with their number."""
    return (slice(start, start + 256) for start in range(0, count, 256))


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
    empty where runs are too few. spread: the standard deviation of a run, in units of that of a
    rate. free: the degrees of freedom of its estimate. tail: the share of draws beyond each limit
    of the curve's interval. beyond: the same of the interval of one run. control: the mean top-1 of
    the controls. images: the number of images that top-1 is a rate of.
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

        The noise of the run and of its control is that of the fitted runs. These only estimate its
        variance, so draws are widened as Student's t is wider than a normal distribution.
        """
        drop = self.form.at(x, self.draws)
        if not len(drop):
            return self._between(drop, x)
        rng, fitted = seeds.stream(seed, "foretold"), self.at(x)
        widening = np.sqrt(self.free / rng.chisquare(self.free, (len(drop), 1)))
        run_deviation = np.hypot(self._deviation(fitted), self._deviation(np.zeros(1)))
        noise = rng.standard_normal(drop.shape) * self.spread * run_deviation
        samples = fitted + widening * (drop - fitted + noise)
        low, high = np.quantile(samples, [self.beyond, 1 - self.beyond], axis=0)
        return low, high

    def intervals(self) -> tuple[Array, Array]:
        """Intervals of the parameters, (3,) each."""
        low, high = self._between(self.draws, self.parameters)
        finite = np.isfinite(self.parameters)
        return np.where(finite, low, np.nan), np.where(finite, high, np.nan)

    def _between(self, values: Array, like: ArrayLike) -> tuple[Array, Array]:
        if not len(values):
            unknown = np.full(np.shape(like), np.nan)
            return unknown, unknown
        low, high = np.quantile(values, [self.tail, 1 - self.tail], axis=0)
        return low, high

    def _deviation(self, drop: Array) -> Array:
        return deviation(self.control - drop, self.images)


def deviation(rate: Array, images: int) -> Array:
    """Standard deviation of one image's answer, since runs differ more where more is wrong.

    The rate is kept at least 1 / ``images`` away from 0 and 1.
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
    its rate's standard deviation. It subtracts one residual per repeat for the control, a run like
    any other, which the drops of the repeat share. Residuals are taken about the mean of their
    repeat and widened for the fitted parameters and means. Intervals leave out the tail of
    Student's t.

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
    dof = n - form.parameters - (repeats - 1)
    draws, spread, tail = np.empty((0, 3)), float("nan"), float("nan")
    if n >= FEWEST and dof >= 1 and resamples:
        unit = deviation(controls - fitted, images)
        residuals = _without_means(y - fitted, repeat) / unit * np.sqrt(n / dof)
        residuals -= residuals.mean()
        spread = float(np.sqrt(np.mean(residuals**2)))
        rng = np.random.default_rng(seed)
        run_noise = rng.choice(residuals, (resamples, n)) * unit
        control_noise = rng.choice(residuals, (resamples, repeats))[:, repeat]
        drops = fitted + run_noise - control_noise * deviation(controls, images)
        draws = form.fit(x, drops, refinements=COARSE)
        tail = float(ndtr(stdtrit(dof, (1 - confidence) / 2)))
    control = float(controls.mean())
    run_tail = (1 - confidence) / 2
    return Curve(
        *(form, variable, parameters, draws, spread, dof, tail, run_tail, control, images, n, rmse)
    )


def _without_means(values: Array, group: NDArray[np.intp]) -> Array:
    sums = np.bincount(group, values)
    return values - (sums / np.bincount(group))[group]
