"""Rank correlation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from laq.analysis.statistics.bootstrap import FEWEST, UNKNOWN, Interval, check_confidence
from laq.utils.errors import DataError

# Two lists of numbers, a pair a point.


def pairs(x: ArrayLike, y: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """``x`` and ``y`` as float64 (n,).

    Raises:
        DataError: if they are no lists, or differ in length.
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape:
        raise DataError(
            f"x of shape {x.shape} and y of shape {y.shape}: give two lists of equal length"
        )
    return x, y


# Two pairs are in order or not, which is no correlation.
FEWEST_FOR_RANKS = 3


@dataclass(frozen=True)
class Association:
    """Spearman's rho with its interval, the two-sided p of no association, and n pairs.

    All are NaN with fewer than three pairs, or where x or y is constant; the interval is with
    fewer than ``FEWEST``.
    """

    rho: float
    low: float
    high: float
    p: float
    n: int


def spearman(
    x: ArrayLike,
    y: ArrayLike,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Association:
    """Spearman's rank correlation of ``x`` (n,) and ``y`` (n,), a pair a subset.

    p: by permutation of the pairs, all n! of them if they are no more than ``resamples``, else
    so many drawn and the data counted among them. The usual t approximation errs to the small
    side in the tail that Holm's correction looks at (at n = 12 by 1.2 at 0.005, by 1.7 at 0.001).

    Interval: Fisher's z with the variance (1 + ρ²/2)/(n - 3) of Bonett and Wright (2000), about
    a rho no nearer to ±1 than one swap of neighbours, since ranks in perfect order do not prove
    that the next will be. Measured for nominal 95 % intervals of normal pairs, 500 studies each:
    0.95-0.99 for true rho up to 0.8 at n = 6, 12 and 35; at a rho of 0.95 0.97, 0.94 and 0.95,
    at 0.99 0.91, 0.85 and 0.87. Without that bound 0.76 and 0.40 at n = 6. A bootstrap of pairs
    repeats pairs, so that ranks tie, and is wider by up to a half for no more coverage.

    Raises:
        DataError: if x and y differ in length or hold values that are not finite.
        ConfigError: if the confidence is not between 0 and 1.
    """
    from scipy.stats import permutation_test, rankdata

    check_confidence(confidence)
    x, y = _pairs(x, y)
    n = len(x)
    if n < FEWEST_FOR_RANKS or np.ptp(x) == 0 or np.ptp(y) == 0:
        return Association(*[float("nan")] * 4, n)
    ranks = rankdata(x) - (n + 1) / 2
    other_ranks = rankdata(y) - (n + 1) / 2
    norm = np.sqrt(np.square(ranks).sum() * np.square(other_ranks).sum())

    # Ranks are multiples of 1/2: sums of their products are exact, so that ties are recognised.
    def products(ordered: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
        return np.abs((ordered * other_ranks).sum(axis=axis))

    p = permutation_test(
        (ranks,),
        products,
        permutation_type="pairings",
        vectorized=True,
        alternative="greater",
        n_resamples=resamples,
        rng=np.random.default_rng(seed),
    ).pvalue
    rho = float((ranks * other_ranks).sum() / norm)
    return Association(rho, *_interval(rho, n, confidence), float(p), n)


def _interval(rho: float, n: int, confidence: float) -> Interval:
    from scipy.special import ndtri

    if n < FEWEST:
        return UNKNOWN
    # Without ties the largest rho below 1: two neighbours swapped.
    max_rho = 1 - 12 / (n * (n**2 - 1))
    centre = float(np.clip(rho, -max_rho, max_rho))
    half_width = ndtri((1 + confidence) / 2) * np.sqrt((1 + centre**2 / 2) / (n - 3))
    low, high = np.tanh(np.arctanh(centre) + np.array([-half_width, half_width]))
    return (-1.0 if rho <= -max_rho else float(low)), (1.0 if rho >= max_rho else float(high))


def _pairs(x: ArrayLike, y: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both as float64 (n,), if they are finite and of one length."""
    x, y = pairs(x, y)
    invalid = ~(np.isfinite(x) & np.isfinite(y))
    if invalid.any():
        index = int(np.flatnonzero(invalid)[0])
        raise DataError(f"the pair {x[index]:g}, {y[index]:g} at {index} has no rank: leave it out")
    return x, y


# Rank correlation of two distance matrices over the same classes.


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
    return Association(
        rho, *_interval_matrices(x, y, rho, confidence), _mantel_p(x, y, resamples, seed), n
    )


def _rho(x: Matrix, y: Matrix) -> float:
    """NaN where one of them is constant, or there is no pair."""
    a, b = _ranks(x), _ranks(y)
    norm = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / norm) if norm else float("nan")


def _ranks(matrix: Matrix) -> Matrix:
    """The pairs' ranks less their mean: multiples of 1/2, so that sums of products are exact."""
    from scipy.stats import rankdata

    distances = matrix[np.triu_indices(len(matrix), 1)]
    return rankdata(distances) - (len(distances) + 1) / 2


def _interval_matrices(x: Matrix, y: Matrix, rho: float, confidence: float) -> Interval:
    from scipy.special import stdtrit

    n = len(x)
    index_sets = [np.delete(np.arange(n), left_out) for left_out in range(n)]
    jackknife = np.array(
        [_rho(x[np.ix_(kept, kept)], y[np.ix_(kept, kept)]) for kept in index_sets]
    )
    if n < FEWEST or max(abs(rho), *abs(jackknife)) >= 1 or np.isnan(jackknife).any():
        return UNKNOWN
    z = np.arctanh(jackknife)
    error = np.sqrt((n - 1) / n * np.square(z - z.mean()).sum())
    half_width = -stdtrit(n - 2, (1 - confidence) / 2) * error
    low, high = np.tanh(np.arctanh(rho) + np.array([-half_width, half_width]))
    return float(low), float(high)


def _mantel_p(x: Matrix, y: Matrix, resamples: int, seed: int) -> float:
    upper = np.triu_indices(len(x), 1)
    ranks, other_ranks = np.zeros_like(x), _ranks(y)
    ranks[upper] = _ranks(x)
    ranks += ranks.T
    observed, rng = abs(ranks[upper] @ other_ranks), np.random.default_rng(seed)
    orders = (rng.permutation(len(x)) for _ in range(resamples))
    extreme = sum(
        abs(ranks[np.ix_(order, order)][upper] @ other_ranks) >= observed for order in orders
    )
    return float((extreme + 1) / (resamples + 1))
