"""UMAP coordinates of the features (McInnes, Healy and Melville 2018)."""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from laq.utils.errors import DataError
from laq.utils.files import AGAIN, read_table

# Up to this many images, neighbours are found by comparing all pairs. That is exact, and faster
# than compiling the approximate search, whose time grows more slowly.
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


def read(
    path: str | os.PathLike[str], labels: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The plane's points (n, 2) and their labels (n,), in the order of the images.

    ``labels``: of the training images. The table has to agree with them.

    Raises:
        DataError: the file is no table of coordinates, or of other images.
    """
    table = read_table(path, ["index", "label", "umap_1", "umap_2"])
    if not np.array_equal(table["index"], np.arange(len(labels))):
        raise DataError(
            f"{path} has not one row for each of the {len(labels)} training images, in their "
            f"order (index): {AGAIN}"
        )
    if (mismatch := table["label"].to_numpy() != labels).any():
        row = int(mismatch.argmax())
        raise DataError(
            f"{path} is of other images: row {row + 1} has the label {table['label'][row]}, its "
            f"image {labels[row]}: {AGAIN}"
        )
    return table[["umap_1", "umap_2"]].to_numpy(float), labels


def exact_neighbours(
    features: np.ndarray, count: int, metric: str
) -> tuple[np.ndarray, np.ndarray]:
    """Indices and distances, both (n, count), of each row's nearest rows, itself first.

    A row's distance from itself is set to 0. Computed by matrix products it would be some 1e-6.
    UMAP measures from the nearest neighbour at a positive distance, and would take the row for
    that.
    """
    from sklearn.neighbors import NearestNeighbors

    search = NearestNeighbors(n_neighbors=count - 1, metric=metric, algorithm="brute")
    distances, indices = search.fit(features).kneighbors()  # without the rows themselves
    rows = np.arange(len(features))[:, None]
    return np.hstack([rows, indices]), np.hstack([np.zeros_like(distances[:, :1]), distances])
