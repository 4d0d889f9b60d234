"""Products of integers with positive real numbers, in fixed point.

A real number M is held as an integer mantissa m and a shift s, M ≈ m · 2^(−s). A product is
a · m / 2^s in 64 bits, rounded to the nearest, halves to even (Jacob et al., CVPR 2018, section
2.2, without its second rounding).

Runtimes on CPUs (ONNX Runtime, FBGEMM, XNNPACK) rescale in float32 instead. ``single`` rounds an
integer to as many digits as float32 has, so that integers alone give the results of these runtimes.
With a mantissa of 24 bits, a · m is the exact product, and rounded by ``single`` it is float32's.
That matters only next to a half, and is done only there.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from laq.utils.errors import DataError

SINGLE = 24  # bits of float32's mantissa
WIDE = 31
_LONGEST = 62


@dataclass(frozen=True, eq=False)
class Multiplier:
    """Real numbers in fixed point: ``mantissa`` and ``shift``, int64 of one shape.

    Mantissas are from 0 to 2^bits, shifts from 1 to 62.
    """

    mantissa: Tensor
    shift: Tensor

    @classmethod
    def of(cls, real: Tensor, bits: int = WIDE) -> Multiplier:
        """Each number with a shift of its own, to within 2^(−bits) of the number, or 2^(−63).

        Raises ``DataError`` for a number out of range.
        """
        numbers = real.double()
        # A shift of 1 at least: below it there is nothing to round.
        if not bool(((numbers > 0) & (numbers < 2.0 ** (bits - 1))).all()):
            raise DataError(
                f"scales from {float(numbers.min()):g} to {float(numbers.max()):g} do not fit "
                f"fixed point: they must be above 0 and below 2^{bits - 1}"
            )
        _, exponent = torch.frexp(numbers)  # real = f · 2^exponent, ½ ≤ f < 1
        shift = (bits - exponent.long()).clamp(max=_LONGEST)
        return cls(torch.ldexp(numbers, shift).round().long(), shift)

    @classmethod
    def of_fraction(cls, real: Fraction, device: torch.device) -> Multiplier:
        """A positive number of 24 significant bits, below 2^23, as it is; both tensors are ()."""
        shift = min(SINGLE - _exponent(real), _LONGEST)
        numbers = round(real * 2**shift), shift
        return cls(*(torch.tensor(number, device=device) for number in numbers))

    def times(self, values: Tensor) -> Tensor:
        """round(values · M), int64. values: int64 within ±2^31, to which the shape broadcasts."""
        return shifted(values * self.mantissa, self.shift)

    def times_in_single(self, values: Tensor) -> Tensor:
        """As ``times``, but in float32 where the result is within ±2^9: float32(values) · M,
        rounded twice. Beyond ±2^9 the result may be that of ``times``."""
        product = values * self.mantissa
        # Half of the last digit that float32 has below 2^9.
        margin = 1 << (self.shift - 16).clamp(min=0)
        result, unsure = nearest(product, self.shift, margin)
        unsure |= values.abs() > 1 << SINGLE
        if unsure.any():
            mantissa, shift = (
                tensor.expand_as(values)[unsure] for tensor in (self.mantissa, self.shift)
            )
            result[unsure] = shifted(single(single(values[unsure]) * mantissa), shift)
        return result


def shifted(values: Tensor, shift: Tensor | int) -> Tensor:
    """round(values · 2^(−shift)), halves to even. values: int64 within ±2^62. shift: from 0."""
    shift = torch.as_tensor(shift, device=values.device)
    rounding_bias = ((1 << shift) >> 1) - 1  # a half minus 1, so an exact half alone never carries
    odd = (values >> shift).bitwise_and_(1)
    return odd.add_(rounding_bias).clamp_(min=0).add_(values).bitwise_right_shift_(shift)


def nearest(values: Tensor, shift: Tensor | int, within: Tensor | int) -> tuple[Tensor, Tensor]:
    """round(values · 2^(−shift)), and where that is no further than ``within`` from a half.

    Halves go upwards. shift: from 1. within: in units of 2^(−shift).
    """
    half = 1 << (shift - 1)
    result = (values + half).bitwise_right_shift_(shift)
    remainder = (values - (result << shift)).abs_()
    return result, remainder >= half - within


def single(values: Tensor) -> Tensor:
    """int64 values within ±2^62 to the nearest of 24 significant bits, halves to even."""
    boundaries = 1 << torch.arange(SINGLE, _LONGEST + 1, device=values.device)
    surplus = torch.bucketize(values.abs(), boundaries, right=True)
    return shifted(values, surplus).bitwise_left_shift_(surplus)


def in_single(real: Fraction) -> Fraction:
    """A positive number to the nearest of 24 significant bits, halves to even."""
    unit = Fraction(2) ** (_exponent(real) - SINGLE)
    return round(real / unit) * unit


def _exponent(real: Fraction) -> int:
    """e for real = f · 2^e, ½ ≤ f < 1."""
    estimate = real.numerator.bit_length() - real.denominator.bit_length()
    return estimate + (real >= Fraction(2) ** estimate)
