"""Products of integers with positive real numbers, in fixed point.

A real number M is held as an integer mantissa m of 31 bits and a shift s, M ≈ m · 2^(−s), within
2^(−31) of it; a product is (a · m + 2^(s−1)) >> s in 64 bits: one rounding to the nearest, halves
upwards. So TensorFlow Lite does where it is built with single rounding; gemmlowp, and TensorFlow
Lite by default, round twice (Jacob et al., CVPR 2018, section 2.2), which may differ by one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from laq.errors import DataError

BITS = 31  # of the largest mantissa
_LONGEST = 62


@dataclass(frozen=True, eq=False)
class Multiplier:
    """Real numbers in fixed point: ``mantissa`` and ``shift``, int64 of one shape.

    Mantissas are from 0 to 2^31, shifts from 1 to 62.
    """

    mantissa: Tensor
    shift: Tensor

    @classmethod
    def of(cls, real: Tensor) -> Multiplier:
        """Each number with a shift of its own. Raises ``DataError`` for one out of range."""
        numbers = real.double()
        _check(numbers)
        _, exponent = torch.frexp(numbers)  # real = f · 2^exponent, ½ ≤ f < 1
        shift = (BITS - exponent.long()).clamp(max=_LONGEST)
        return cls(torch.ldexp(numbers, shift).round().long(), shift)

    @classmethod
    def shared(cls, reals: Sequence[float]) -> tuple[list[int], int]:
        """Mantissas of numbers that have one shift, so that their products may be summed."""
        _check(torch.tensor(reals, dtype=torch.float64))
        shift = min(BITS - math.frexp(max(reals))[1], _LONGEST)
        return [round(math.ldexp(real, shift)) for real in reals], shift

    def times(self, values: Tensor) -> Tensor:
        """round(values · M), int64. values: int64 within ±2^31, to which the shape broadcasts."""
        return shifted_(values * self.mantissa, self.shift)


def shifted_(values: Tensor, shift: Tensor | int) -> Tensor:
    """round(values · 2^(−shift)), halves upwards, in place. values: int64 within ±2^62."""
    half = 1 << (shift - 1)
    return values.add_(half).bitwise_right_shift_(shift)


def _check(numbers: Tensor) -> None:
    # A shift of 1 at least: below it there is nothing to round.
    if not bool(((numbers > 0) & (numbers < 2.0 ** (BITS - 1))).all()):
        raise DataError(
            f"scales from {float(numbers.min()):g} to {float(numbers.max()):g} do not fit fixed "
            f"point: they must be above 0 and below 2^{BITS - 1}"
        )
