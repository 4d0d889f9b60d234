"""Rank correlation of two distance matrices over the same classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from laq.analysis.statistics.bootstrap import FEWEST, UNKNOWN, Interval, check_confidence
from laq.analysis.statistics.rank import FEWEST_FOR_RANKS, Association
from laq.utils.errors import DataError

Matrix = NDArray[np.float64]


def matrix_spearman(
    x: ArrayLike,
    y: ArrayLike,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Association:
    """Spearman's rho of ``x`` and ``y``, (C, C) and symmetric, over pairs of different classes.

    The observations are the C classes, not their pairs, of which each class has C - 1: ``n`` is C.
    p: two-sided, by permuting the classes of one matrix ``resamples`` times (Mantel 1967), the data
    counted among the permutations. Interval: Student's about Fisher's z, with the error of leaving
    one class out at a time (jackknife). Measured for nominal 95 % intervals of points in the plane
    and the same points moved at random, 100 to 200 studies each: 0.97-1.00 at 10 classes and true
    rho of 0, 0.4 and 0.9, at 30 classes 0.95 and 0.92 at 0.4 and 0.9.

    Raises:
        DataError: if the matrices are not square and of one shape.
        ConfigError: if the confidence is not between 0 and 1.
    """
    check_confidence(confidence)
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    n = len(x)
    if x.shape != (n, n) or y.shape != (n, n):
        raise DataError(f"matrices of shape {x.shape} and {y.shape}: give two square ones alike")
    rho = _rho(x, y)
    if n < FEWEST_FOR_RANKS or np.isnan(rho):
        return Association(*[float("nan")] * 4, n)
    return Association(rho, *_interval(x, y, rho, confidence), _mantel_p(x, y, resamples, seed), n)


def _rho(x: Matrix, y: Matrix) -> float:
    """NaN where one of them is constant, or there is no pair."""
    a, b = _ranks(x), _ranks(y)
    size = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / size) if size else float("nan")


def _ranks(matrix: Matrix) -> Matrix:
    """The pairs' ranks less their mean: whole or half, so that sums of products are exact."""
    from scipy.stats import rankdata

    pairs = matrix[np.triu_indices(len(matrix), 1)]
    return rankdata(pairs) - (len(pairs) + 1) / 2


def _interval(x: Matrix, y: Matrix, rho: float, confidence: float) -> Interval:
    from scipy.special import stdtrit

    n = len(x)
    others = [np.delete(np.arange(n), left_out) for left_out in range(n)]
    without = np.array([_rho(x[np.ix_(kept, kept)], y[np.ix_(kept, kept)]) for kept in others])
    if n < FEWEST or max(abs(rho), *abs(without)) >= 1 or np.isnan(without).any():
        return UNKNOWN
    z = np.arctanh(without)
    error = np.sqrt((n - 1) / n * np.square(z - z.mean()).sum())
    reach = -stdtrit(n - 2, (1 - confidence) / 2) * error
    low, high = np.tanh(np.arctanh(rho) + np.array([-reach, reach]))
    return float(low), float(high)


def _mantel_p(x: Matrix, y: Matrix, resamples: int, seed: int) -> float:
    upper = np.triu_indices(len(x), 1)
    ranks, others = np.zeros_like(x), _ranks(y)
    ranks[upper] = _ranks(x)
    ranks += ranks.T
    found, rng = abs(ranks[upper] @ others), np.random.default_rng(seed)
    orders = (rng.permutation(len(x)) for _ in range(resamples))
    extreme = sum(abs(ranks[np.ix_(order, order)][upper] @ others) >= found for order in orders)
    return float((extreme + 1) / (resamples + 1))
