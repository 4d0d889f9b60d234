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

# Bins of a histogram for ``kl`` on either side of zero, for many values and for few: where hardly
# two share a bin, making bins equal changes nothing and nothing would ever be clipped.
BINS, _FEWEST_BINS, _VALUES_A_BIN = 2048, 128, 4

# Beyond so many bits ``mse`` and ``kl`` take everything: what rounding costs there is less than
# what clipping could ever save.
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

    The lowest code stands for ``low``, but for the rounding; step 0 counts as 1.
    """
    below = (-low / torch.where(step > 0, step, 1)).round()
    return below.clamp(0, 2**bits - 1) - 2 ** (bits - 1)


def _counted(values: Tensor, counts: Tensor | None) -> tuple[Tensor, Tensor]:
    """Values, 0 where there is none, and counts, both (B, n) float64."""
    values = values.detach().double()
    given = values.isnan().logical_not()
    counts = given.double() if counts is None else counts.double() * given
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
    below = counts.gather(1, order).cumsum(1)
    wanted = (quantile * below[:, -1:]).clamp(min=counts[counts > 0].min())
    # Sums of counts may miss their total by rounding.
    place = torch.searchsorted(below, wanted * (1 - 1e-12)).clamp(max=values.shape[1] - 1)
    return values.gather(1, place)[:, 0]


def _best_share(errors: Tensor) -> Tensor:
    """The share with the least of ``errors`` (B, SHARES), the largest of equals."""
    place = errors.flip(1).argmin(1)
    return (SHARES - place).double() / SHARES


def _shares(like: Tensor) -> Tensor:
    return torch.arange(1, SHARES + 1, dtype=torch.float64, device=like.device) / SHARES


def _square_errors(
    values: Tensor, counts: Tensor, low: Tensor, high: Tensor, bits: int, symmetric: bool
) -> Tensor:
    """Σ counts (x − Q(x))² for each share of the range, (B, SHARES).

    Once the values are sorted, sums over those that go to one level are differences of running
    sums, so that a share costs a search for each level and no pass over the values.
    """
    values, order = values.sort(dim=1)
    counts = counts.gather(1, order)
    moments = [_running(counts * values**power) for power in range(3)]
    half = 2 ** (bits - 1)
    codes = torch.arange(-half + symmetric, half, dtype=torch.float64, device=values.device)
    errors = []
    for share in _shares(values):
        step = steps(low * share, high * share, bits, symmetric)[:, None]
        zero = 0 if symmetric else zero_points(low[:, None] * share, step, bits)
        levels = (codes - zero) * step  # (B, L)
        between = (levels[:, 1:] + levels[:, :-1]) / 2
        inner = torch.searchsorted(values, between)
        ends = (
            torch.nn.functional.pad(inner, (1, 0)),
            torch.nn.functional.pad(inner, (0, 1), value=values.shape[1]),
        )
        count, total, square = (
            running.gather(1, ends[1]) - running.gather(1, ends[0]) for running in moments
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

    P is the histogram of the values in the range, those beyond it added to its last bin; Q has the
    bins of one level made equal, but for empty ones, and knows nothing of what lies beyond.
    """
    total = int(counts.sum(1).min())
    size = min(BINS, max(_FEWEST_BINS, total // (2 * _VALUES_A_BIN)))
    reach = torch.stack([-low, high], 1)  # (B, 2): the sides of zero
    side = (values > 0).long()
    places = values.abs() / reach.gather(1, side).clamp(min=torch.finfo(torch.float64).tiny)
    places = side * size + (places * size).long().clamp(max=size - 1)
    histogram = values.new_zeros(len(values), 2 * size).scatter_add_(1, places, counts)
    histogram = histogram.view(-1, 2, size)
    whole = steps(low, high, bits, symmetric)[:, None]
    levels = (reach / torch.where(whole > 0, whole, 1)).round()  # of a side
    bins = torch.arange(size, device=values.device)
    errors = []
    for share in _shares(values):
        width = round(float(share) * size)
        if width < size // 16:  # as published: of few bins, any histogram is like any other
            errors.append(torch.full_like(low, torch.inf))
            continue
        kept = histogram[..., :width]
        reference = kept.clone()
        reference[..., -1] += histogram[..., width:].sum(2)
        level = (bins[:width] * levels[..., None] / width).long()  # (B, 2, width)
        level = level.clamp(max=width - 1)
        filled = (kept > 0).double()
        sums = torch.zeros_like(kept).scatter_add_(2, level, kept)
        sizes = torch.zeros_like(kept).scatter_add_(2, level, filled)
        coarse = (sums / sizes.clamp(min=1)).gather(2, level) * filled
        errors.append(_divergence(reference.flatten(1), coarse.flatten(1)))
    return torch.stack(errors, 1)


def _divergence(p: Tensor, q: Tensor) -> Tensor:
    """KL(P ‖ Q) of rows of counts, (B,); a bin that only P has counts costs as if Q had a trace."""
    p = p / p.sum(1, keepdim=True)
    q = q / q.sum(1, keepdim=True).clamp(min=torch.finfo(q.dtype).tiny)
    return torch.special.xlogy(p, p / q.clamp(min=1e-12)).sum(1)
