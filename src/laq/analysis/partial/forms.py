"""Candidate forms of the accuracy drop against the share that is quantized, fitted exactly.

A form is D(x) = a g(x) with g(0) = 0 and g(1) = 1: nothing quantized loses nothing, and a is
what the whole network loses. g has up to two shape parameters. For given ones a is a least-squares
factor, so that only they are searched for (variable projection, Golub and Pereyra 1973): on a
grid that is refined around its best point, which cannot fail to converge, and takes any number of
weightings of the same points at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray

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
