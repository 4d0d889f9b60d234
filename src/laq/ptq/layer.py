"""One layer as its solver sees it: samples of its inputs go in, integer codes come out.

A layer has N neurons (filters) with d weights each. A grouped convolution has G groups, and the
neurons of a group, N/G consecutive rows, see that group's inputs only. The inputs are a matrix of
m rows, the samples, in two versions: X of the float network, and X̃ of the network quantized so far.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from laq.utils.errors import DataError

if TYPE_CHECKING:
    from laq.quantizers.grids import Grid

Pair = tuple[Tensor, Tensor]

# Neurons that a compiled loop works on side by side, and the unit of work of a thread.
LANES = 64

# A cosine is larger than another one where it exceeds it by this share, so that rounding errors
# decide nothing. The square of a sum is 0 where it is below this share of the squares of its terms.
MARGIN = 1e-13
NOISE = 1e-14


@dataclass(frozen=True, eq=False)
class Samples:
    """Input samples of one layer in both networks, streamed in chunks.

    rows: m, all chunks together. columns: d, of one group. groups: G.
    chunks: starts a new pass over the samples, the same at each call. Chunks are pairs of X and X̃,
        each (m_c, G·d), channel-major, so that a group's columns are consecutive. Both are float32
        or both float64, on one device.
    """

    rows: int
    columns: int
    chunks: Callable[[], Iterator[Pair]]
    groups: int = 1

    @classmethod
    def of(cls, inputs: Tensor, quantized_inputs: Tensor, groups: int = 1) -> Samples:
        """Samples that are all in memory: X and X̃, (m, G·d) each."""
        rows, width = inputs.shape
        return cls(rows, width // groups, lambda: iter([(inputs, quantized_inputs)]), groups)

    @classmethod
    def for_weight(
        cls, weight: Tensor, inputs: Tensor, quantized_inputs: Tensor, groups: int
    ) -> Samples:
        """``of``, checked against the dtype of ``weight``; raises ``DataError``."""
        if inputs.ndim != 2 or inputs.shape != quantized_inputs.shape or inputs.shape[1] % groups:
            raise DataError(
                f"inputs of both networks must be (m, {groups} x d); got {tuple(inputs.shape)} and "
                f"{tuple(quantized_inputs.shape)}"
            )
        if {inputs.dtype, quantized_inputs.dtype} != {weight.dtype}:
            raise DataError(
                f"weight and inputs must be of one dtype; got weight {weight.dtype}, inputs "
                f"{inputs.dtype}, quantized inputs {quantized_inputs.dtype}"
            )
        return cls.of(inputs, quantized_inputs, groups)

    def gather(self) -> Pair:
        """All samples in memory: X and X̃, (m, G·d) each."""
        matrices: Pair | None = None
        first = 0
        for x, xq in self.chunks():
            if len(x) == self.rows:
                return x, xq
            if matrices is None:
                buffer = x.new_empty(self.rows, x.shape[1])
                matrices = buffer, buffer if xq is x else torch.empty_like(buffer)
            # Both networks have the same inputs in all chunks, or in none.
            for matrix, chunk in zip(matrices, (x, xq), strict=True):
                matrix[first : first + len(chunk)] = chunk
            first += len(x)
        return matrices


@dataclass(frozen=True, eq=False)
class QuantizedLayer:
    """What a solver chose for one layer.

    codes: (N, d) integers.
    grid: what the codes stand for.
    error: ‖X Wᵀ − X̃ Qᵀ‖ / ‖X Wᵀ‖ in the Frobenius norm over all groups; 0 where both are 0,
        and infinite where only the reference is 0.
    reference: ‖X Wᵀ‖.
    silent: number of inputs that never fire: columns of X̃ with norm 0.
    fitted: whether the codes depend on the samples.
    """

    codes: Tensor
    grid: Grid
    error: float
    reference: float
    silent: int
    fitted: bool = True

    @classmethod
    def of(
        cls,
        codes: Tensor,
        grid: Grid,
        weight: Tensor,
        samples: Samples,
        difference: Tensor,
        reference: Tensor,
        norms: Tensor,
    ) -> QuantizedLayer:
        """From ‖X w − X̃ q‖² and ‖X w‖² of the neurons, any shape, and |X̃_t|² (G, d).

        Raises ``DataError`` if one is not finite, and says whether the inputs are.
        """
        sums = torch.stack([difference.sum(), reference.sum(), norms.double().sum()])
        if not sums.isfinite().all():
            raise DataError(not_finite(samples))
        error, total = math.sqrt(sums[0]), math.sqrt(sums[1])
        codes = codes.view(weight.shape)
        if total == 0 and grid.zeros(codes) == codes.numel():
            error = 0.0  # both outputs are 0: the difference is of rounding
        silent = int((norms == 0).sum())
        return cls(codes, grid, relative_error(error, total), total, silent)

    @cached_property
    def weight(self) -> Tensor:
        """(N, d) the values the codes stand for, in the dtype of the weights given."""
        return self.grid.values(self.codes)


class Solver(Protocol):
    """A method for one layer: weight (N, d), its samples and its grid to codes.

    Tensors are on one device and of one dtype, float32 or float64, in which it computes.
    Raises ``DataError`` for what it cannot quantize; the caller adds the layer's name.
    """

    def __call__(self, weight: Tensor, samples: Samples, grid: Grid) -> QuantizedLayer: ...


def check(weight: Tensor, samples: Samples, grid: Grid) -> None:
    """Raise ``DataError`` for shapes, dtypes or devices that do not match, and for NaN weights."""
    scales = grid.scales
    summary = (
        f"weight {tuple(weight.shape)} {weight.dtype} on {weight.device}, samples of "
        f"{samples.groups} x {samples.columns} inputs, "
        f"grid scales {tuple(scales.shape)} {scales.dtype} on {scales.device}"
    )
    if weight.ndim != 2 or 0 in weight.shape or samples.rows == 0:
        raise DataError(f"a layer is weight (N, d) and samples (m, d), none empty; got {summary}")
    if samples.columns != weight.shape[1] or len(weight) % samples.groups:
        raise DataError(f"weight (N, d) and inputs (m, groups x d) must agree; got {summary}")
    if not grid.fits(weight.shape):
        raise DataError(f"the grid must be one for the weight; got {summary}")
    if weight.dtype not in (torch.float32, torch.float64) or scales.dtype != weight.dtype:
        raise DataError(f"all tensors must be float32, or all float64; got {summary}")
    if scales.device != weight.device:
        raise DataError(f"all tensors must be on one device; got {summary}")
    low, high = weight.aminmax()
    if not (low.isfinite() and high.isfinite()):
        raise DataError(f"weight {tuple(weight.shape)} holds NaN or infinite values")


def penalty(ridge: float, mean: Tensor) -> Tensor:
    """λ () from a ridge in units of the mean |X̃_t|² over all inputs t of a layer, silent ones too.

    For a positive ridge it is positive, even if no input fires and ``mean`` () is 0.
    """
    return ridge * torch.where(mean > 0, mean, 1)


def not_finite(samples: Samples) -> str:
    """Why a sum over ``samples`` is not finite, as the message of an error."""
    largest = 0.0
    for chunk in samples.chunks():
        for matrix, network in zip(chunk, ("float", "quantized"), strict=True):
            if not matrix.isfinite().all():
                return f"inputs in the {network} network hold NaN or infinite values"
            largest = max(largest, float(matrix.abs().max()))
    return (
        f"inputs as large as {largest:.3g} overflow {matrix.dtype} when they are squared: "
        "normalise the images, or use float64"
    )


def relative_error(difference: float, reference: float) -> float:
    """``difference`` over ``reference``, both norms: 0 for 0/0, infinite for any other over 0."""
    if reference > 0:
        return difference / reference
    return math.inf if difference > 0 else 0.0
