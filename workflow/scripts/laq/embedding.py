"""UMAP coordinates of the features (McInnes, Healy and Melville 2018)."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from laq.errors import DataError


def embed(features: np.ndarray, settings: dict[str, Any], seed: int) -> np.ndarray:
    """Map features (n, d) to the plane: (n, 2) float32, the same for the same seed.

    ``settings``: neighbors (size of the local neighbourhood), min_dist, metric. UMAP runs on
    one thread when seeded: its parallel optimiser races.

    Raises:
        DataError: fewer images than a neighbourhood needs.
    """
    import umap

    if len(features) <= settings["neighbors"]:
        raise DataError(
            f"UMAP needs more than umap.neighbors = {settings['neighbors']} images, "
            f"there are {len(features)}: lower umap.neighbors or give more images"
        )
    reducer = umap.UMAP(
        n_neighbors=settings["neighbors"],
        min_dist=settings["min_dist"],
        metric=settings["metric"],
        random_state=seed,
        n_jobs=1,
        verbose=True,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*spectral initiali[sz]ation.*")
        return reducer.fit_transform(features).astype(np.float32)
