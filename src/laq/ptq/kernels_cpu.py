"""The compiled loops of greedy quantization on the CPU: columns in order, neurons side by side.

Everything is in units of the grid's step, and the level of code 0 is 0. Neurons do not depend on
each other, so a tile of them walks the columns in vector registers. Threads take different tiles,
which does not change a bit of the result.

All of it is in one file: Numba's cache on disk would not see a change in another one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from laq.ptq.layer import LANES, MARGIN, NOISE
from laq.utils.compiling import compiled

# Columns that are transposed at a time: eight cache lines of float32 of each neuron.
_STRIP = 128

# Numba's fallback thread pool aborts the process when two threads enter it at once.
_launch = threading.Lock()


@compiled()
def _code(value, noise, kind, threshold, low, high):
    """``laq.quantizers.rounding.codes`` of one number; ``kind`` is an index of its KINDS."""
    if kind == 0:
        code = np.rint(value)
    elif kind == 1:
        code = np.floor(value + noise)
    else:
        excess = abs(value) - threshold
        if kind == 2:
            code = np.rint(max(excess, 0 * value))
        else:
            code = np.rint(excess) + 1 if excess > 0 else 0 * value
        code = np.copysign(code, value)
    return min(max(code, low), high)


@compiled()
def _level(code, gap):
    """The level of ``code`` in units of the step."""
    return code + gap * np.sign(code) if gap != 0 else code


@compiled()
def _path_tile(
    weight, steps, x, drift, inner, cross, noise, rule, bounds, codes, squares, group, start
):
    """``path`` for the neurons of ``group`` from ``start`` on. u is that of this tile alone.

    Four columns and four samples, or two, are taken at a time, so that the sums stay in registers
    for sixteen multiply-adds.
    """
    kind, threshold, gap = rule
    columns, samples = weight.shape[2], x.shape[2]
    neurons = weight.shape[1]
    lanes = min(LANES, neurons - start)
    # Idle lanes of the last tile carry zeros, so that every neuron sees the same instructions.
    u = np.zeros((samples, LANES), weight.dtype)
    step = np.ones(LANES, weight.dtype)
    w = np.zeros((_STRIP, LANES), weight.dtype)
    strip_codes = np.zeros((_STRIP, LANES), weight.dtype)
    draw = np.zeros(LANES, weight.dtype)
    total = np.empty((4, LANES), weight.dtype)
    error = np.empty((4, LANES), weight.dtype)
    step[:lanes] = steps[group, start : start + lanes]
    low, high = np.zeros(LANES, weight.dtype), np.zeros(LANES, weight.dtype)
    low[:lanes] = bounds[0, group, start : start + lanes]
    high[:lanes] = bounds[1, group, start : start + lanes]

    for first in range(0, columns, _STRIP):
        width = min(_STRIP, columns - first)
        w[width:] = 0  # behind the last column are columns of padding
        for r in range(lanes):
            for s in range(width):
                w[s, r] = weight[group, start + r, first + s]
        for s in range(width):
            for r in range(LANES):
                w[s, r] /= step[r]
        for s in range(0, width, 4):
            t = first + s
            _project(x, group, t, u, total)
            for k in range(4):
                norm = inner[group, t // 4, k, k]
                for j in range(k):
                    h, c = inner[group, t // 4, k, j], cross[group, t // 4, k, j]
                    for r in range(LANES):
                        total[k, r] += h * error[j, r] + c * w[s + j, r]
                if noise.size and t + k < columns:
                    offset = group * neurons + start
                    draw[:lanes] = noise[t + k, offset : offset + lanes]
                if norm > 0:
                    c = cross[group, t // 4, k, k]
                    for r in range(LANES):
                        value = w[s + k, r] + (w[s + k, r] * c + total[k, r]) / norm
                        code = _code(value, draw[r], kind, threshold, low[r], high[r])
                        strip_codes[s + k, r] = code
                        error[k, r] = w[s + k, r] - _level(code, gap)
                else:
                    for r in range(LANES):
                        strip_codes[s + k, r] = 0
                        error[k, r] = w[s + k, r]
            _add(x, group, t, error, 0, u)
            if drift.size:
                _add(drift, group, t, w, s, u)
        for r in range(lanes):
            for s in range(width):
                codes[group, start + r, first + s] = strip_codes[s, r]

    for r in range(lanes):
        square = 0.0
        for i in range(samples):
            square += np.float64(u[i, r]) ** 2
        squares[group, start + r] = square * np.float64(step[r]) ** 2


@compiled(inline="always")
def _project(x, group, t, u, total):
    """total (4, LANES) = x u, for the columns from t on of x (G, D, m), and u (m, LANES)."""
    samples = u.shape[0]
    total[:] = 0
    unrolled = samples - samples % 4
    for i in range(0, unrolled, 4):
        a0, a1 = x[group, t, i], x[group, t, i + 1]
        a2, a3 = x[group, t, i + 2], x[group, t, i + 3]
        b0, b1 = x[group, t + 1, i], x[group, t + 1, i + 1]
        b2, b3 = x[group, t + 1, i + 2], x[group, t + 1, i + 3]
        c0, c1 = x[group, t + 2, i], x[group, t + 2, i + 1]
        c2, c3 = x[group, t + 2, i + 2], x[group, t + 2, i + 3]
        d0, d1 = x[group, t + 3, i], x[group, t + 3, i + 1]
        d2, d3 = x[group, t + 3, i + 2], x[group, t + 3, i + 3]
        for r in range(LANES):
            u0, u1, u2, u3 = u[i, r], u[i + 1, r], u[i + 2, r], u[i + 3, r]
            total[0, r] += a0 * u0 + a1 * u1 + a2 * u2 + a3 * u3
            total[1, r] += b0 * u0 + b1 * u1 + b2 * u2 + b3 * u3
            total[2, r] += c0 * u0 + c1 * u1 + c2 * u2 + c3 * u3
            total[3, r] += d0 * u0 + d1 * u1 + d2 * u2 + d3 * u3
    for i in range(unrolled, samples):
        for k in range(4):
            a0 = x[group, t + k, i]
            for r in range(LANES):
                total[k, r] += a0 * u[i, r]


@compiled(inline="always")
def _add(x, group, t, error, s, u):
    """u (m, LANES) += xᵀ error, for the columns from t on of x (G, D, m), the rows from s on of
    error (…, LANES)."""
    samples = u.shape[0]
    unrolled = samples - samples % 2
    for i in range(0, unrolled, 2):
        a0, a1 = x[group, t, i], x[group, t + 1, i]
        a2, a3 = x[group, t + 2, i], x[group, t + 3, i]
        b0, b1 = x[group, t, i + 1], x[group, t + 1, i + 1]
        b2, b3 = x[group, t + 2, i + 1], x[group, t + 3, i + 1]
        for r in range(LANES):
            e0, e1, e2, e3 = error[s, r], error[s + 1, r], error[s + 2, r], error[s + 3, r]
            u[i, r] += a0 * e0 + a1 * e1 + a2 * e2 + a3 * e3
            u[i + 1, r] += b0 * e0 + b1 * e1 + b2 * e2 + b3 * e3
    for i in range(unrolled, samples):
        for k in range(4):
            a0 = x[group, t + k, i]
            for r in range(LANES):
                u[i, r] += a0 * error[s + k, r]


@compiled()
def _block_tile(base, weight, mix, alive, noise, rule, bounds, codes, first, group, start):
    """``block`` for the neurons of ``group`` from ``start`` on."""
    kind, threshold, gap = rule
    columns, neurons = base.shape[1:]
    lanes = min(LANES, neurons - start)
    low, high = np.zeros(LANES, base.dtype), np.zeros(LANES, base.dtype)
    low[:lanes] = bounds[0, group, start : start + lanes]
    high[:lanes] = bounds[1, group, start : start + lanes]
    w = np.zeros((columns, LANES), base.dtype)
    total = np.zeros((columns, LANES), base.dtype)  # the sums, then the codes
    error = np.empty((columns, LANES), base.dtype)
    draw = np.zeros(LANES, base.dtype)
    for t in range(columns):
        for r in range(lanes):
            total[t, r] = base[group, t, start + r]
            w[t, r] = weight[group, t, start + r]

    for t in range(columns):
        unrolled = t - t % 4
        for s in range(0, unrolled, 4):  # one load and store of the sum for four
            g0, g1 = mix[group, t, s], mix[group, t, s + 1]
            g2, g3 = mix[group, t, s + 2], mix[group, t, s + 3]
            for r in range(LANES):
                total[t, r] += (
                    g0 * error[s, r]
                    + g1 * error[s + 1, r]
                    + g2 * error[s + 2, r]
                    + g3 * error[s + 3, r]
                )
        for s in range(unrolled, t):
            g0 = mix[group, t, s]
            for r in range(LANES):
                total[t, r] += g0 * error[s, r]

        if noise.size:
            offset = group * neurons + start
            draw[:lanes] = noise[t, offset : offset + lanes]
        if alive[group, t]:
            for r in range(LANES):
                code = _code(total[t, r], draw[r], kind, threshold, low[r], high[r])
                error[t, r] = w[t, r] - _level(code, gap)
                total[t, r] = code
        else:
            for r in range(LANES):
                error[t, r] = w[t, r]
                total[t, r] = 0

    for t in range(columns):
        for r in range(lanes):
            base[group, t, start + r] = error[t, r]
    for r in range(lanes):
        for t in range(columns):
            codes[group, start + r, first + t] = total[t, r]


@compiled()
def _cosine(p, a, b, rest, e, h):
    """<y, z + p x> / |z + p x|, from a = <y, z>, b = <y, x>, rest = |z|², e = <x, z>, h = |x|².

    It is 0 where z + p x is.
    """
    square = rest + p * (2 * e + p * h)
    return (a + p * b) / np.sqrt(square) if square > NOISE * (rest + p * p * h) else 0.0


@compiled()
def _best(best, a, b, rest, e, h, low, high, shift):
    """The level p of the largest ``_cosine``, ``best`` unless another one's is larger."""
    curvature = a * h - b * e
    # The stationary point, a maximum; without one the last level of a side, or the first beside 0.
    peak = (b * rest - a * e) / curvature if curvature > 0 else np.sign(b)
    peak = min(max(peak, low), high) - shift
    near = np.rint(peak)
    beside = near + np.sign(peak - near)
    largest = _cosine(best, a, b, rest, e, h)
    for candidate in (near + shift, beside + shift, low, high):
        p = min(max(candidate, low), high)
        value = _cosine(p, a, b, rest, e, h)
        if value > largest + MARGIN * abs(largest):
            best, largest = p, value
    return best


