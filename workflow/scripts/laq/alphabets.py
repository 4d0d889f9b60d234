"""The finite set of levels a quantized weight may take.

An alphabet is symmetric and equispaced: {0, ±δ, …, ±Kδ} with δ = C·r/K', where
K' = 2^(bits − 1) and r is the mean over neurons of a quantile of |w| (Zhang, Zhou & Saab,
"Post-training quantization for neural networks with provable guarantees", SIMODS 2023,
section 7). Two schemes differ in K alone:

- ``paper``: K = K', as in the published code. "4 bits" then has 17 levels and takes 5 bits a code.
- ``packed``: K = K' − 1, so that a code of "4 bits" fits 4 bits.

Sparse quantization with a hard threshold λ takes levels with a gap around zero,
{0, ±λ, ±(λ + δ'), …}, whose last one is where it was, Kδ (section 5 there; its code spends
one more code on it, which ``packed`` cannot).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor

from laq.errors import ConfigError, DataError
from laq.packing import PackedWeight

Scheme = Literal["paper", "packed"]
BITS = range(2, 33)

# torch.quantile refuses larger tensors than this many elements.
_QUANTILE_ELEMENTS = 2**22


@dataclass(frozen=True, eq=False)
class Alphabet:
    """Levels {0, ±step, …, ±largest·step}, all but 0 moved outwards by gap·step.

    ``step`` is positive, of shape () for a whole layer or (N, 1) for one step a row, in the
    dtype of the weights it is meant for. ``gap`` is None where the levels are equispaced.

    Raises ``ConfigError`` for bits outside 2…32 or an unknown scheme, ``DataError`` for a
    step that is not positive and finite.
    """

    step: Tensor
    bits: int
    scheme: Scheme
    gap: float | None = None

    def __post_init__(self) -> None:
        _check_settings(self.bits, self.scheme)
        if not bool(((self.step > 0) & self.step.isfinite()).all()):
            raise DataError("the step of an alphabet must be positive and finite")

    @property
    def largest(self) -> int:
        """K, the largest integer code; with a gap one more where ``scheme`` has room for it."""
        half = 2 ** (self.bits - 1)
        return half + (self.gap is not None) if self.scheme == "paper" else half - 1

    @property
    def levels(self) -> int:
        """Number of levels, 2K + 1."""
        return 2 * self.largest + 1

    @property
    def width(self) -> int:
        """Bits that one code takes in a file, ⌈log₂ levels⌉: ``paper`` needs one above ``bits``."""
        return (self.levels - 1).bit_length()

    @property
    def dtype(self) -> torch.dtype:
        """The integers that codes are kept in."""
        if self.largest < 2**7:
            return torch.int8
        return torch.int32 if self.largest < 2**31 else torch.int64

    def limit(self, dtype: torch.dtype) -> float:
        """The largest code that ``dtype`` holds without passing ``largest``.

        It is ``largest`` itself but for 2³¹ − 1 in float32, which would round up to 2³¹.
        """
        limit = torch.tensor(self.largest, dtype=dtype)
        if int(limit) > self.largest:
            limit = limit.nextafter(torch.zeros((), dtype=dtype))
        return limit.item()

    def codes(self, values: Tensor) -> Tensor:
        """Integer codes of the levels nearest to finite ``values`` (N, d), without a gap.

        Halfway values go to the even code, here and in every solver; values beyond the
        last level go to it.
        """
        limit = self.limit(values.dtype)
        return (values / self.step).round_().clamp_(-limit, limit).to(self.dtype)

    def values(self, codes: Tensor) -> Tensor:
        """The levels that integer ``codes`` (N, d) stand for, in the dtype of ``step``."""
        return self.pack(codes).values

    def pack(self, codes: Tensor) -> PackedWeight:
        """Integer ``codes`` of this alphabet, in the weight's shape (N, …), ready for a file."""
        return PackedWeight(
            codes, self.step, self.bits, self.scheme, self.largest, self.width, self.gap or 0.0
        )

    def of_rows(self, rows: slice) -> Alphabet:
        """The alphabet of some of the rows."""
        return self if self.step.ndim == 0 else replace(self, step=self.step[rows])

    def with_gap(self, threshold: float) -> Alphabet:
        """The alphabet whose smallest level is λ = ``threshold``·step and whose last is the same.

        At 2 bits ``packed`` has room for 0 and ±λ alone.

        Raises ``ConfigError`` if λ leaves no room below the last level.
        """
        last = 2 ** (self.bits - 1) - (self.scheme == "packed")
        beyond = last if self.scheme == "paper" else last - 1  # levels above λ
        if not 0 < threshold < last:
            raise ConfigError(
                f"threshold is {threshold}: with {self.bits} bits ({self.scheme}) it must be above "
                f"0 and below {last} steps"
            )
        shrunk = (last - threshold) / beyond if beyond else 1.0
        return replace(self, step=self.step * shrunk, gap=threshold / shrunk - 1)

    @classmethod
    def from_weights(
        cls,
        weight: Tensor,
        bits: int,
        scheme: Scheme = "paper",
        scale: float = 1.16,
        quantile: float = 1.0,
        per_channel: bool = False,
    ) -> Alphabet:
        """Fit the step to ``weight`` (N, d), one neuron a row: δ = scale · r / 2^(bits − 1).

        r is the mean over rows of the ``quantile`` of |w|, or with ``per_channel`` each row's
        own. A row whose own r is 0 gets the layer's mean step: any serves, and none may be 0.

        Raises ``ConfigError`` for settings out of range and ``DataError`` for weights that
        are not finite or too small to give a step; the caller adds the layer's name.
        """
        _check_settings(bits, scheme)
        if not (math.isfinite(scale) and scale > 0):
            raise ConfigError(f"scale is {scale}: it must be positive")
        if not 0 < quantile <= 1:
            raise ConfigError(f"quantile is {quantile}: it must be above 0 and at most 1")
        if weight.ndim != 2 or weight.numel() == 0 or not weight.is_floating_point():
            raise DataError(
                f"weights must be floats (N, d), got {weight.dtype} {tuple(weight.shape)}"
            )
        radii = _row_quantiles(weight.detach(), quantile).double()
        if not bool(radii.isfinite().all()):
            raise DataError("weights hold NaN or infinite values: train again or restore them")
        mean = radii.mean()
        radius = torch.where(radii > 0, radii, mean)[:, None] if per_channel else mean
        step = (scale * radius / 2 ** (bits - 1)).to(weight.dtype)
        if not bool((step > 0).all()):
            raise DataError(
                f"weights give no step: the mean over rows of the {quantile:g} quantile of |w| "
                f"is {mean.item():g}. Leave the layer in float or raise the quantile"
            )
        return cls(step, bits, scheme)


def _row_quantiles(weight: Tensor, quantile: float) -> Tensor:
    """Quantile of |w| in every row of (N, d), linear between order statistics; returns (N,).

    Not finite where a row is not.
    """
    largest = torch.maximum(weight.amax(dim=1), -weight.amin(dim=1))
    if quantile == 1.0 or not largest.isfinite().all():
        return largest
    rows = max(1, _QUANTILE_ELEMENTS // weight.shape[1])
    return torch.cat([part.abs().quantile(quantile, dim=1) for part in weight.split(rows)])


def _check_settings(bits: int, scheme: str) -> None:
    if isinstance(bits, bool) or not isinstance(bits, int) or bits not in BITS:
        raise ConfigError(f"bits is {bits!r}: it must be an integer from {BITS[0]} to {BITS[-1]}")
    if scheme not in get_args(Scheme):
        raise ConfigError(f"alphabet scheme {scheme!r} is unknown: choose paper or packed")
