"""UMAP coordinates of the features (McInnes, Healy and Melville 2018)."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from laq.errors import DataError

# Up to so many images neighbours are found by comparing all pairs: exact, and faster than
# compiling the approximate search, whose time grows more slowly.
EXACT = 20_000


def embed(features: np.ndarray, settings: dict[str, Any], seed: int) -> np.ndarray:
    """Map features (n, d) to the plane: (n, 2) float32, the same for the same seed.

    ``settings``: neighbors (size of the local neighbourhood, the image itself among it),
    min_dist, metric. UMAP runs on one thread when seeded: its parallel optimiser races.

    Raises:
        DataError: fewer images than a neighbourhood needs.
    """
    if len(features) <= settings["neighbors"]:
        raise DataError(
            f"UMAP needs more than umap.neighbors = {settings['neighbors']} images, "
            f"there are {len(features)}: lower umap.neighbors or give more images"
        )
    import umap

    neighbours = (None, None, None)
    if len(features) <= EXACT:
        neighbours = (*exact_neighbours(features, settings["neighbors"], settings["metric"]), None)
    reducer = umap.UMAP(
        n_neighbors=settings["neighbors"],
        min_dist=settings["min_dist"],
        metric=settings["metric"],
        random_state=seed,
        n_jobs=1,
        precomputed_knn=neighbours,
        verbose=True,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*spectral initiali[sz]ation.*")
        warnings.filterwarnings("ignore", message=".*precomputed_knn.*")  # no later transform
        return reducer.fit_transform(features).astype(np.float32)


def exact_neighbours(
    features: np.ndarray, count: int, metric: str
) -> tuple[np.ndarray, np.ndarray]:
    """Indices and distances, both (n, count), of each row's nearest rows, itself first.

    A row is at distance 0 from itself. Computed by matrix products it would be some 1e-6 away,
    and UMAP, which measures from the nearest neighbour at a positive distance, would take it
    for that.
    """
    from sklearn.neighbors import NearestNeighbors

    search = NearestNeighbors(n_neighbors=count - 1, metric=metric, algorithm="brute")
    distances, indices = search.fit(features).kneighbors()  # without the rows themselves
    own = np.arange(len(features))[:, None]
    return np.hstack([own, indices]), np.hstack([np.zeros_like(distances[:, :1]), distances])