@compiled()
def _cosines_tile(
    levels, carried, target, inner, state, bounds, shift, own, weight, cross, group, start
):
    """``cosines`` for the neurons of ``group`` from ``start`` on."""
    columns, neurons = levels.shape[1:]
    lanes = min(LANES, neurons - start)
    change = np.zeros((columns, LANES), levels.dtype)
    total = np.zeros(LANES, levels.dtype)
    grown = np.zeros(LANES, levels.dtype)
    for t in range(columns):
        total[:lanes] = carried[group, t, start : start + lanes]
        for s in range(t):
            g = inner[group, t, s]
            for r in range(LANES):
                total[r] += g * change[s, r]
        if weight.size:
            grown[:lanes] = own[group, t, start : start + lanes]
            for s in range(t):
                g = cross[group, s, t]
                for r in range(LANES):
                    grown[r] += g * change[s, r]
        h = inner[group, t, t]
        for r in range(lanes):
            i = start + r
            dot, square, b = state[0, group, i], state[1, group, i], target[group, t, i]
            best, old = levels[group, t, i], levels[group, t, i]
            if weight.size:
                old = 0.0
                dot += weight[group, t, i] * grown[r]
            e = total[r] - old * h
            a = dot - old * b
            rest = max(square - old * (total[r] + e), 0.0)
            p = _best(best, a, b, rest, e, h, bounds[0, group, i], bounds[1, group, i], shift)
            levels[group, t, i], change[t, r] = p, p - old
            state[0, group, i] = a + p * b
            state[1, group, i] = rest + p * (2 * e + p * h)


