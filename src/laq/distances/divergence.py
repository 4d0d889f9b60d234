"""Inter-class distance (ICD): symmetrised Kullback-Leibler divergence of class Gaussians.

Each class is a Gaussian in the plane of the embedding. The ICD of two classes i and j is
``(KL(i‖j) + KL(j‖i)) / 2`` in nats, in closed form (Kullback & Leibler 1951; half of their
divergence J).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from laq.utils.errors import ConfigError, DataError
from laq.utils.files import AGAIN, read_table

# Embeddings come as float32: a direction with a standard deviation below 1e-5 of the widest
# is the rounding of the coordinates and says nothing about the class.
MIN_VARIANCE_RATIO = 1e-10


@dataclass(frozen=True, eq=False)
class Gaussians:
    """One Gaussian per class: ``means`` (C, k) and ``covariances`` (C, k, k), float64."""

    means: NDArray[np.float64]
    covariances: NDArray[np.float64]


def class_gaussians(
    coordinates: ArrayLike,
    labels: ArrayLike,
    classes: Sequence[str],
    shrinkage: float = 0.0,
) -> Gaussians:
    """Fit a Gaussian to the points of each class.

    Args:
        coordinates: (n, k) points, computed with in float64 whatever their dtype.
        labels: (n,) integers, positions in ``classes``.
        classes: C names, used in messages.
        shrinkage: λ in 0..1. Each sample covariance Σ (divisor n - 1) becomes
            ``(1 - λ) Σ + λ tr(Σ)/k I``: the same total variance, drawn towards a circle
            (Ledoit & Wolf 2004, with λ given instead of estimated). Above 0 it admits
            classes whose points lie on a line, or are only two.

    Raises:
        DataError: naming the class, if it has fewer than k + 1 points (2 with shrinkage),
            coordinates that are not finite, or a singular covariance; also if coordinates
            and labels do not fit together.
        ConfigError: if the shrinkage is outside 0..1.
    """
    points = np.asarray(coordinates, dtype=np.float64)
    labels = np.asarray(labels)
    _check_points(points, labels, len(classes), shrinkage)
    k = points.shape[1]
    means = np.empty((len(classes), k))
    covariances = np.empty((len(classes), k, k))
    for index, name in enumerate(classes):
        means[index], covariances[index] = _gaussian(points[labels == index], name, shrinkage)
    return Gaussians(means, covariances)


def kl_matrix(gaussians: Gaussians) -> NDArray[np.float64]:
    """Symmetrised KL divergence of every pair of classes: (C, C) float64, in nats.

    In ``KL(i‖j) = ½ [tr(Σj⁻¹Σi) + δᵀΣj⁻¹δ - k + ln(|Σj| / |Σi|)]``, δ = μi - μj, the
    logarithms cancel when both directions are averaged, and with D = Σi - Σj

        ``ICD(i, j) = ¼ [tr(Σi⁻¹ D Σj⁻¹ D) + δᵀ Σi⁻¹ δ + δᵀ Σj⁻¹ δ]``.

    With Σ⁻¹ = WᵀW the three terms are the squared norms of Wi D Wjᵀ, Wi δ and Wj δ. A sum
    of squares cannot be negative, is exactly zero on the diagonal, and loses no digits
    where two classes nearly coincide; the two orders of a pair are averaged, so the matrix
    is exactly symmetric. Memory is O(C² k²).
    """
    means, covariances = gaussians.means, gaussians.covariances
    whitening = np.linalg.inv(np.linalg.cholesky(covariances))  # (C, k, k)
    spread = covariances[:, None] - covariances[None]  # (C, C, k, k)
    shift = means[:, None] - means[None]  # (C, C, k)

    whitened_spread = whitening[:, None] @ spread @ whitening[None].swapaxes(-1, -2)
    whitened_shift = whitening[:, None] @ shift[..., None]  # by the row's class
    shapes = np.square(whitened_spread).sum(axis=(-1, -2))
    centres = np.square(whitened_shift).sum(axis=(-1, -2))
    return (shapes + shapes.T) / 8 + (centres + centres.T) / 4


def read(path: str | os.PathLike[str]) -> tuple[list[str], NDArray[np.float64]]:
    """The classes' names and their distances (C, C), from the table that holds both.

    Raises:
        DataError: the table is not square, names its rows otherwise than its columns, or holds
            what is no distance.
    """
    table = read_table(path)
    names = list(table.columns)
    if list(table.index) != names or not all(isinstance(name, str) for name in names):
        raise DataError(f"{path} names its {len(table)} rows otherwise than its columns: {AGAIN}")
    if any(dtype != np.float64 for dtype in table.dtypes):
        raise DataError(f"{path} holds other columns than float64: {AGAIN}")
    distances = table.to_numpy()
    valid = (distances >= 0) & np.isfinite(distances) & (distances == distances.T)
    valid &= (distances == 0) | ~np.eye(len(names), dtype=bool)
    if not valid.all():
        row, column = np.argwhere(~valid)[0]
        raise DataError(
            f"{path}: {names[row]!r} and {names[column]!r} are {distances[row, column]:g} apart, "
            f"and the other way {distances[column, row]:g}: {AGAIN}"
        )
    return names, distances


def _check_points(
    points: NDArray[np.float64], labels: NDArray[np.generic], classes: int, shrinkage: float
) -> None:
    if not 0 <= shrinkage <= 1:
        raise ConfigError(f"icd.shrinkage is {shrinkage}: give a number from 0 to 1")
    if points.ndim != 2 or labels.shape != points.shape[:1]:
        raise DataError(
            f"coordinates of shape {points.shape} do not fit labels of shape {labels.shape}: "
            "give one row of coordinates for each label"
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise DataError(f"labels are {labels.dtype}: give integers from 0 to {classes - 1}")
    invalid = labels[(labels < 0) | (labels >= classes)]
    if invalid.size:
        raise DataError(f"label {invalid[0]} names none of the {classes} classes (0-based)")


def _gaussian(
    points: NDArray[np.float64], name: str, shrinkage: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean (k,) and covariance (k, k) of one class's points (n, k)."""
    n, k = points.shape
    minimum = 2 if shrinkage > 0 else k + 1
    if n < minimum:
        hint = "" if shrinkage > 0 or n < 2 else ", or set icd.shrinkage above 0"
        raise DataError(
            f"class {name!r} has {n} of the {minimum} points that its Gaussian needs: "
            f"give it more images{hint}"
        )
    if not np.isfinite(points).all():
        raise DataError(
            f"class {name!r} has coordinates that are not finite: "
            "look for NaN or infinite values in its features, and embed again"
        )
    mean = points.mean(axis=0)
    centred = points - mean
    covariance = centred.T @ centred / (n - 1)
    isotropic = np.trace(covariance) / k * np.eye(k)
    covariance = (1 - shrinkage) * covariance + shrinkage * isotropic

    variances = np.linalg.eigvalsh(covariance)  # ascending
    # Points that coincide keep a variance of about (ε |x|)², the rounding of their mean.
    rounding = np.square(8 * np.finfo(np.float64).eps * np.abs(points).max())
    if variances[-1] <= rounding:
        raise DataError(
            f"the {n} points of class {name!r} coincide: give it more, and different, images"
        )
    if variances[0] <= MIN_VARIANCE_RATIO * variances[-1]:
        raise DataError(
            f"class {name!r} has a singular covariance (variances {variances[0]:.3g} to "
            f"{variances[-1]:.3g}): give it more images, or set icd.shrinkage above 0"
        )
    return mean, covariance
