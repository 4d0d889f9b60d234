"""Pruned weights as data: positions and values of the kept entries.

Both kinds are what ``laq.checkpoints.deep_container.container`` writes and reads back bit for bit:
``PrunedWeight`` after pruning, ``SharedWeight`` when the kept weights share the values of a
codebook as well.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

# Bits of a relative index that the container knows; 0 is for weights that are all kept.
INDEX_BITS = range(9)
CENTROIDS = 256


@dataclass(frozen=True, eq=False)
class PrunedWeight:
    """A weight of which some entries are kept and all others are 0.

    shape: of the weight, any number of dimensions. positions: (n,) int64, ascending, of the kept
    entries in the row-major weight. values: (n,) float32, none of them 0. index_bits: of the
    relative indices that the file has in place of positions, 1 to 8 (4, 5 and 8 in the paper). It
    is 0 where every entry is kept and no index is needed, and None for what makes the smallest
    file.

    Raises ``ValueError`` for fields that are of no weight: defects of the caller.
    """

    shape: tuple[int, ...]
    positions: Tensor
    values: Tensor
    index_bits: int | None = None

    def __post_init__(self) -> None:
        _check(self.shape, self.positions, self.index_bits)
        if self.values.dtype != torch.float32 or self.values.shape != self.positions.shape:
            raise ValueError(f"values are {self.values.dtype} {tuple(self.values.shape)}")
        if not self.values.isfinite().all():
            raise ValueError("values are not finite")
        if not self.values.all():
            raise ValueError("values that are kept are 0")

    @classmethod
    def of(cls, weight: Tensor, kept: Tensor, index_bits: int | None = None) -> PrunedWeight:
        """``weight``, any float type and shape, where ``kept``, bool of its shape, is true.

        Zeros are not kept.
        """
        positions = _places(kept.cpu() & (weight.detach().cpu().float() != 0))
        values = weight.detach().cpu().float().reshape(-1)[positions]
        return cls(tuple(weight.shape), positions, values, index_bits)

    def weight(self) -> Tensor:
        """The weight, float32 of its shape."""
        return _dense(self.shape, self.positions, self.values)


@dataclass(frozen=True, eq=False)
class SharedWeight:
    """A weight whose kept entries share the values of a codebook; all others are 0.

    shape, positions, index_bits: as in ``PrunedWeight``. codes: (n,) uint8, the centroid of each
    kept entry. centroids: (k,) float32, 1 to 256, in any order; the 0 of pruned entries is not one
    of them.

    Raises ``ValueError`` for fields that are of no weight: defects of the caller.
    """

    shape: tuple[int, ...]
    positions: Tensor
    codes: Tensor
    centroids: Tensor
    index_bits: int | None = None

    def __post_init__(self) -> None:
        _check(self.shape, self.positions, self.index_bits)
        if self.codes.dtype != torch.uint8 or self.codes.shape != self.positions.shape:
            raise ValueError(f"codes are {self.codes.dtype} {tuple(self.codes.shape)}")
        count = len(self.centroids) if self.centroids.ndim == 1 else 0
        if self.centroids.dtype != torch.float32 or not 1 <= count <= CENTROIDS:
            raise ValueError(f"centroids are {self.centroids.dtype} {tuple(self.centroids.shape)}")
        if not self.centroids.isfinite().all():
            raise ValueError("centroids are not finite")
        if len(self.codes) and int(self.codes.max()) >= count:
            raise ValueError(f"code {int(self.codes.max())} of {count} centroids")

    @classmethod
    def of(
        cls, codes: Tensor, centroids: Tensor, kept: Tensor, index_bits: int | None = None
    ) -> SharedWeight:
        """A weight in the shape of ``codes`` (any integers) and ``kept`` (bool).

        Codes of entries that are not kept make no difference.
        """
        positions = _places(kept)
        kept_codes = codes.detach().cpu().reshape(-1)[positions]
        if len(kept_codes) and not 0 <= int(kept_codes.min()) <= int(kept_codes.max()) < CENTROIDS:
            raise ValueError(f"codes from {int(kept_codes.min())} to {int(kept_codes.max())}")
        centroids = centroids.detach().cpu().float().contiguous()
        return cls(tuple(codes.shape), positions, kept_codes.to(torch.uint8), centroids, index_bits)

    @property
    def values(self) -> Tensor:
        """(n,) float32, the kept entries."""
        return self.centroids[self.codes.long()]

    def weight(self) -> Tensor:
        """The weight, float32 of its shape."""
        return _dense(self.shape, self.positions, self.values)


def _places(kept: Tensor) -> Tensor:
    return kept.detach().cpu().reshape(-1).nonzero().squeeze(1)


def _dense(shape: tuple[int, ...], positions: Tensor, values: Tensor) -> Tensor:
    weight = torch.zeros(math.prod(shape))
    weight[positions] = values
    return weight.view(shape)


def _check(shape: tuple[int, ...], positions: Tensor, index_bits: int | None) -> None:
    size = math.prod(shape)
    if not shape or any(type(side) is not int or side < 1 for side in shape):
        raise ValueError(f"shape is {shape}")
    if positions.dtype != torch.int64 or positions.ndim != 1:
        raise ValueError(f"positions are {positions.dtype} {tuple(positions.shape)}")
    if bool((positions.diff() <= 0).any()):
        raise ValueError("positions do not ascend")
    if len(positions) and not 0 <= int(positions[0]) <= int(positions[-1]) < size:
        raise ValueError(f"positions beyond the {size} weights of {shape}")
    if index_bits is not None and index_bits not in INDEX_BITS:
        raise ValueError(f"index_bits is {index_bits}")
    if index_bits == 0 and len(positions) != size:
        raise ValueError(f"index_bits is 0, and {size - len(positions)} weights are pruned")