# Each loop has two drivers, instead of one function compiled both ways: numba's cache on disk knows
# a function by its code and would take one version for the other.


@compiled()
def _path_serial(weight, steps, x, drift, inner, cross, noise, rule, bounds, codes, squares):
    for group in range(weight.shape[0]):
        for start in range(0, weight.shape[1], LANES):
            _path_tile(
                weight,
                steps,
                x,
                drift,
                inner,
                cross,
                noise,
                rule,
                bounds,
                codes,
                squares,
                group,
                start,
            )


@compiled(parallel=True)
def _path_parallel(weight, steps, x, drift, inner, cross, noise, rule, bounds, codes, squares):
    tiles = (weight.shape[1] + LANES - 1) // LANES
    for index in numba.prange(weight.shape[0] * tiles):
        group, start = index // tiles, index % tiles * LANES
        _path_tile(
            weight, steps, x, drift, inner, cross, noise, rule, bounds, codes, squares, group, start
        )


@compiled()
def _block_serial(base, weight, mix, alive, noise, rule, bounds, codes, first):
    for group in range(base.shape[0]):
        for start in range(0, base.shape[2], LANES):
            _block_tile(base, weight, mix, alive, noise, rule, bounds, codes, first, group, start)


@compiled(parallel=True)
def _block_parallel(base, weight, mix, alive, noise, rule, bounds, codes, first):
    tiles = (base.shape[2] + LANES - 1) // LANES
    for index in numba.prange(base.shape[0] * tiles):
        group, start = index // tiles, index % tiles * LANES
        _block_tile(base, weight, mix, alive, noise, rule, bounds, codes, first, group, start)


