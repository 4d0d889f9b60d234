"""The compiled loops of greedy quantization on the CPU: columns in order, neurons side by side.

Everything is in units of the alphabet's step. Neurons do not depend on each other, so a tile of
them walks the columns in vector registers, and threads take different tiles, which does not
change a bit of the result.

Products and sums may fuse; nothing else is allowed to change a result.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

# Neurons that walk side by side, and the unit of work of a thread.
LANES = 32

# With fewer tiles a thread, starting it takes as long as it saves.
_TILES_A_THREAD = 2

# Columns that are transposed at a time, a cache line of float32 and more.
_STRIP = 64

# Numba's fallback thread pool aborts the process when two threads enter it at once.
_launch = threading.Lock()


def _compiled(**options: Any) -> Callable[[Callable], Callable]:
    """``numba.njit``, kept on disk between processes where a folder for it can be written."""

    def decorate(function: Callable) -> Callable:
        settings = {"nogil": True, "fastmath": {"contract"}, "error_model": "numpy", **options}
        try:
            return numba.njit(cache=True, **settings)(function)
        except RuntimeError:  # numba: no locator available
            return numba.njit(**settings)(function)

    return decorate


@_compiled()
def _code(value, noise, kind, threshold, limit):
    """``laq.rounding.codes`` of one number; ``kind`` is its place in KINDS."""
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
    return min(max(code, -limit), limit)


@_compiled()
def _level(code, gap):
    """What ``code`` stands for in units of the step."""
    return code + gap * np.sign(code)


@_compiled()
def _path_tile(weight, steps, x, drift, norms, cross, noise, rule, codes, squares, group, start):
    """``path`` for the neurons of ``group`` from ``start`` on; u is kept for this tile alone."""
    kind, threshold, limit, gap = rule
    columns, samples = x.shape[1:]
    neurons = weight.shape[1]
    lanes = min(LANES, neurons - start)
    u = np.zeros((samples, LANES), weight.dtype)
    # Idle lanes of the last tile carry zeros, so that every neuron sees the same instructions.
    step = np.ones(LANES, weight.dtype)
    w = np.zeros((_STRIP, LANES), weight.dtype)
    chosen = np.zeros((_STRIP, LANES), weight.dtype)
    draw = np.zeros(LANES, weight.dtype)
    total = np.empty(LANES, weight.dtype)
    error = np.empty(LANES, weight.dtype)
    step[:lanes] = steps[group, start : start + lanes]
    fours = samples - samples % 4

    for first in range(0, columns, _STRIP):
        width = min(_STRIP, columns - first)
        for r in range(lanes):
            for s in range(width):
                w[s, r] = weight[group, start + r, first + s] / step[r]
        for s in range(width):
            t = first + s
            if noise.size:
                place = group * neurons + start
                draw[:lanes] = noise[t, place : place + lanes]
            if norms[group, t] > 0:
                for r in range(LANES):
                    total[r] = 0
                for i in range(0, fours, 4):  # one load and store of the sum for four
                    x0, x1 = x[group, t, i], x[group, t, i + 1]
                    x2, x3 = x[group, t, i + 2], x[group, t, i + 3]
                    for r in range(LANES):
                        total[r] += (
                            x0 * u[i, r] + x1 * u[i + 1, r] + x2 * u[i + 2, r] + x3 * u[i + 3, r]
                        )
                for i in range(fours, samples):
                    x0 = x[group, t, i]
                    for r in range(LANES):
                        total[r] += x0 * u[i, r]
                inverse, share = 1 / norms[group, t], cross[group, t]
                for r in range(LANES):
                    value = w[s, r] + (w[s, r] * share + total[r] * inverse)
                    code = _code(value, draw[r], kind, threshold, limit)
                    chosen[s, r] = code
                    error[r] = w[s, r] - _level(code, gap)
            else:
                for r in range(LANES):
                    chosen[s, r] = 0
                    error[r] = w[s, r]
            if drift.size:
                for i in range(samples):
                    x0, d0 = x[group, t, i], drift[group, t, i]
                    for r in range(LANES):
                        u[i, r] += d0 * w[s, r] + x0 * error[r]
            else:
                for i in range(samples):
                    x0 = x[group, t, i]
                    for r in range(LANES):
                        u[i, r] += x0 * error[r]
        for r in range(lanes):
            for s in range(width):
                codes[group, start + r, first + s] = chosen[s, r]

    for r in range(lanes):
        square = 0.0
        for i in range(samples):
            square += np.float64(u[i, r]) ** 2
        squares[group, start + r] = square * np.float64(step[r]) ** 2


@_compiled()
def _block_tile(base, reference, mix, alive, noise, rule, own, codes, first, group, start):
    """``block`` for the neurons of ``group`` from ``start`` on."""
    kind, threshold, limit, gap = rule
    columns, neurons = base.shape[1:]
    lanes = min(LANES, neurons - start)
    w = np.zeros((columns, LANES), base.dtype)
    total = np.zeros((columns, LANES), base.dtype)  # the sums, then the codes
    error = np.empty((columns, LANES), base.dtype)
    draw = np.zeros(LANES, base.dtype)
    for t in range(columns):
        for r in range(lanes):
            total[t, r] = base[group, t, start + r]
            w[t, r] = reference[group, t, start + r]

    for t in range(columns):
        fours = t - t % 4
        for s in range(0, fours, 4):  # one load and store of the sum for four
            g0, g1 = mix[group, t, s], mix[group, t, s + 1]
            g2, g3 = mix[group, t, s + 2], mix[group, t, s + 3]
            for r in range(LANES):
                total[t, r] += (
                    g0 * error[s, r]
                    + g1 * error[s + 1, r]
                    + g2 * error[s + 2, r]
                    + g3 * error[s + 3, r]
                )
        for s in range(fours, t):
            g0 = mix[group, t, s]
            for r in range(LANES):
                total[t, r] += g0 * error[s, r]

        if noise.size:
            place = group * neurons + start
            draw[:lanes] = noise[t, place : place + lanes]
        if alive[group, t]:
            for r in range(LANES):
                code = _code(total[t, r], draw[r], kind, threshold, limit)
                error[t, r] = (total[t, r] if own else w[t, r]) - _level(code, gap)
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


# Two drivers each, not one function compiled both ways: numba's cache on disk knows a function by
# its code and would hand one version out for the other.


@_compiled()
def _path_serial(weight, steps, x, drift, norms, cross, noise, rule, codes, squares):
    for group in range(weight.shape[0]):
        for start in range(0, weight.shape[1], LANES):
            _path_tile(
                weight, steps, x, drift, norms, cross, noise, rule, codes, squares, group, start
            )


@_compiled(parallel=True)
def _path_parallel(weight, steps, x, drift, norms, cross, noise, rule, codes, squares):
    tiles = (weight.shape[1] + LANES - 1) // LANES
    for place in numba.prange(weight.shape[0] * tiles):
        group, start = place // tiles, place % tiles * LANES
        _path_tile(weight, steps, x, drift, norms, cross, noise, rule, codes, squares, group, start)


@_compiled()
def _block_serial(base, reference, mix, alive, noise, rule, own, codes, first):
    for group in range(base.shape[0]):
        for start in range(0, base.shape[2], LANES):
            _block_tile(base, reference, mix, alive, noise, rule, own, codes, first, group, start)


@_compiled(parallel=True)
def _block_parallel(base, reference, mix, alive, noise, rule, own, codes, first):
    tiles = (base.shape[2] + LANES - 1) // LANES
    for place in numba.prange(base.shape[0] * tiles):
        group, start = place // tiles, place % tiles * LANES
        _block_tile(base, reference, mix, alive, noise, rule, own, codes, first, group, start)


Rule = tuple[int, float, float, float]


def path(
    weight: Tensor,
    steps: Tensor,
    x: Tensor,
    drift: Tensor | None,
    norms: Tensor,
    cross: Tensor,
    noise: Tensor | None,
    rule: Rule,
    codes: Tensor,
    threads: int,
) -> Tensor:
    """The recursion straight from its definition, u being walked along for every neuron.

    Per column t: a = w_t + cross_t w_t + <x_t, u> / norms_t; u += w_t drift_t + (w_t − q_t) x_t;
    where norms_t is 0 the code is 0.

    Args:
        weight: (G, n, d). steps: (G, n), in which w and u are measured.
        x: X̃ᵀ (G, d, m). drift: (X − X̃)ᵀ likewise, or None where it is 0.
        norms: (G, d) |X̃_t|². cross: (G, d) <X_t − X̃_t, X̃_t> / |X̃_t|².
        noise: (d, G·n) for stochastic rounding.
        rule: kind's place in ``rounding.KINDS``, threshold, limit and gap of the alphabet.
        codes: (G, n, d) integers, written.
        threads: at most so many; it does not change a bit.

    Returns:
        ‖u‖² (G, n) float64 in units of the weights.
    """
    squares = torch.empty(weight.shape[:2], dtype=torch.float64)
    arrays = [weight, steps, x, _given(drift, x, 3), norms, cross, _given(noise, x, 2)]
    arguments = [array.numpy() for array in arrays] + [rule, codes.numpy(), squares.numpy()]
    _run(_path_serial, _path_parallel, weight.shape[:2], threads, arguments)
    return squares


def block(
    base: Tensor,
    reference: Tensor,
    mix: Tensor,
    alive: Tensor,
    noise: Tensor | None,
    rule: Rule,
    own: bool,
    codes: Tensor,
    first: int,
    threads: int,
) -> None:
    """The recursion inside a block of B columns, on sums over samples taken before.

    Per column t: a = base_t + Σ_{s<t} mix_ts e_s, and e_t = reference_t − q_t or, with ``own``,
    a − q_t; where ``alive`` is false, q_t = 0 and e_t = reference_t.

    Args:
        base: (G, B, n), receives e. reference: (G, B, n). All in units of the step.
        mix: (G, B, B), of which the part below the diagonal is read. alive: (G, B) bool.
        noise: (B, G·n) for stochastic rounding.
        rule, threads: as in ``path``.
        codes: (G, n, d) integers; columns first … first + B are written.
    """
    arrays = [base, reference, mix, alive, _given(noise, base, 2)]
    arguments = [array.numpy() for array in arrays] + [rule, own, codes.numpy(), first]
    _run(_block_serial, _block_parallel, (base.shape[0], base.shape[2]), threads, arguments)


def _given(tensor: Tensor | None, like: Tensor, dimensions: int) -> Tensor:
    return like.new_empty((0,) * dimensions) if tensor is None else tensor


def _run(
    serial: Callable[..., None],
    parallel: Callable[..., None],
    shape: Sequence[int],
    threads: int,
    arguments: list[Any],
) -> None:
    """A single thread starts no thread pool at all, so that many such jobs may share a machine."""
    groups, neurons = shape
    tiles = groups * -(-neurons // LANES)
    workers = min(threads, tiles // _TILES_A_THREAD, numba.config.NUMBA_NUM_THREADS)
    if workers <= 1:
        serial(*arguments)
        return
    torch_threads = torch.get_num_threads()
    with _launch:
        before = numba.get_num_threads()
        numba.set_num_threads(workers)
        # Numba's pool, when it starts, sets the thread count of the OpenMP it shares with torch.
        if torch.get_num_threads() != torch_threads:
            torch.set_num_threads(torch_threads)
        try:
            parallel(*arguments)
        finally:
            numba.set_num_threads(before)
