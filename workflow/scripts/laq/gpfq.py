"""GPFQ: greedy path-following quantization of one layer (Lybrand & Saab, JMLR 2021).

For a neuron w, inputs X of the float network and X̃ of the network quantized so far, the
columns t = 1 … d are walked in order, with u = 0 at the start:

    a_t = <X̃_t, u + w_t X_t> / |X̃_t|²        q_t = Q(a_t)        u ← u + w_t X_t − q_t X̃_t

and q_t = 0 where |X̃_t| = 0 (Zhang, Zhou & Saab 2023, equation 4). In the end u is the error of
the neuron's outputs, X w − X̃ q.

The solver computes exactly this, a block b of columns at a time. With D = X − X̃ and
e = w − q,

    a_t = w_t + ( <X̃_t, u_b> + Σ_{s ≤ t} w_s <D_s, X̃_t> + Σ_{s < t} e_s <X̃_s, X̃_t> ) / |X̃_t|²

where u_b is u before the block and s runs inside it. The first two sums are matrix products
over all neurons; only the third depends on codes just chosen, and needs no sample any more. The
block ends with u ← u + D_b w_b + X̃_b e_b, two products again. Written in D and e, not in X
and q, no large numbers cancel, so that float32 keeps to the float64 path.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from laq.alphabets import Alphabet
from laq.errors import DataError

# Columns a block. More shift work from products to the recursion, fewer add calls:
# from 32 to 128 the time is flat within a fifth, and 64 is the best on one thread and two.
BLOCK = 64

# Neurons that walk side by side in vector registers, and the unit of work of a thread.
_LANES = 32

# With fewer tiles a thread, starting it takes as long as it saves.
_TILES_A_THREAD = 2

# Numba's fallback thread pool aborts the process when two threads enter it at once.
_launch = threading.Lock()


@dataclass(frozen=True, eq=False)
class QuantizedLayer:
    """What the solver chose for one layer.

    codes: (N, d) int64, within ±alphabet.largest.
    weight: (N, d) the values they stand for, in the dtype of the weights given.
    error: ‖X Wᵀ − X̃ Qᵀ‖ / ‖X Wᵀ‖ in the Frobenius norm; 0 where both are 0, and infinite
        where only the reference is.
    silent: number of inputs that never fire: columns of X̃ with norm 0, whose codes are 0.
    """

    codes: Tensor
    weight: Tensor
    error: float
    silent: int


@torch.no_grad()
def quantize_layer(
    weight: Tensor,
    inputs: Tensor,
    quantized_inputs: Tensor,
    alphabet: Alphabet,
    *,
    block: int = BLOCK,
    threads: int = 1,
) -> QuantizedLayer:
    """Quantize ``weight`` (N, d), one neuron a row, by GPFQ.

    ``inputs`` (m, d) are the layer's inputs in the float network, ``quantized_inputs`` (m, d)
    those in the network quantized so far; all three float32 or all three float64, on the CPU,
    and the arithmetic is in that dtype. Beside them memory holds (m, N) and a few blocks.
    ``threads`` bounds those of the compiled loop, which does not change the codes; the products
    follow torch's own setting. The default is one: the loop is a third of the time on one core,
    and handing each block to a second thread stalls badly where other jobs hold the cores.

    Raises ``DataError`` for shapes or dtypes that do not match, and for values that are not
    finite or overflow on the way; the caller adds the layer's name.
    """
    _check(weight, inputs, quantized_inputs, alphabet)
    if block < 1 or threads < 1:
        raise ValueError(f"block {block} and threads {threads} must be at least 1")
    weight = weight.detach().contiguous()
    codes, residual, norms = _solve_blocks(
        weight, inputs, quantized_inputs, alphabet, block, threads
    )
    quantized = alphabet.values(codes)
    difference, reference = _frobenius(residual), _frobenius(inputs @ weight.T)
    if not (norms.isfinite().all() and math.isfinite(difference) and math.isfinite(reference)):
        raise DataError(
            f"inputs as large as {max(inputs.abs().max(), quantized_inputs.abs().max()):.3g} "
            f"overflow {weight.dtype} when they are squared: normalise the images, or use float64"
        )
    if reference > 0:
        error = difference / reference
    else:  # the residual holds rounding alone
        error = math.inf if (quantized_inputs @ quantized.T).any() else 0.0
    return QuantizedLayer(codes, quantized, error, silent=int((norms == 0).sum()))


def _solve_blocks(
    weight: Tensor,
    inputs: Tensor,
    quantized_inputs: Tensor,
    alphabet: Alphabet,
    block: int,
    threads: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Walk the columns in blocks; return codes (N, d), the residual u (m, N) and |X̃_t|² (d,)."""
    (neurons, columns), samples = weight.shape, inputs.shape[0]
    codes = torch.empty(neurons, columns, dtype=torch.int64)
    residual = weight.new_zeros(samples, neurons)
    norms = weight.new_empty(columns)
    steps = alphabet.step.expand(neurons, 1).flatten().numpy()
    limit = steps.dtype.type(alphabet.limit(weight.dtype))

    with _walker(neurons, threads) as walk:
        for first in range(0, columns, block):
            span = slice(first, min(first + block, columns))
            w = weight[:, span].T  # (B, N)
            x = quantized_inputs[:, span]  # (m, B)
            drift = inputs[:, span] - x  # (m, B)
            gram = x.T @ x  # (B, B)
            norms[span] = gram.diagonal()
            carried = x.T @ residual  # (B, N)
            carried.addmm_((drift.T @ x).triu_().T, w)
            walk(carried.numpy(), weight.numpy(), codes.numpy(), first, gram.numpy(), steps, limit)
            rounding = carried  # the walk has left w − q in its place
            residual.addmm_(drift, w)
            residual.addmm_(x, rounding)
    return codes, residual, norms