@compiled()
def _cosines_serial(levels, carried, target, inner, state, bounds, shift, own, weight, cross):
    for group in range(levels.shape[0]):
        for start in range(0, levels.shape[2], LANES):
            _cosines_tile(
                levels,
                carried,
                target,
                inner,
                state,
                bounds,
                shift,
                own,
                weight,
                cross,
                group,
                start,
            )


@compiled(parallel=True)
def _cosines_parallel(levels, carried, target, inner, state, bounds, shift, own, weight, cross):
    tiles = (levels.shape[2] + LANES - 1) // LANES
    for index in numba.prange(levels.shape[0] * tiles):
        group, start = index // tiles, index % tiles * LANES
        _cosines_tile(
            levels, carried, target, inner, state, bounds, shift, own, weight, cross, group, start
        )


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
    """The recursion as it is defined, with u of every neuron.

    Per column t: a = w_t + (w_t <x_t, drift_t> + <x_t, u>) / |x_t|²; u += w_t drift_t +
    (w_t − q_t) x_t; where x_t is 0 the code is 0. u is updated after every four columns. What it
    lacks inside of the four comes from ``inner`` and ``cross``.

    Args:
        weight: (G, n, d). steps: (G, n), the units of w and u.
        x: X̃ᵀ (G, D, m), D being d rounded up to a multiple of 4, with zeros there.
        drift: (X − X̃)ᵀ likewise, or None where it is 0.
        inner: (G, D/4, 4, 4), x xᵀ of every four columns. cross: likewise x driftᵀ.
        noise: (d, G·n) for stochastic rounding.
        rule: index of the kind in ``rounding.KINDS``, threshold, and gap of the grid.
        bounds: (2, G, n), the smallest and the largest code of each neuron.
        codes: (G, n, d) integers, written.
        threads: their largest number; it does not change a bit.

    Returns:
        ‖u‖² (G, n) float64 in units of the weights.
    """
    squares = torch.empty(weight.shape[:2], dtype=torch.float64)
    arrays = [weight, steps, x, _given(drift, x, 3), inner, cross, _given(noise, x, 2)]
    arguments = [array.numpy() for array in arrays] + [
        rule,
        bounds.numpy(),
        codes.numpy(),
        squares.numpy(),
    ]
    _run(_path_serial, _path_parallel, weight.shape[:2], threads, arguments)
    return squares


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
    """The recursion inside a block of B columns, on sums over samples that are known before.

    Per column t: a = base_t + Σ_{s<t} mix_ts e_s, and e_t = weight_t − q_t; where ``alive`` is
    false, q_t = 0.

    Args:
        base: (G, B, n), overwritten by e. weight: (G, B, n). Both in units of the step.
        mix: (G, B, B), read below the diagonal. alive: (G, B) bool.
        noise: (B, G·n) for stochastic rounding.
        rule, bounds, threads: as in ``path``.
        codes: (G, n, d) integers; columns first … first + B are written.
    """
    arrays = [base, weight, mix, alive, _given(noise, base, 2)]
    arguments = [array.numpy() for array in arrays] + [rule, bounds.numpy(), codes.numpy(), first]
    _run(_block_serial, _block_parallel, (base.shape[0], base.shape[2]), threads, arguments)


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
    """Beacon inside a block of B columns (``laq.ptq.beacon``), in float64.

    Per column t, the level p that makes the cosine of y = X w and z = X̃ q largest, all others
    held fixed. Of equal cosines, but for ``MARGIN``, the level that is there is kept.

    Args:
        levels: (G, B, n), overwritten by those chosen.
        carried: (G, B, n), <X̃_t, z>. target: (G, B, n), <X̃_t, y>.
        inner: (G, B, B), X̃ᵀX̃ of the block.
        state: (2, G, n), <y, z> and |z|², overwritten.
        bounds: (2, G, n), the first and the last level of each neuron. They are whole numbers plus
            ``shift``.
        growth: None in a cycle. In the greedy pass z lacks the columns from t on, ``levels`` are no
            part of it and y grows by w_t X_t: <X_t, z> before the block (G, B, n), the weights
            (G, B, n), and X̃ᵀX (G, B, B) of the block.
        threads: their largest number; it does not change a bit.
    """
    own, weight, cross = growth or (_given(None, levels, 3),) * 3
    arrays = [
        *(levels.numpy(), carried.numpy(), target.numpy(), inner.numpy(), state.numpy()),
        *(bounds.numpy(), float(shift), own.numpy(), weight.numpy(), cross.numpy()),
    ]
    _run(_cosines_serial, _cosines_parallel, (levels.shape[0], levels.shape[2]), threads, arrays)


def _given(tensor: Tensor | None, like: Tensor, dimensions: int) -> Tensor:
    return like.new_empty((0,) * dimensions) if tensor is None else tensor


def _run(
    serial: Callable[..., None],
    parallel: Callable[..., None],
    shape: Sequence[int],
    threads: int,
    arguments: list[Any],
) -> None:
    """Run ``serial`` for a single thread, ``parallel`` for more.

    A single thread starts no thread pool, so that many such jobs may share a machine.
    """
    groups, neurons = shape
    tiles = groups * -(-neurons // LANES)
    workers = min(threads, tiles, numba.config.NUMBA_NUM_THREADS)
    if workers <= 1:
        serial(*arguments)
        return
    torch_threads = torch.get_num_threads()
    with _launch:
        previous = numba.get_num_threads()
        numba.set_num_threads(workers)
        # Numba's pool, when it starts, sets the thread count of the OpenMP it shares with torch.
        if torch.get_num_threads() != torch_threads:
            torch.set_num_threads(torch_threads)
        try:
            parallel(*arguments)
        finally:
            numba.set_num_threads(previous)
