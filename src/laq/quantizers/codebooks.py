"""Levels that are not equispaced: a table of them for the layer, or for each group of filters.

- ``kmeans``: the levels with the least mean square error (Gong et al., 2014; Han, Mao & Dally, ICLR
  2016).
- ``powers``: 0 and ±2^e for consecutive e, so that products are shifts (Zhou et al., "INQ", ICLR
  2017).
- ``quantiles``: the means of bins with equally many weights, so that codes are equally frequent.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from laq.quantizers.granularity import Blocks
from laq.quantizers.grids import Codebook
from laq.utils.errors import ConfigError, DataError

BITS = range(1, 17)

Choose = Callable[[Tensor, int], Tensor]


def kmeans(weight: Tensor, bits: int, blocks: Blocks) -> Codebook:
    """Fit to ``weight`` (N, d): 2^bits levels, a table for each group of filters in ``blocks``.

    Raises ``ConfigError`` for bits out of range or blocks of inputs, ``DataError`` for weights that
    are not finite; the caller adds the layer's name.
    """
    return _codebook(weight, bits, blocks, "kmeans", _kmeans)


def powers(weight: Tensor, bits: int, blocks: Blocks) -> Codebook:
    """As ``kmeans``: 2^bits − 1 levels, 0 and 2^(bits − 1) − 1 powers of two with either sign.

    The largest is 2^⌊log₂(4 max|w| / 3)⌋ (equation 2 of INQ).
    """
    if bits < 2:
        raise ConfigError(f"bits is {bits}: powers of two take at least 2, since 0 is a level")
    return _codebook(weight, bits, blocks, "powers", _powers)


def quantiles(weight: Tensor, bits: int, blocks: Blocks) -> Codebook:
    """As ``kmeans``: 2^bits levels."""
    return _codebook(weight, bits, blocks, "quantiles", _quantiles)


def _kmeans(values: Tensor, bits: int) -> Tensor:
    from laq.quantizers.kmeans import levels  # compiles

    return levels(values, 2**bits)


def _quantiles(values: Tensor, bits: int) -> Tensor:
    """Means of 2^bits equally populated bins of ascending ``values``.

    Where there are fewer values than bins, some means are equal.
    """
    count = 2**bits
    edges = (torch.arange(count + 1, dtype=torch.float64) * len(values) / count).round().long()
    sums = torch.nn.functional.pad(values.double().cumsum(0), (1, 0))
    nearest = values[edges[:-1].clamp(max=len(values) - 1)].double()
    sizes = edges.diff()
    return torch.where(sizes > 0, sums[edges].diff() / sizes.clamp(min=1), nearest)


def _powers(values: Tensor, bits: int) -> Tensor:
    largest = float(values.abs().max())
    if largest == 0:
        return torch.zeros(2**bits - 1, dtype=torch.float64)
    top = math.floor(math.log2(4 * largest / 3))
    exponents = torch.arange(top - 2 ** (bits - 1) + 2, top + 1, dtype=torch.float64)
    positive = torch.exp2(exponents)
    return torch.cat([-positive.flip(0), positive.new_zeros(1), positive])


def _codebook(weight: Tensor, bits: int, blocks: Blocks, scheme: str, choose: Choose) -> Codebook:
    if bits not in BITS:
        raise ConfigError(f"bits is {bits!r}: a codebook takes {BITS[0]} to {BITS[-1]}")
    if blocks.columns is not None:
        raise ConfigError(f"alphabet {scheme}: a codebook is of whole filters; inputs have none")
    if weight.ndim != 2 or weight.numel() == 0 or not weight.isfinite().all():
        raise DataError(f"weights {tuple(weight.shape)} must be finite (N, d): train again")
    size = blocks.rows or len(weight)
    groups = (values.flatten().sort().values for values in weight.detach().cpu().split(size))
    table = torch.stack([choose(values, bits) for values in groups])
    # Rounding to the weights' dtype keeps the order, but may make levels equal.
    return Codebook(table.to(weight.device, weight.dtype), bits, scheme, blocks.rows)
