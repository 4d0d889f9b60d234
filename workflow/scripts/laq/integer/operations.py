"""Operations on codes: int8 in, int8 out, and whole numbers all the way between.

Products of layers are computed by torch's floating-point kernels, which are exact on them: every
partial sum is a whole number up to 2^24 in float32, where need be of the weights' upper and lower
digits apart, or else up to 2^53 in float64, and the sum has been checked to fit 32 bits. So no
number is ever rounded there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from laq.errors import DataError
from laq.input_quantization import codes, limits
from laq.integer.rescaling import Multiplier, shifted_


@dataclass(frozen=True)
class Grid:
    """Code c stands for step · (c − zero); codes are those of ``bits``."""

    step: float
    zero: int
    bits: int = 8

    @property
    def reach(self) -> int:
        """The largest |c − zero|."""
        low, high = limits(self.bits)
        return max(self.zero - low, high - self.zero)

    def code(self, value: float) -> int:
        """The code nearest to ``value``, the last one for what lies beyond."""
        low, high = limits(self.bits)
        if abs(value) / self.step > high - low:
            return high if value > 0 else low
        return min(max(round(value / self.step) + self.zero, low), high)


class Quantize(nn.Module):
    """The boundary: a prepared image, float, to its codes."""

    def __init__(self, grid: Grid) -> None:
        super().__init__()
        self.bits, self.zero = grid.bits, grid.zero
        self.register_buffer("step", torch.tensor(grid.step))

    def forward(self, x: Tensor) -> Tensor:
        return codes(x, self.step, self.zero, self.bits).to(torch.int8)


class _Rescaled(nn.Module):
    """Puts accumulators on a grid, clipped between two real numbers."""

    def __init__(self, grid: Grid, clip: tuple[float, float]) -> None:
        super().__init__()
        self.zero = grid.zero
        self.low, self.high = (grid.code(bound) for bound in clip)

    def on_grid(self, rescaled: Tensor) -> Tensor:
        return rescaled.add_(self.zero).clamp_(self.low, self.high).to(torch.int8)


class Accumulate(nn.Module):
    """The integer part of a convolution or linear layer: Σ w (x − zero) + b, int64 within 32 bits.

    weight: integers in the layer's shape. bias: (n,) integers. zero, reach: of the input.

    Raises ``DataError`` where a sum may not fit 32 bits.
    """

    def __init__(
        self, layer: nn.Conv2d | nn.Linear, weight: Tensor, bias: Tensor, grid: Grid
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


class Layer(_Rescaled):
    """A convolution or linear layer with the clip behind it; scales: M by filter, (n,) float64."""

    def __init__(
        self, sums: Accumulate, scales: Tensor, grid: Grid, clip: tuple[float, float]
    ) -> None:
        super().__init__(grid, clip)
        self.sums = sums
        _hold(self, Multiplier.of(scales), sums.bias.shape)

    def forward(self, x: Tensor) -> Tensor:
        return self.on_grid(Multiplier(self.mantissa, self.shift).times(self.sums(x)))


class Logits(nn.Module):
    """The last layer: its accumulators, int32, of filters with different steps in the largest."""

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
    """The sum of two values on grids of their own, rounded once."""

    def __init__(self, one: Grid, other: Grid, grid: Grid, clip: tuple[float, float]) -> None:
        super().__init__(grid, clip)
        self.zeros = one.zero, other.zero
        scales = (one.step / grid.step, other.step / grid.step)
        self.mantissas, self.shift = Multiplier.shared(scales)

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        parts = [
            (x.long() - zero) * mantissa
            for x, zero, mantissa in zip((one, other), self.zeros, self.mantissas, strict=True)
        ]
        return self.on_grid(shifted_(parts[0].add_(parts[1]), self.shift))


class Mean(_Rescaled):
    """The mean over all pixels, (n, c, h, w) to (n, c, 1, 1) or (n, c), rounded once."""

    def __init__(self, source: Grid, grid: Grid, clip: tuple[float, float], keep: bool) -> None:
        super().__init__(grid, clip)
        self.source, self.keep = source.zero, keep
        (self.mantissa,), self.shift = Multiplier.shared([source.step / grid.step])
        if self.shift > 40:  # 2^22 pixels below 2^62
            raise DataError("the mean of all pixels is too small for its scale")

    def forward(self, x: Tensor) -> Tensor:
        pixels = x.shape[-1] * x.shape[-2]
        sums = (x.long() - self.source).sum((2, 3), keepdim=self.keep) * self.mantissa
        half = pixels << (self.shift - 1)
        mean = torch.div(sums + half, pixels << self.shift, rounding_mode="floor")
        return self.on_grid(mean)


class Clip(nn.Module):
    """Codes between those of two real numbers, where other operations see them before as well."""

    def __init__(self, grid: Grid, clip: tuple[float, float]) -> None:
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


def _hold(module: nn.Module, multiplier: Multiplier, shape: torch.Size) -> None:
    module.register_buffer("mantissa", multiplier.mantissa.view(shape))
    module.register_buffer("shift", multiplier.shift.view(shape))
