"""The range that a uniform quantizer covers: all values, or the part of it that serves best.

Values come in blocks, each with a range of its own, and may be counted: an observer of activations
hands over the centres of a histogram's bins with their counts. Every range holds 0.

- ``minmax``: everything (Jacob et al., CVPR 2018).
- ``percentile``: all but the tails (McKinstry et al., 2019).
- ``mse``: the share of ``minmax`` whose quantized values are nearest in the mean square (Sung,
  Shin & Hwang, 2015).
- ``kl``: the share whose quantized histogram diverges least from that of the values (Migacz, 2017).
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from laq.utils.errors import ConfigError, DataError

How = Literal["minmax", "percentile", "mse", "kl"]
HOWS: tuple[str, ...] = get_args(How)

# Shares of the whole range that ``mse`` and ``kl`` choose from: 1/100, 2/100, …, 1.
SHARES = 100

# Bins of a histogram for ``kl`` on either side of zero: at most, at least, and values a bin. Where
# hardly two values share a bin, making bins equal changes nothing and nothing is ever clipped.
BINS, _FEWEST_BINS, _VALUES_A_BIN = 2048, 128, 4

# With more bits than this ``mse`` and ``kl`` cover the whole range: rounding costs less there than
# clipping could save.
_FINEST = 12


def choose(
    values: Tensor,
    bits: int,
    how: How,
    symmetric: bool,
    *,
    counts: Tensor | None = None,
    quantile: float = 0.9999,
) -> tuple[Tensor, Tensor]:
    """The smallest and the largest value to be covered, (B,) each, float64.

    Args:
        values: (B, n) floats, NaN where a block has fewer values than others.
        bits: of the quantizer, for ``mse`` and ``kl``.
        symmetric: whether the range is to be −r … r.
        counts: (B, n), how often each value occurs; once where None.
        quantile: share of the values that is covered, for ``percentile``.

    Raises ``ConfigError`` for settings out of range, and ``DataError`` for values that are infinite
    and for a block without any; the caller adds the layer's name.
    """
    if how not in HOWS:
        raise ConfigError(f"range {how!r} is unknown: choose {', '.join(HOWS)}")
    if not 0 < quantile <= 1:
        raise ConfigError(f"quantile is {quantile}: it must be above 0 and at most 1")
    values, counts = _counted(values, counts)
    if how == "percentile":
        return _percentile(values, counts, quantile, symmetric)
    low, high = values.amin(1).clamp(max=0), values.amax(1).clamp(min=0)
    if symmetric:
        high = torch.maximum(-low, high)
        low = -high
    if how == "minmax" or bits > _FINEST:
        return low, high
    error = _square_errors if how == "mse" else _divergences
    share = _best_share(error(values, counts, low, high, bits, symmetric))
    return low * share, high * share


def steps(low: Tensor, high: Tensor, bits: int, symmetric: bool) -> Tensor:
    """The step, in the shape of ``low`` and ``high``, of a quantizer that covers their range.

    Symmetric: 2^(bits − 1) − 1 levels on either side of zero; otherwise 2^bits, zero being one.
    """
    return high / (2 ** (bits - 1) - 1) if symmetric else (high - low) / (2**bits - 1)


def zero_points(low: Tensor, step: Tensor, bits: int) -> Tensor:
    """The integer code of 0 among −2^(bits − 1) … 2^(bits − 1) − 1, as floats.

    The lowest code stands for ``low``, up to rounding. A step of 0 counts as 1.
    """
    offset = (-low / torch.where(step > 0, step, 1)).round()
    return offset.clamp(0, 2**bits - 1) - 2 ** (bits - 1)


def _counted(values: Tensor, counts: Tensor | None) -> tuple[Tensor, Tensor]:
    """Values and counts, both (B, n) float64, and both 0 where there is no value."""
    values = values.detach().double()
    valid = values.isnan().logical_not()
    counts = valid.double() if counts is None else counts.double() * valid
    values = torch.where(counts > 0, values, 0)  # 0 is in every range
    if not values.isfinite().all():
        raise DataError("values are infinite: no range covers them")
    if not (counts.sum(1) > 0).all():
        raise DataError("there are no values to choose a range from")
    return values, counts


def _percentile(
    values: Tensor, counts: Tensor, quantile: float, symmetric: bool
) -> tuple[Tensor, Tensor]:
    if symmetric:
        high = _quantile(values.abs(), counts, quantile)
        return -high, high
    tail = (1 - quantile) / 2
    low, high = _quantile(values, counts, tail), _quantile(values, counts, 1 - tail)
    return low.clamp(max=0), high.clamp(min=0)


def _quantile(values: Tensor, counts: Tensor, quantile: float) -> Tensor:
    """The smallest value with at least this share of the counts at or below it, (B,)."""
    values, order = values.sort(dim=1)
    cumulative = counts.gather(1, order).cumsum(1)
    target = (quantile * cumulative[:, -1:]).clamp(min=counts[counts > 0].min())
    # Sums of counts may miss their total by rounding.
    index = torch.searchsorted(cumulative, target * (1 - 1e-12)).clamp(max=values.shape[1] - 1)
    return values.gather(1, index)[:, 0]


def _best_share(errors: Tensor) -> Tensor:
    """The share with the least of ``errors`` (B, SHARES); of several the largest."""
    index = errors.flip(1).argmin(1)
    return (SHARES - index).double() / SHARES


def _shares(like: Tensor) -> Tensor:
    return torch.arange(1, SHARES + 1, dtype=torch.float64, device=like.device) / SHARES


def _square_errors(
    values: Tensor, counts: Tensor, low: Tensor, high: Tensor, bits: int, symmetric: bool
) -> Tensor:
    """Σ counts (x − Q(x))² for each share of the range, (B, SHARES).

    Values are sorted, so that sums over those that go to one level are differences of running sums.
    A share then takes a search for each level and no pass over the values.
    """
    values, order = values.sort(dim=1)
    counts = counts.gather(1, order)
    moments = [_running(counts * values**power) for power in range(3)]
    limit = 2 ** (bits - 1)
    codes = torch.arange(-limit + symmetric, limit, dtype=torch.float64, device=values.device)
    errors = []
    for share in _shares(values):
        step = steps(low * share, high * share, bits, symmetric)[:, None]
        zero = 0 if symmetric else zero_points(low[:, None] * share, step, bits)
        levels = (codes - zero) * step  # (B, L)
        midpoints = (levels[:, 1:] + levels[:, :-1]) / 2
        inner = torch.searchsorted(values, midpoints)
        borders = (
            torch.nn.functional.pad(inner, (1, 0)),
            torch.nn.functional.pad(inner, (0, 1), value=values.shape[1]),
        )
        count, total, square = (
            moment.gather(1, borders[1]) - moment.gather(1, borders[0]) for moment in moments
        )
        errors.append((square - 2 * levels * total + levels**2 * count).sum(1))
    return torch.stack(errors, 1)


def _running(summands: Tensor) -> Tensor:
    """Sums of the first 0 … n columns, (B, n + 1)."""
    return torch.nn.functional.pad(summands.cumsum(1), (1, 0))


def _divergences(
    values: Tensor, counts: Tensor, low: Tensor, high: Tensor, bits: int, symmetric: bool
) -> Tensor:
    """KL(P ‖ Q) in nats for each share of the range, (B, SHARES).

    P is the histogram of the values in the range, with those beyond it added to its last bin. Q is
    the histogram in the range alone, its non-empty bins of one level made equal.
    """
    total = int(counts.sum(1).min())
    size = min(BINS, max(_FEWEST_BINS, total // (2 * _VALUES_A_BIN)))
    extents = torch.stack([-low, high], 1)  # (B, 2): the sides of zero
    side = (values > 0).long()
    indices = values.abs() / extents.gather(1, side).clamp(min=torch.finfo(torch.float64).tiny)
    indices = side * size + (indices * size).long().clamp(max=size - 1)
    histogram = values.new_zeros(len(values), 2 * size).scatter_add_(1, indices, counts)
    histogram = histogram.view(-1, 2, size)
    step = steps(low, high, bits, symmetric)[:, None]
    levels = (extents / torch.where(step > 0, step, 1)).round()  # of a side
    bins = torch.arange(size, device=values.device)
    errors = []
    for share in _shares(values):
        width = round(float(share) * size)
        if width < size // 16:  # as published: with few bins all histograms are alike
            errors.append(torch.full_like(low, torch.inf))
            continue
        inside = histogram[..., :width]
        reference = inside.clone()
        reference[..., -1] += histogram[..., width:].sum(2)
        level = (bins[:width] * levels[..., None] / width).long()  # (B, 2, width)
        level = level.clamp(max=width - 1)
        occupied = (inside > 0).double()
        sums = torch.zeros_like(inside).scatter_add_(2, level, inside)
        sizes = torch.zeros_like(inside).scatter_add_(2, level, occupied)
        quantized = (sums / sizes.clamp(min=1)).gather(2, level) * occupied
        errors.append(_divergence(reference.flatten(1), quantized.flatten(1)))
    return torch.stack(errors, 1)


def _divergence(p: Tensor, q: Tensor) -> Tensor:
    """KL(P ‖ Q) of rows of counts, (B,). A bin that only P has counts in is 1e-12 in Q."""
    p = p / p.sum(1, keepdim=True)
    q = q / q.sum(1, keepdim=True).clamp(min=torch.finfo(q.dtype).tiny)
    return torch.special.xlogy(p, p / q.clamp(min=1e-12)).sum(1)
