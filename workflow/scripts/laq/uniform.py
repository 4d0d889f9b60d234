"""Equispaced levels for weights: symmetric, asymmetric, ternary and binary.

With b bits, and a range low … high of the weights of a block (``laq.ranges``):

- ``symmetric``: 2^b − 1 levels, −r … r. The step is r / (2^(b−1) − 1).
- ``asymmetric``: 2^b levels, low … high, one of which, at the zero point, is 0 (Jacob et al., CVPR
  2018, equation 1). The step is (high − low) / (2^b − 1).
- ``ternary``: −α, 0, α at 2 bits, with the α that is nearest to the weights in the mean square. Li
  & Liu (2016) estimate its threshold from the mean of |w|; the threshold of the best α is α / 2,
  which rounding to the nearest level gives by itself.
- ``binary``: −α, α at 1 bit, with α the mean of |w| (Rastegari et al., ECCV 2016, equation 6).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from laq import ranges
from laq.errors import ConfigError, DataError
from laq.granularity import Blocks
from laq.grids.equispaced import Uniform
from laq.ranges import How

BITS = range(2, 33)


def symmetric(
    weight: Tensor, bits: int, blocks: Blocks, range: How = "minmax", percentile: float = 99.99
) -> Uniform:
    """Fit to ``weight`` (N, d). Scales as ``blocks`` cut it: () or (R, B).

    ``range``: one of ``laq.ranges``. ``percentile``: of the weights that one covers.

    Raises ``ConfigError`` for settings out of range and ``DataError`` for weights that are not
    finite; the caller adds the layer's name.
    """
    _check(weight, bits)
    _, high = _range(weight, bits, blocks, range, True, percentile)
    step = ranges.steps(-high, high, bits, True)
    largest = 2 ** (bits - 1) - 1
    return _grid(step, weight, blocks, -largest, largest, bits, "symmetric")


def asymmetric(
    weight: Tensor, bits: int, blocks: Blocks, range: How = "minmax", percentile: float = 99.99
) -> Uniform:
    """As ``symmetric``; zero points in the shape of the step, int8 up to 8 bits."""
    _check(weight, bits)
    low, high = _range(weight, bits, blocks, range, False, percentile)
    step = _positive(ranges.steps(low, high, bits, False), weight).to(weight.dtype)
    zero = ranges.zero_points(low, step.double(), bits)
    half = 2 ** (bits - 1)
    kept = torch.int8 if bits <= 8 else torch.int16 if bits <= 16 else torch.int32
    zero = blocks.scales(zero.to(kept), weight.shape)
    return _grid(step, weight, blocks, -half, half - 1, bits, "asymmetric", zero=zero)


def ternary(weight: Tensor, bits: int, blocks: Blocks) -> Uniform:
    """As ``symmetric``, at 2 bits.

    Of the n weights of a block those k have a level beside 0 that are largest in magnitude; with
    α their mean magnitude they reduce the error by k α², which is greatest for the k chosen.
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
    """As ``symmetric``, at 1 bit. Blocks of zeros get levels next to 0, which is none."""
    _check(weight, bits, (1,))
    step = 2 * blocks.split(weight).double().abs().nanmean(1)
    step = step.clamp(min=2 * torch.finfo(weight.dtype).tiny)
    return _grid(step, weight, blocks, -1, 0, 1, "binary", shift=0.5)


def _range(
    weight: Tensor, bits: int, blocks: Blocks, how: How, even: bool, percentile: float
) -> tuple[Tensor, Tensor]:
    return ranges.choose(blocks.split(weight), bits, how, even, quantile=percentile / 100)


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
    shared = {} if step.ndim == 0 else {"rows": blocks.rows, "columns": blocks.columns}
    return Uniform(step, low, high, bits, scheme, **shared, **more)


def _positive(step: Tensor, weight: Tensor) -> Tensor:
    """Steps (blocks,), those of blocks of zeros being the mean of the others, or 1: any serves.

    None is denormal, which a file or a device may take for 0.
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
