"""UMAP: the same points for the same seed, and a refusal of too few."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from laq.distances.embedding import embed, exact_neighbours
from laq.utils.errors import DataError

SETTINGS = {"neighbors": 10, "min_dist": 0.1, "metric": "euclidean"}


def test_exact_neighbours_are_those_of_all_pairs():
    features = np.random.default_rng(0).normal(size=(40, 16)).astype(np.float32)
    for metric in ("euclidean", "cosine", "manhattan", "correlation"):
        indices, distances = exact_neighbours(features, 8, metric)
        names = {"manhattan": "cityblock"}
        expected = cdist(features, features, names.get(metric, metric))
        order = expected.argsort(axis=1)[:, :8]
        assert np.array_equal(indices, order), metric
        np.testing.assert_allclose(
            distances, np.take_along_axis(expected, order, 1), rtol=1e-4, atol=1e-12
        )
        # UMAP takes the least positive distance for that of the nearest neighbour.
        assert (distances[:, 0] == 0).all() and (distances[:, 1:] > 0.1).all()


@pytest.mark.filterwarnings("ignore:n_jobs value")
def test_clusters_stay_apart_and_the_seed_decides_the_rest():
    generator = np.random.default_rng(0)
    centres = np.repeat(20 * np.eye(3, 8), 20, axis=0)
    features = (centres + generator.normal(size=(60, 8))).astype(np.float32)
    first, second = embed(features, SETTINGS, seed=3), embed(features, SETTINGS, seed=3)
    assert first.shape == (60, 2)
    assert first.dtype == np.float32
    assert np.isfinite(first).all()
    assert np.array_equal(first, second)
    assert not np.array_equal(first, embed(features, SETTINGS, seed=4))
    # The nearest neighbour in the plane is of the same cluster.
    distances = np.linalg.norm(first[:, None] - first[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (distances.argmin(1) // 20 == np.arange(60) // 20).all()


@pytest.mark.parametrize("n", [0, 9, 10])
def test_too_few_images_are_refused_with_the_key_and_the_remedy(n):
    with pytest.raises(DataError, match=rf"umap\.neighbors = 10 .*are {n}: lower umap\.neighbors"):
        embed(np.zeros((n, 4), np.float32), SETTINGS, seed=0)
