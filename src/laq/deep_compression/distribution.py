"""How a layer's weights are distributed: in the original network, pruned, and with shared values.

After Han et al. 2016, figures 6 of pruning and 7 of sharing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from laq.checkpoints.deep_container.sparse_weight import SharedWeight
from laq.deep_compression.pipeline import Pipeline

BINS = 80

Row = dict[str, Any]


def rows(original: Mapping[str, Tensor], course: Pipeline, bins: int = BINS) -> list[Row]:
    """Rows of each compressed layer, in the order of ``course.met``.

    original: the state that ``course`` began with. The stages ``original`` and ``pruned`` have a
    row for each bin, with equal bins over the range of both. The stages ``clustered`` and
    ``shared`` have a row for each centroid, ascending.
    """
    table = []
    for layer in (name for name in course.met if name not in course.reasons):
        weight = f"{layer}.weight"
        values = {
            "original": original[weight].cpu().double().reshape(-1).numpy(),
            "pruned": course.weights[weight].values.double().numpy(),
        }
        edges = _edges(np.concatenate(list(values.values())), bins)
        tables = {stage: _binned(array, edges) for stage, array in values.items()}
        tables["clustered"] = _centroids(course.clusters[weight])
        tables["shared"] = _centroids(course.shared[weight])
        table += [
            {"layer": layer, "stage": stage, "low": low, "high": high, "count": count}
            for stage, histogram in tables.items()
            for low, high, count in histogram
        ]
    return table


Table = list[tuple[float, float, int]]


def _edges(values: NDArray[np.float64], bins: int) -> NDArray[np.float64]:
    low, high = float(values.min()), float(values.max())
    return np.linspace(low, high if high > low else low + 1, bins + 1)


def _binned(values: NDArray[np.float64], edges: NDArray[np.float64]) -> Table:
    counts = np.histogram(values, edges)[0]
    return list(zip(edges[:-1].tolist(), edges[1:].tolist(), counts.tolist(), strict=True))


def _centroids(weight: SharedWeight) -> Table:
    counts = weight.codes.long().bincount(minlength=len(weight.centroids)).tolist()
    values = weight.centroids.double().tolist()
    return sorted((value, value, count) for value, count in zip(values, counts, strict=True))
