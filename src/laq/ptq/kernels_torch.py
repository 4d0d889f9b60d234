"""``laq.ptq.kernels_cpu`` in plain torch, for programs without Numba: all neurons side by side.

It is several times slower. Sums are torch's, so that codes may differ where a number lies within
rounding of the middle between two levels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from laq.ptq.layer import MARGIN, NOISE
from laq.quantizers import rounding

Rule = tuple[int, float, float]


def path(
    weight: Tensor,
    steps: Tensor,
    x: Tensor,
    drift: Tensor | None,
    inner: Tensor,
    cross: Tensor,
    noise: Tensor | None,
    rule: Rule,
    bounds: Tensor,
    codes: Tensor,
    threads: int,
) -> Tensor:
    """As ``laq.ptq.kernels_cpu.path``; ``threads`` are torch's own."""
    groups, neurons, columns = weight.shape
    scaled = (weight / steps[..., None]).movedim(2, 0)
    u = weight.new_zeros((groups, neurons, x.shape[2]))
    for t in range(columns):
        four, place = divmod(t, 4)
        norm = inner[:, four, place, place, None]
        w, row = scaled[t], x[:, t, :, None]
        total = (u @ row)[..., 0]
        value = w + (w * cross[:, four, place, place, None] + total) / norm.clamp(min=1e-300)
        own = None if noise is None else noise[t].view(groups, neurons)
        code = torch.where(norm > 0, _codes(value, own, rule, bounds), 0)
        codes[..., t] = code.to(codes.dtype)
        u += (w - _levels(code, rule))[..., None] * x[:, t, None]
        if drift is not None:
            u += w[..., None] * drift[:, t, None]
    return u.double().square().sum(2) * steps.double() ** 2


def block(
    base: Tensor,
    weight: Tensor,
    mix: Tensor,
    alive: Tensor,
    noise: Tensor | None,
    rule: Rule,
    bounds: Tensor,
    codes: Tensor,
    first: int,
    threads: int,
) -> None:
    """As ``laq.ptq.kernels_cpu.block``; ``threads`` are torch's own."""
    groups, columns, neurons = base.shape
    for t in range(columns):
        value = base[:, t]
        if t:
            value = value + (mix[:, t, None, :t] @ base[:, :t])[:, 0]
        own = None if noise is None else noise[t].view(groups, neurons)
        code = torch.where(alive[:, t, None], _codes(value, own, rule, bounds), 0)
        codes[..., first + t] = code.to(codes.dtype)
        base[:, t] = weight[:, t] - _levels(code, rule)


def cosines(
    levels: Tensor,
    carried: Tensor,
    target: Tensor,
    inner: Tensor,
    state: Tensor,
    bounds: Tensor,
    shift: float,
    growth: tuple[Tensor, Tensor, Tensor] | None,
    threads: int,
) -> None:
    """As ``laq.ptq.kernels_cpu.cosines``; ``threads`` are torch's own."""
    change = torch.zeros_like(levels)
    (dot, square), (low, high) = state, bounds
    for t in range(levels.shape[1]):
        h, b = inner[:, t, t, None], target[:, t]
        correlation = carried[:, t] + (inner[:, t, None, :t] @ change[:, :t])[:, 0]
        preferred = levels[:, t].clone()
        old = preferred
        if growth is not None:
            old = torch.zeros_like(preferred)
            own, weight, cross = growth
            grown = own[:, t] + (cross[:, None, :t, t] @ change[:, :t])[:, 0]
            dot += weight[:, t] * grown
        e = correlation - old * h
        a = dot - old * b
        rest = (square - old * (correlation + e)).clamp(min=0)
        p = _best(preferred, a, b, rest, e, h, low, high, shift)
        levels[:, t], change[:, t] = p, p - old
        dot.copy_(a + p * b)
        square.copy_(rest + p * (2 * e + p * h))


def _best(
    best: Tensor,
    a: Tensor,
    b: Tensor,
    rest: Tensor,
    e: Tensor,
    h: Tensor,
    low: Tensor,
    high: Tensor,
    shift: float,
) -> Tensor:
    """The level p of the largest cosine, ``best`` unless another one's is larger."""

    def cosine(p: Tensor) -> Tensor:
        square = rest + p * (2 * e + p * h)
        real = square > NOISE * (rest + p * p * h)
        return torch.where(real, (a + p * b) / square.clamp(min=0).sqrt(), 0)

    curvature = a * h - b * e
    peak = torch.where(curvature > 0, (b * rest - a * e) / curvature, b.sign())
    peak = peak.clamp(low, high) - shift
    near = peak.round()
    beside = near + (peak - near).sign()
    largest = cosine(best)
    for candidate in (near + shift, beside + shift, low, high):
        p = candidate.clamp(low, high)
        value = cosine(p)
        better = value > largest + MARGIN * largest.abs()
        best, largest = torch.where(better, p, best), torch.where(better, value, largest)
    return best


def _codes(values: Tensor, noise: Tensor | None, rule: Rule, bounds: Tensor) -> Tensor:
    kind, threshold, _ = rule
    return rounding.codes(
        values.clone(), rounding.KINDS[kind], float(threshold), bounds[0], bounds[1], noise
    )


def _levels(codes: Tensor, rule: Rule) -> Tensor:
    """The levels of ``codes`` in units of the step."""
    gap = float(rule[2])
    return codes + gap * codes.sign() if gap else codes
