"""Operations on codes: int8 in, int8 out, and whole numbers all the way between.

Sums of products in layers are computed by torch's floating-point kernels, and are exact. In float32
every partial sum is a whole number up to 2^24, where need be of the weights' upper and lower digits
apart. Otherwise float64 is used, with whole numbers up to 2^53. Every sum is checked to fit 32
bits. So no number is rounded there.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from laq.integer.rescaling import SINGLE, Multiplier, in_single, nearest, shifted, single
from laq.ptq.activation_quantizer import codes, limits
from laq.utils.errors import DataError


@dataclass(frozen=True)
class ActivationGrid:
    """Code c stands for step · (c − zero); codes are those of ``bits``."""

    step: float
    zero: int
    bits: int = 8

    @property
    def reach(self) -> int:
        """The largest |c − zero|."""
        low, high = limits(self.bits)
        return max(self.zero - low, high - self.zero)

    @property
    def above(self) -> int:
        """The zero in codes that count from 0 on."""
        return self.zero - limits(self.bits)[0]

    def code(self, value: float) -> int:
        """The code nearest to ``value``; the first or last code for values beyond the grid."""
        low, high = limits(self.bits)
        if abs(value) / self.step > high - low:
            return high if value > 0 else low
        return min(max(round(value / self.step) + self.zero, low), high)


class Quantize(nn.Module):
    """The boundary: a prepared image, float, to its codes."""

    def __init__(self, grid: ActivationGrid) -> None:
        super().__init__()
        self.bits, self.zero = grid.bits, grid.zero
        self.register_buffer("step", torch.tensor(grid.step))

    def forward(self, x: Tensor) -> Tensor:
        return codes(x, self.step, self.zero, self.bits).to(torch.int8)


class _Rescaled(nn.Module):
    """Puts accumulators on a grid, clipped between two real numbers."""

    def __init__(self, grid: ActivationGrid, clip: tuple[float, float]) -> None:
        super().__init__()
        self.zero = grid.zero
        self.low, self.high = (grid.code(bound) for bound in clip)

    def on_grid(self, rescaled: Tensor) -> Tensor:
        return self.to_codes(rescaled.add_(self.zero))

    def to_codes(self, rounded: Tensor) -> Tensor:
        return rounded.clamp_(self.low, self.high).to(torch.int8)


class Accumulate(nn.Module):
    """The integer part of a convolution or linear layer: Σ w (x − zero) + b, int64 within 32 bits.

    weight: integers in the layer's shape. bias: (n,) integers. zero, reach: of the input.

    Raises ``DataError`` where a sum may not fit 32 bits.
    """

    def __init__(
        self, layer: nn.Conv2d | nn.Linear, weight: Tensor, bias: Tensor, grid: ActivationGrid
    ) -> None:
        super().__init__()
        largest = weight.flatten(1).long().abs().sum(1) * grid.reach
        total = int((largest + bias.abs()).max())
        if total >= 2**31:
            raise DataError(f"sums of up to {total} do not fit an accumulator of 32 bits")
        self.zero, self.reach = grid.zero, grid.reach
        self.register_buffer("weight", weight.to(torch.int8))
        self.register_buffer("bias", bias.to(torch.int32))
        self.geometry: dict[str, Any] | None = None
        if isinstance(layer, nn.Conv2d):
            names = ("stride", "padding", "dilation", "groups")
            self.geometry = {name: getattr(layer, name) for name in names}
            self.bias = self.bias.view(-1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        if x.is_cuda:  # where float32 may mean TF32, and convolutions may be transformed ones
            with torch.backends.cudnn.flags(enabled=False):
                return self._sums(x, self.weight, torch.float64).long() + self.bias
        if self._fits(self.weight):
            return self._sums(x, self.weight, torch.float32).long() + self.bias
        upper, lower = self.weight >> 4, self.weight & 15
        if not (self._fits(upper) and self._fits(lower)):
            return self._sums(x, self.weight, torch.float64).long() + self.bias
        sums = self._sums(x, upper, torch.float32).long().mul_(16)
        return sums.add_(self._sums(x, lower, torch.float32).long()).add_(self.bias)

    def _fits(self, weight: Tensor) -> bool:
        """Whether no partial sum leaves the whole numbers that float32 holds."""
        return int(weight.flatten(1).long().abs().sum(1).max()) * self.reach <= 2**24

    def _sums(self, x: Tensor, weight: Tensor, exact: torch.dtype) -> Tensor:
        inputs, weight = x.to(exact) - self.zero, weight.to(exact)
        if self.geometry is None:
            return nn.functional.linear(inputs, weight)
        return nn.functional.conv2d(inputs, weight, **self.geometry)


class IntegerLayer(_Rescaled):
    """A convolution or linear layer with the clip behind it; scales: M by filter, (n,) float32.

    Rounded as ONNX Runtime's QLinearConv, in float32: round(float32(sum) · M), halves to even.
    """

    def __init__(
        self, sums: Accumulate, scales: Tensor, grid: ActivationGrid, clip: tuple[float, float]
    ) -> None:
        super().__init__(grid, clip)
        self.sums = sums
        _hold(self, Multiplier.of(scales, SINGLE), sums.bias.shape)

    def forward(self, x: Tensor) -> Tensor:
        multiplier = Multiplier(self.mantissa, self.shift)
        return self.on_grid(multiplier.times_in_single(self.sums(x)))


class Logits(nn.Module):
    """The last layer: its accumulators, int32.

    Where filters have different steps, accumulators are rescaled to the largest step.
    """

    def __init__(self, sums: Accumulate, scales: Tensor) -> None:
        super().__init__()
        self.sums, self.alike = sums, bool((scales == scales[0]).all())
        _hold(self, Multiplier.of(scales / scales.max()), sums.bias.shape)

    def forward(self, x: Tensor) -> Tensor:
        sums = self.sums(x)
        if not self.alike:
            sums = Multiplier(self.mantissa, self.shift).times(sums)
        return sums.int()


class Sum(_Rescaled):
    """The sum of two values on grids of their own, as ``Addition`` says."""

    def __init__(
        self,
        one: ActivationGrid,
        other: ActivationGrid,
        grid: ActivationGrid,
        clip: tuple[float, float],
    ) -> None:
        super().__init__(grid, clip)
        self.lows = [limits(value_grid.bits)[0] for value_grid in (one, other, grid)]
        numbers = Addition.of(one, other, grid).numbers
        _check(*numbers[:2])
        _, exponent = np.frexp(np.abs(numbers).max())
        # All bits of the three numbers, where products of 8 bits then stay within 2^62.
        exact_shift = max(float(entry).as_integer_ratio()[1].bit_length() - 1 for entry in numbers)
        self.shift = max(min(exact_shift, 52 - int(exponent)), 1)
        self.mantissas = [round(Fraction(float(entry)) * 2**self.shift) for entry in numbers]
        # What rounding to float32, twice, moves a result within ±2^9.
        largest = 255 * max(self.mantissas[:2]) + abs(self.mantissas[2])
        bits = max(largest.bit_length(), self.shift + 9)
        self.within = 1 << max(bits - SINGLE, 0)

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        one, other = one.long() - self.lows[0], other.long() - self.lows[1]
        first, second, constant = self.mantissas
        result, unsure = nearest(
            (one * first).add_(other * second).add_(constant), self.shift, self.within
        )
        if unsure.any():
            partial_sum = single(other[unsure] * second + constant)
            result[unsure] = shifted(single(one[unsure] * first + partial_sum), self.shift)
        return self.to_codes(result.add_(self.lows[2]))


@dataclass(frozen=True)
class Addition:
    """What ONNX Runtime's QLinearAdd computes, on x86: round(fma(a, A, fma(b, B, C))) in float32.

    a, b: codes from 0 on. A, B: their steps divided by that of the sum. C: the constant from the
    zeros. Each fma is rounded once. The result is a code from 0 on, halves to even.
    """

    numbers: NDArray[np.float32]  # A, B, C

    @classmethod
    def of(cls, one: ActivationGrid, other: ActivationGrid, grid: ActivationGrid) -> Addition:
        zeros = [np.float64(value_grid.above) for value_grid in (one, other, grid)]
        steps = [np.float32(value_grid.step) for value_grid in (one, other, grid)]
        a, b = steps[0] / steps[2], steps[1] / steps[2]
        zero = np.float32(a * zeros[0] + np.float32(b * zeros[1]))
        return cls(np.array([a, b, np.float32(zeros[2] - zero)], dtype=np.float32))


class Mean(_Rescaled):
    """The mean over all pixels, (n, c, h, w) to (n, c, 1, 1) or (n, c).

    Rounded as ONNX Runtime's QLinearGlobalAveragePool, in float32: round(float32(sum) · M), halves
    to even, with M = step / (step of the mean · pixels), which is computed in integers too.
    """

    def __init__(
        self, source: ActivationGrid, grid: ActivationGrid, clip: tuple[float, float], keep: bool
    ) -> None:
        super().__init__(grid, clip)
        self.source, self.keep = source.zero, keep
        self.steps = Fraction(source.step), Fraction(grid.step)
        _check(source.step / grid.step)

    def forward(self, x: Tensor) -> Tensor:
        scale = in_single(self.steps[0] / in_single(self.steps[1] * x[0, 0].numel()))
        sums = (x.long() - self.source).sum((2, 3), keepdim=self.keep)
        return self.on_grid(Multiplier.of_fraction(scale, x.device).times_in_single(sums))


class Clip(nn.Module):
    """Clips codes to those of two real numbers, where other operations use the unclipped ones."""

    def __init__(self, grid: ActivationGrid, clip: tuple[float, float]) -> None:
        super().__init__()
        self.low, self.high = (grid.code(bound) for bound in clip)

    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(self.low, self.high)


class Maximum(nn.Module):
    """The largest codes of windows; ``pool`` is torch's module, which takes floats."""

    def __init__(self, pool: nn.MaxPool2d) -> None:
        super().__init__()
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(x.float()).to(torch.int8)


def _check(*ratios: Any) -> None:
    """Raise ``DataError`` for ratios of steps whose products exceed 64 bits, or a sum's digits.

    A value with a step near 0, as of a branch that training switched off, adds nothing and passes.
    """
    if not all(ratio < 2.0**20 for ratio in ratios):
        raise DataError("a step of its values is more than 2^20 times that of its result")


def _hold(module: nn.Module, multiplier: Multiplier, shape: torch.Size) -> None:
    module.register_buffer("mantissa", multiplier.mantissa.view(shape))
    module.register_buffer("shift", multiplier.shift.view(shape))
