"""The inter-class distance against independent references."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from laq.distances.divergence import Gaussians, class_gaussians, kl_matrix
from laq.utils.errors import DataError


def random_gaussians(seed: int, classes: int = 6, k: int = 2) -> Gaussians:
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(classes, k, k))
    covariances = factors @ factors.swapaxes(1, 2) + 0.3 * np.eye(k)
    return Gaussians(rng.normal(scale=3, size=(classes, k)), covariances)


def textbook_kl(mean_p, cov_p, mean_q, cov_q) -> float:
    """KL(p‖q) as textbooks write it, with determinants and an inverse."""
    inverse = np.linalg.inv(cov_q)
    shift = mean_q - mean_p
    logs = np.log(np.linalg.det(cov_q) / np.linalg.det(cov_p))
    return 0.5 * (np.trace(inverse @ cov_p) + shift @ inverse @ shift - len(shift) + logs)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_matrix_equals_the_textbook_formula_averaged_both_ways(k):
    gaussians = random_gaussians(seed=k, k=k)
    pairs = list(zip(gaussians.means, gaussians.covariances, strict=True))
    expected = [[(textbook_kl(*p, *q) + textbook_kl(*q, *p)) / 2 for q in pairs] for p in pairs]
    np.testing.assert_allclose(kl_matrix(gaussians), expected, rtol=1e-10, atol=1e-12)


def test_matrix_agrees_with_monte_carlo():
    gaussians = random_gaussians(seed=3, classes=3)
    densities = [
        multivariate_normal(mean, covariance)
        for mean, covariance in zip(gaussians.means, gaussians.covariances, strict=True)
    ]
    rng = np.random.default_rng(0)
    matrix = kl_matrix(gaussians)
    for i, p in enumerate(densities):
        for j, q in enumerate(densities[:i]):
            from_p, from_q = p.rvs(100_000, random_state=rng), q.rvs(100_000, random_state=rng)
            forth = p.logpdf(from_p) - q.logpdf(from_p)
            back = q.logpdf(from_q) - p.logpdf(from_q)
            estimate = (forth.mean() + back.mean()) / 2
            error = np.hypot(forth.std(), back.std()) / 2 / np.sqrt(100_000)
            assert abs(matrix[i, j] - estimate) < 5 * error


@given(st.integers(0, 2**32 - 1), st.integers(2, 12), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_matrix_is_symmetric_non_negative_and_zero_on_the_diagonal(seed, classes, k):
    matrix = kl_matrix(random_gaussians(seed, classes, k))
    assert matrix.shape == (classes, classes)
    assert matrix.dtype == np.float64
    assert np.array_equal(matrix, matrix.T)
    assert not matrix.diagonal().any()
    assert (matrix[~np.eye(classes, dtype=bool)] > 0).all()


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_matrix_does_not_change_under_a_common_affine_map(seed):
    gaussians = random_gaussians(seed)
    rng = np.random.default_rng([seed, 1])
    rotation, _ = np.linalg.qr(rng.normal(size=(2, 2)))
    linear = rotation * rng.uniform(0.1, 10, size=2)  # invertible, condition at most 100
    moved = Gaussians(
        gaussians.means @ linear.T + rng.normal(scale=10, size=2),
        linear @ gaussians.covariances @ linear.T,
    )
    np.testing.assert_allclose(kl_matrix(moved), kl_matrix(gaussians), rtol=1e-7)


def test_nearly_equal_classes_keep_their_digits():
    """Second order in the relative difference ε of two variances: ε²/4 and not rounding."""
    epsilon = 1e-9
    covariances = np.array([[[1.0]], [[1.0 + epsilon]]])
    matrix = kl_matrix(Gaussians(np.zeros((2, 1)), covariances))
    assert matrix[0, 1] == pytest.approx(epsilon**2 / 4, rel=1e-6)


def blobs(counts=(30, 20), k=2, dtype=np.float64):
    rng = np.random.default_rng(5)
    labels = np.repeat(np.arange(len(counts)), counts)
    points = rng.normal(size=(len(labels), k)) + 4 * labels[:, None]
    order = rng.permutation(len(labels))
    return points[order].astype(dtype), labels[order]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_gaussians_are_the_sample_mean_and_covariance_of_each_class(dtype):
    points, labels = blobs(dtype=dtype)
    gaussians = class_gaussians(points, labels, ["a", "b"])
    for index in range(2):
        own = points[labels == index].astype(np.float64)
        np.testing.assert_allclose(gaussians.means[index], own.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(gaussians.covariances[index], np.cov(own.T), rtol=1e-12)


def test_shrinkage_keeps_the_total_variance_and_ends_in_a_circle():
    points, labels = blobs()
    plain = class_gaussians(points, labels, ["a", "b"]).covariances
    half = class_gaussians(points, labels, ["a", "b"], shrinkage=0.5).covariances
    circle = class_gaussians(points, labels, ["a", "b"], shrinkage=1.0).covariances
    for covariances in (half, circle):
        np.testing.assert_allclose(
            np.trace(covariances, axis1=1, axis2=2), np.trace(plain, axis1=1, axis2=2)
        )
    np.testing.assert_allclose(half, (plain + circle) / 2)
    np.testing.assert_allclose(circle[0], circle[0, 0, 0] * np.eye(2), atol=1e-15)


def test_a_class_with_too_few_points_is_named_with_the_remedy():
    points, labels = blobs((30, 2))
    with pytest.raises(DataError, match=r"'pear' has 2 of the 3 .* more images.*icd\.shrinkage"):
        class_gaussians(points, labels, ["apple", "pear"])
    assert np.isfinite(
        kl_matrix(class_gaussians(points, labels, ["apple", "pear"], shrinkage=0.1))
    ).all()


@pytest.mark.parametrize("shrinkage", [0.0, 0.5])
def test_coinciding_points_are_refused_whatever_the_shrinkage(shrinkage):
    points, labels = blobs()
    points[labels == 0] = [0.1, 1234.7]  # not exact in binary: their mean rounds
    with pytest.raises(DataError, match=r"'apple' coincide"):
        class_gaussians(points, labels, ["apple", "pear"], shrinkage)
