"""Weights of a layer that share values: k-means in one dimension over those that are kept.

Han et al. 2016, section 3: pruned weights are no part of it, and 0 is no centroid of theirs.
"""

from __future__ import annotations

import torch
from torch import Tensor

from laq.checkpoints.deep_container.sparse_weight import SharedWeight
from laq.deep_compression import centroid_init
from laq.quantizers import kmeans
from laq.utils.errors import DataError

BITS = range(1, 9)


def share(
    weight: Tensor,
    kept: Tensor,
    bits: int,
    way: str,
    generator: torch.Generator,
    index_bits: int | None = None,
) -> SharedWeight:
    """``weight`` where ``kept``, bool of its shape, is true, with 2^bits values at most.

    way: of ``laq.deep_compression.centroid_init``, where Lloyd's iterations begin; they end where
    no weight changes its centroid. Centroids that no weight is nearest to are left out, such as
    linear ones between the least positive and the least negative weight, and those beyond the
    number of distinct ones. Where none is kept, as of a layer of zeros, there is one centroid, 0,
    that nothing uses.

    Raises ``DataError`` for weights that are not finite.
    """
    values = weight.detach().cpu().reshape(-1)[kept.cpu().reshape(-1)]
    if not values.isfinite().all():
        raise DataError("weights are not finite: train again")
    if not len(values):
        codes = torch.zeros(weight.shape, dtype=torch.int64)
        return SharedWeight.of(codes, torch.zeros(1), kept, index_bits)
    ascending = values.sort().values
    count = min(2**bits, len(ascending.unique()))
    begun = centroid_init.WAYS[way](ascending, count, generator)
    found = kmeans.lloyd(ascending, begun).float().unique()  # ascending; rounding makes some equal
    nearest = assign(values, found)
    used, codes = nearest.unique(return_inverse=True)
    full = torch.zeros(weight.shape, dtype=torch.int64)
    full[kept.cpu()] = codes
    return SharedWeight.of(full, found[used], kept, index_bits)


def assign(values: Tensor, centroids: Tensor) -> Tensor:
    """Which of ascending ``centroids`` (k,) each of ``values`` (n,) is nearest to, int64 (n,).

    Of two the lower, as in Lloyd's iterations.
    """
    between = (centroids[1:].double() + centroids[:-1].double()) / 2
    return torch.searchsorted(between, values.double())


def distortion(values: Tensor, centroids: Tensor) -> float:
    """Σ (w − c)² over ``values`` (n,), c the nearest of ascending ``centroids`` (k,)."""
    nearest = centroids.double()[assign(values, centroids)]
    return float((values.double() - nearest).square().sum())