def _compiled(**options: Any) -> Callable[[Callable], Callable]:
    """``numba.njit`` that is kept on disk between processes where a folder for it can be written.

    Products and sums may fuse; nothing else is allowed to change a result.
    """

    def decorate(function: Callable) -> Callable:
        settings = {"nogil": True, "fastmath": {"contract"}, "error_model": "numpy", **options}
        try:
            return numba.njit(cache=True, **settings)(function)
        except RuntimeError:  # numba: no locator available
            return numba.njit(**settings)(function)

    return decorate


@_compiled()
def _walk_tile(
    carried: np.ndarray,
    weight: np.ndarray,
    codes: np.ndarray,
    first: int,
    gram: np.ndarray,
    steps: np.ndarray,
    limit: float,
    start: int,
) -> None:
    """The recursion of one block for the ``_LANES`` neurons from ``start`` on.

    carried (B, N) holds the two sums known beforehand and receives w − q; weight and codes
    (N, d) are read and written in columns first … first + B; gram (B, B) = X̃_bᵀ X̃_b.
    """
    columns, neurons = carried.shape
    lanes = min(_LANES, neurons - start)
    # Idle lanes of the last tile carry zeros, so that every neuron sees the same instructions.
    w = np.zeros((columns, _LANES), carried.dtype)
    total = np.zeros((columns, _LANES), carried.dtype)  # the sums, then the codes
    error = np.empty((columns, _LANES), carried.dtype)  # w − q
    step = np.ones(_LANES, carried.dtype)
    step[:lanes] = steps[start : start + lanes]
    for t in range(columns):
        for r in range(lanes):
            total[t, r] = carried[t, start + r]
    for r in range(lanes):
        for t in range(columns):
            w[t, r] = weight[start + r, first + t]

    for t in range(columns):
        fours = t - t % 4
        for s in range(0, fours, 4):  # four at once: one load and store of the sum for four
            g0, g1, g2, g3 = gram[t, s], gram[t, s + 1], gram[t, s + 2], gram[t, s + 3]
            for r in range(_LANES):
                total[t, r] += (
                    g0 * error[s, r]
                    + g1 * error[s + 1, r]
                    + g2 * error[s + 2, r]
                    + g3 * error[s + 3, r]
                )
        for s in range(fours, t):
            g0 = gram[t, s]
            for r in range(_LANES):
                total[t, r] += g0 * error[s, r]

        norm = gram[t, t]
        if norm > 0:
            for r in range(_LANES):
                code = np.rint((w[t, r] + total[t, r] / norm) / step[r])
                code = min(max(code, -limit), limit)
                total[t, r] = code
                error[t, r] = w[t, r] - code * step[r]
        else:
            for r in range(_LANES):
                total[t, r] = 0
                error[t, r] = w[t, r]

    for t in range(columns):
        for r in range(lanes):
            carried[t, start + r] = error[t, r]
    for r in range(lanes):
        for t in range(columns):
            codes[start + r, first + t] = np.int64(total[t, r])


