"""Equispaced levels for weights: symmetric, asymmetric, ternary and binary.

With b bits, and a range low … high of the weights of a block (``laq.quantizers.observers``):

- ``symmetric``: 2^b − 1 levels, −r … r. The step is r / (2^(b−1) − 1).
- ``asymmetric``: 2^b levels, low … high, one of which, at the zero point, is 0 (Jacob et al., CVPR
  2018, equation 1). The step is (high − low) / (2^b − 1).
- ``ternary``: −α, 0, α at 2 bits, with the α that is nearest to the weights in the mean square. Li
  & Liu (2016) estimate its threshold from the mean of |w|; the threshold of the best α is α / 2,
  which rounding to the nearest level gives by itself.
- ``binary``: −α, α at 1 bit, with α the mean of |w| (Rastegari et al., ECCV 2016, equation 6).

The alphabets of greedy path-following quantization are symmetric too: {0, ±δ, …, ±Kδ} with
δ = C·r/K', where K' = 2^(b−1) and r is the mean over neurons of a quantile of |w| (Zhang, Zhou &
Saab, "Post-training quantization for neural networks with provable guarantees", SIMODS 2023,
section 7). Two schemes differ in K alone:

- ``paper``: K = K', as in the published code. "4 bits" then has 17 levels and takes 5 bits a code.
- ``packed``: K = K' − 1, so that a code of "4 bits" fits 4 bits.

Sparse quantization with a hard threshold λ takes levels with a gap around zero,
{0, ±λ, ±(λ + δ'), …}. The last level is Kδ as without a gap (section 5 there). The published code
spends one more code on the gap, which ``packed`` cannot.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from laq.quantizers import observers
from laq.quantizers.granularity import Blocks
from laq.quantizers.grids import Uniform
from laq.quantizers.observers import How
from laq.utils.errors import ConfigError, DataError

Scheme = Literal["paper", "packed"]
BITS = range(2, 33)

# torch.quantile refuses larger tensors than this many elements.
_QUANTILE_ELEMENTS = 2**22


class Alphabet(Uniform):
    """Levels {0, ±step, …, ±K·step}, all but 0 moved outwards by gap·step.

    ``step`` is of shape () for a whole layer or (N, 1) for one step a row.
    """

    @classmethod
    def of(cls, step: Tensor, bits: int, scheme: Scheme, gap: float | None = None) -> Alphabet:
        """The alphabet with this ``step``; ``gap`` is None where the levels are equispaced.

        Raises ``ConfigError`` for bits outside 2…32 or an unknown scheme, ``DataError`` for a
        step that is not positive and finite.
        """
        _check_settings(bits, scheme)
        limit = 2 ** (bits - 1)
        # The published code spends one more code on a gap, which ``packed`` has no room for.
        largest = limit + (gap is not None) if scheme == "paper" else limit - 1
        return cls(step, -largest, largest, bits, scheme, gap=gap or 0.0)

    @property
    def largest(self) -> int:
        """K, the largest code."""
        return self.high

    def with_gap(self, threshold: float) -> Alphabet:
        """The alphabet whose smallest level is λ = ``threshold``·step and whose last is the same.

        At 2 bits ``packed`` has room for 0 and ±λ alone.

        Raises ``ConfigError`` if λ leaves no room below the last level.
        """
        last = self.high
        levels = last if self.scheme == "paper" else last - 1  # levels above λ
        if not 0 < threshold < last:
            raise ConfigError(
                f"threshold is {threshold}: with {self.bits} bits ({self.scheme}) it must be above "
                f"0 and below {last} steps"
            )
        factor = (last - threshold) / levels if levels else 1.0
        return Alphabet.of(self.step * factor, self.bits, self.scheme, threshold / factor - 1)

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
        own. A row whose own r is 0 gets the layer's mean step, and a layer of zeros the step 1: any
        step serves there, but 0. No step is denormal, which a file or a device may take for 0.

        Raises ``ConfigError`` for settings out of range and ``DataError`` for weights that
        are not finite, or whose quantile is 0; the caller adds the layer's name.
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
        step = (scale * radius / 2 ** (bits - 1)).clamp(min=torch.finfo(weight.dtype).tiny)
        if mean == 0:
            if weight.any():
                raise DataError(
                    f"weights give no step: the {quantile:g} quantile of |w| is 0 in every row, "
                    "and some weights are not. Leave the layer in float or raise the quantile"
                )
            step = torch.ones_like(step)
        return cls.of(step.to(weight.dtype), bits, scheme)


def packed(weight: Tensor, bits: int, blocks: Blocks, scale: float, quantile: float) -> Alphabet:
    """The alphabet ``packed``: one step for the layer, or one a row where ``blocks`` has rows."""
    return Alphabet.from_weights(weight, bits, "packed", scale, quantile, blocks.rows is not None)


def paper(weight: Tensor, bits: int, blocks: Blocks, scale: float, quantile: float) -> Alphabet:
    """The alphabet ``paper``: one step for the layer, or one a row where ``blocks`` has rows."""
    return Alphabet.from_weights(weight, bits, "paper", scale, quantile, blocks.rows is not None)


def _row_quantiles(weight: Tensor, quantile: float) -> Tensor:
    """Quantile of |w| in every row of (N, d), linear between order statistics; returns (N,).

    Not finite where a row is not.
    """
    largest = torch.maximum(weight.amax(dim=1), -weight.amin(dim=1))
    if quantile == 1.0 or not largest.isfinite().all():
        return largest
    rows = max(1, _QUANTILE_ELEMENTS // weight.shape[1])
    return torch.cat([chunk.abs().quantile(quantile, dim=1) for chunk in weight.split(rows)])


def _check_settings(bits: int, scheme: str) -> None:
    if isinstance(bits, bool) or not isinstance(bits, int) or bits not in BITS:
        raise ConfigError(f"bits is {bits!r}: it must be an integer from {BITS[0]} to {BITS[-1]}")
    if scheme not in get_args(Scheme):
        raise ConfigError(f"alphabet scheme {scheme!r} is unknown: choose paper or packed")


def symmetric(
    weight: Tensor, bits: int, blocks: Blocks, range: How = "minmax", percentile: float = 99.99
) -> Uniform:
    """Fit to ``weight`` (N, d). Scales as ``blocks`` cut it: () or (R, B).

    ``range``: one of ``laq.quantizers.observers``. ``percentile``: of the weights that one covers.

    Raises ``ConfigError`` for settings out of range and ``DataError`` for weights that are not
    finite; the caller adds the layer's name.
    """
    _check(weight, bits)
    _, high = _range(weight, bits, blocks, range, True, percentile)
    step = observers.steps(-high, high, bits, True)
    largest = 2 ** (bits - 1) - 1
    return _grid(step, weight, blocks, -largest, largest, bits, "symmetric")


def asymmetric(
    weight: Tensor, bits: int, blocks: Blocks, range: How = "minmax", percentile: float = 99.99
) -> Uniform:
    """As ``symmetric``; zero points in the shape of the step, int8 up to 8 bits."""
    _check(weight, bits)
    low, high = _range(weight, bits, blocks, range, False, percentile)
    step = _positive(observers.steps(low, high, bits, False), weight).to(weight.dtype)
    zero = observers.zero_points(low, step.double(), bits)
    limit = 2 ** (bits - 1)
    dtype = torch.int8 if bits <= 8 else torch.int16 if bits <= 16 else torch.int32
    zero = blocks.scales(zero.to(dtype), weight.shape)
    return _grid(step, weight, blocks, -limit, limit - 1, bits, "asymmetric", zero=zero)


def ternary(weight: Tensor, bits: int, blocks: Blocks) -> Uniform:
    """As ``symmetric``, at 2 bits.

    The k weights of a block that are largest in magnitude get ±α, the others 0. With α the mean
    magnitude of the k, they reduce the square error by k α². k is chosen to make that largest.
    """
    _check(weight, bits, (2,))
    magnitudes = blocks.split(weight).double().abs().nan_to_num(-1)
    magnitudes = magnitudes.sort(dim=1, descending=True).values
    sums = magnitudes.clamp(min=0).cumsum(1)
    counts = torch.arange(1, sums.shape[1] + 1, device=sums.device, dtype=torch.float64)
    gains = (sums.square() / counts).masked_fill(magnitudes < 0, -1)
    best = gains.argmax(1, keepdim=True)
    step = (sums / counts).gather(1, best)[:, 0]
    return _grid(step, weight, blocks, -1, 1, 2, "ternary")


def binary(weight: Tensor, bits: int, blocks: Blocks) -> Uniform:
    """As ``symmetric``, at 1 bit. Blocks of zeros get levels next to 0, which is no level."""
    _check(weight, bits, (1,))
    step = 2 * blocks.split(weight).double().abs().nanmean(1)
    step = step.clamp(min=2 * torch.finfo(weight.dtype).tiny)
    return _grid(step, weight, blocks, -1, 0, 1, "binary", shift=0.5)


def _range(
    weight: Tensor, bits: int, blocks: Blocks, how: How, even: bool, percentile: float
) -> tuple[Tensor, Tensor]:
    return observers.choose(blocks.split(weight), bits, how, even, quantile=percentile / 100)


def _grid(
    step: Tensor,
    weight: Tensor,
    blocks: Blocks,
    low: int,
    high: int,
    bits: int,
    scheme: str,
    **more: Tensor | float,
) -> Uniform:
    step = blocks.scales(_positive(step, weight).to(weight.dtype), weight.shape)
    sizes = {} if step.ndim == 0 else {"rows": blocks.rows, "columns": blocks.columns}
    return Uniform(step, low, high, bits, scheme, **sizes, **more)


def _positive(step: Tensor, weight: Tensor) -> Tensor:
    """Steps (blocks,) that are positive.

    Blocks of zeros get the mean step of the others, or 1 where all are zeros: any step serves. No
    step is denormal, which a file or a device may take for 0.
    """
    if not step.any():
        if weight.any():
            raise DataError(
                "weights give no step: their range is 0, and some of them are not. Leave the "
                "layer in float or raise the percentile"
            )
        return torch.ones_like(step)
    filled = torch.where(step > 0, step, step[step > 0].mean())
    return filled.clamp(min=torch.finfo(weight.dtype).tiny)


def _check(weight: Tensor, bits: int, allowed: Sequence[int] = BITS) -> None:
    if bits not in allowed:
        raise ConfigError(f"bits is {bits!r}: this alphabet takes {allowed[0]} to {allowed[-1]}")
    if weight.ndim != 2 or weight.numel() == 0 or not weight.is_floating_point():
        raise DataError(f"weights must be floats (N, d), got {weight.dtype} {tuple(weight.shape)}")
    if not weight.isfinite().all():
        raise DataError("weights hold NaN or infinite values: train again or restore them")
