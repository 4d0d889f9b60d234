"""A quantized weight as integer codes and the grid they stand on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from laq.quantizers import bitpacking
from laq.quantizers.grids import Grid


class Coding(Protocol):
    """How codes are stored that are not a string of bits of one width.

    nbytes: of codes and grid. code_bytes: of codes. entropy: bits a weight that the codes would
    take at best. sizes: a dataclass with the size of each part.
    """

    nbytes: int
    code_bytes: int

    @property
    def entropy(self) -> float: ...

    @property
    def sizes(self) -> Any: ...


@dataclass(frozen=True, eq=False)
class PackedWeight:
    """A quantized weight, or consecutive rows of one.

    codes: any integer type, in the weight's shape (n, …). grid: what they stand for, (n, d).
    coding: of a weight that was read from a deeply compressed file.
    ``laq.checkpoints.packing.save`` packs bits all the same.

    How the grid was chosen is not kept: code that reads a checkpoint (training, evaluation) does
    not depend on it.
    """

    codes: Tensor
    grid: Grid
    coding: Coding | None = None

    @property
    def values(self) -> Tensor:
        """The weights that the codes stand for: shape of the codes, dtype of the grid's scales."""
        return self.grid.values(self.codes.flatten(1)).view(self.codes.shape)

    @property
    def nbytes(self) -> int:
        """Bytes that the packed codes and the grid's tensors take in a file."""
        if self.coding:
            return self.coding.nbytes
        scales = sum(tensor.nbytes for tensor in self.grid.tensors().values())
        return self.code_bytes + scales

    @property
    def code_bytes(self) -> int:
        """Bytes that the packed codes take in a file."""
        if self.coding:
            return self.coding.code_bytes
        return bitpacking.packed_size(self.codes.numel(), self.grid.width)