@_compiled()
def _walk_serial(
    carried: np.ndarray,
    weight: np.ndarray,
    codes: np.ndarray,
    first: int,
    gram: np.ndarray,
    steps: np.ndarray,
    limit: float,
) -> None:
    for start in range(0, carried.shape[1], _LANES):
        _walk_tile(carried, weight, codes, first, gram, steps, limit, start)


# Not one function compiled both ways: numba's cache on disk knows a function by its code and
# would hand one version out for the other.
@_compiled(parallel=True)
def _walk_parallel(
    carried: np.ndarray,
    weight: np.ndarray,
    codes: np.ndarray,
    first: int,
    gram: np.ndarray,
    steps: np.ndarray,
    limit: float,
) -> None:
    for tile in numba.prange((carried.shape[1] + _LANES - 1) // _LANES):
        _walk_tile(carried, weight, codes, first, gram, steps, limit, tile * _LANES)


@contextmanager
def _walker(neurons: int, threads: int) -> Iterator[Callable[..., None]]:
    """The compiled recursion for this many neurons, on at most ``threads`` threads.

    A single thread starts no thread pool at all, so that many such jobs may share a machine.
    """
    tiles = -(-neurons // _LANES)
    workers = min(threads, tiles // _TILES_A_THREAD, numba.config.NUMBA_NUM_THREADS)
    if workers <= 1:
        yield _walk_serial
        return

    def walk(*arguments: Any) -> None:
        with _launch:
            _walk_parallel(*arguments)

    torch_threads = torch.get_num_threads()
    before = numba.get_num_threads()
    numba.set_num_threads(workers)
    # Numba's pool, when it starts, sets the thread count of the OpenMP it shares with torch.
    if torch.get_num_threads() != torch_threads:
        torch.set_num_threads(torch_threads)
    try:
        yield walk
    finally:
        numba.set_num_threads(before)


def _check(weight: Tensor, inputs: Tensor, quantized_inputs: Tensor, alphabet: Alphabet) -> None:
    tensors = {
        "weight": weight,
        "inputs": inputs,
        "quantized inputs": quantized_inputs,
        "alphabet step": alphabet.step,
    }
    described = ", ".join(
        f"{name} {tuple(tensor.shape)} {tensor.dtype} on {tensor.device}"
        for name, tensor in tensors.items()
    )
    if weight.ndim != 2 or inputs.ndim != 2 or 0 in (*weight.shape, *inputs.shape):
        raise DataError(f"a layer is weight (N, d) and inputs (m, d), none empty; got {described}")
    if inputs.shape[1] != weight.shape[1] or quantized_inputs.shape != inputs.shape:
        raise DataError(f"weight (N, d) and both inputs (m, d) must agree; got {described}")
    if alphabet.step.shape not in ((), (weight.shape[0], 1)):
        raise DataError(f"the alphabet's step must be () or (N, 1); got {described}")
    dtypes = {tensor.dtype for tensor in tensors.values()}
    if len(dtypes) > 1 or weight.dtype not in (torch.float32, torch.float64):
        raise DataError(f"all tensors must be float32, or all float64; got {described}")
    if any(tensor.device.type != "cpu" for tensor in tensors.values()):
        raise DataError(f"all tensors must be on the CPU; got {described}")
    for name, tensor in tensors.items():
        low, high = tensor.aminmax()
        if not (low.isfinite() and high.isfinite()):
            raise DataError(f"{name} {tuple(tensor.shape)} holds NaN or infinite values")


def _frobenius(matrix: Tensor) -> float:
    return torch.linalg.vector_norm(matrix, dtype=torch.float64).item()
