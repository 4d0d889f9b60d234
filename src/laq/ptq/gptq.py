"""GPTQ: second-order quantization of one layer (Frantar et al., ICLR 2023, algorithm 1).

It minimises ‖X̃ (w − q)‖, X̃ being the layer's inputs in the network quantized so far, with the
Hessian H = X̃ᵀX̃ + λI. Columns are rounded in order, and the columns that are not rounded yet
compensate the error of each as well as they can (the optimal brain surgeon's update).

As published it takes a Cholesky factor of H⁻¹. One of H itself gives the same codes (Chee et al.,
"QuIP", NeurIPS 2023, where it is called LDLQ): with H = R Rᵀ, R upper triangular,

    a_t = w_t + Σ_{s<t} (w_s − q_s) R_st / R_tt        q_t = Q(a_t)

which spares the inverse, its rounding errors and its memory, and is GPFQ's recursion on equal
inputs with R in the place of H.

H is added up and factored in float64 whatever the dtype of the samples, since float32 sums would
change codes where it is nearly singular. It is factored in place, so that memory holds d² float64
numbers a group.

Where the m samples are fewer than the d inputs, the same codes come from m × m matrices. With the
error of the outputs so far u = Σ_{s<t} (w_s − q_s) X̃_s, the later weights make up for it by ridge
regression of u on their inputs, whose first weight is that of column t:

    a_t = w_t + <y_t, u>        y_t = ( λI + Σ_{s≥t} X̃_s X̃_sᵀ )⁻¹ X̃_t

This is GPFQ's recursion with y_t in the place of X̃_t / |X̃_t|². All y_t cost 4 m² d operations
in place of 2 m d² + d³/3.
"""

from __future__ import annotations

import torch
from torch import Tensor

from laq.ptq.column_loop import Walk
from laq.ptq.hessian import grouped, measured
from laq.ptq.layer import QuantizedLayer, Samples, check, not_finite, penalty
from laq.quantizers.grids import Uniform
from laq.quantizers.rounding import Rounding
from laq.utils.errors import ConfigError, DataError

# Columns a block; it does not change the codes but for rounding errors.
BLOCK = 64


@torch.no_grad()
def solve(
    weight: Tensor,
    samples: Samples,
    grid: Uniform,
    *,
    damping: float = 0.01,
    rounding: Rounding | None = None,
    block: int = BLOCK,
    threads: int | None = None,
) -> QuantizedLayer:
    """Quantize ``weight`` (N, d) on ``samples`` of its inputs, in their order.

    All tensors are float32 or all float64, on one device. Weights of inputs that never fire get the
    nearest level, which is what the damping alone asks for. The published code sets them to 0, and
    so does a damping of 0. The reported error is that of the outputs against the float network's,
    as for every solver, and not the one that is minimised.

    Args:
        damping: λ in units of the mean |X̃_t|² over all inputs of the layer, as GPFQ's ridge.
        rounding: to the nearest level where None.
        block: columns a block.
        threads: of the compiled loop, torch's own number where None; it does not change the codes.

    Raises ``ConfigError`` for a negative damping. Raises ``DataError`` for shapes, dtypes or
    devices that do not match, for values that are not finite, and for a Hessian that is singular
    in spite of the damping; the caller adds the layer's name.
    """
    walk = damped_walk(weight, samples, grid, damping, rounding, block, threads)
    _round(walk, samples, damping, block)
    return measured(walk.codes, grid, weight, samples)


def damped_walk(
    weight: Tensor,
    samples: Samples,
    grid: Uniform,
    damping: float,
    rounding: Rounding | None,
    block: int,
    threads: int | None,
) -> Walk:
    """The start of a walk, its arguments and errors being those of ``solve``."""
    check(weight, samples, grid)
    if not damping >= 0:
        raise ConfigError(f"damping is {damping}: it must be at least 0")
    if block < 1 or (threads is not None and threads < 1):
        raise ValueError(f"block {block} and threads {threads} must be at least 1")
    return Walk.of(
        weight, grid, rounding or Rounding(), samples.groups, threads or torch.get_num_threads()
    )


def _round(walk: Walk, samples: Samples, damping: float, block: int) -> None:
    """Walk all columns."""
    if damping and samples.rows < samples.columns:
        _, x = samples.gather()
        x = grouped(x, samples.groups)
        damp = penalty(damping, squared_norms(x, samples).mean())
        outputs = x.new_zeros(len(x), samples.rows, walk.weight.shape[1])
        compensate_outputs(walk, x, compensating(x, damp, block), outputs, block)
        return
    hessian = reversed_hessian(samples, like=walk.weight)
    diagonal = hessian.diagonal(dim1=1, dim2=2)
    if damping:
        diagonal += penalty(damping, diagonal.mean())
    alive = diagonal.flip(1) > 0  # (G, d)
    compensate(walk, factored(hessian, damping), alive, block)


def reversed_hessian(samples: Samples, like: Tensor) -> Tensor:
    """X̃ᵀX̃ (G, d, d) float64, with rows and columns in reverse, on the device of ``like``."""
    size = (samples.groups, samples.columns, samples.columns)
    hessian = like.new_zeros(size, dtype=torch.float64)
    for _, quantized_inputs in samples.chunks():
        x = grouped(quantized_inputs, samples.groups).flip(2).double()  # (G, m_c, d)
        hessian.baddbmm_(x.mT, x)
    if not hessian.diagonal(dim1=1, dim2=2).isfinite().all():
        raise DataError(not_finite(samples))
    return hessian


def factored(hessian: Tensor, damping: float) -> Tensor:
    """The lower Cholesky factor of ``hessian``, in its memory; 1 for dead inputs.

    With rows and columns in reverse it is an upper triangular factor: R. Raises ``DataError`` where
    the Hessian is singular.
    """
    diagonal = hessian.diagonal(dim1=1, dim2=2)
    diagonal.masked_fill_(diagonal == 0, 1)
    # Symmetric, so its transpose is itself in the column-major order that LAPACK works on.
    lower, info = hessian.mT, hessian.new_empty(len(hessian), dtype=torch.int32)
    torch.linalg.cholesky_ex(lower, out=(lower, info))
    if info.any():
        raise DataError(
            f"the Hessian of the inputs is not positive definite with damping {damping:g}: "
            "raise damping"
        )
    return lower


def compensate(walk: Walk, factor: Tensor, alive: Tensor, block: int, first: int = 0) -> None:
    """Walk the columns from ``first`` on, each making up for the errors of those before it.

    factor: R (G, d, d) float64 with rows and columns in reverse. alive: (G, d), false where an
    input gets level 0.
    """
    groups, neurons, columns = walk.weight.shape
    error = walk.weight.new_zeros(groups, columns, neurons)  # w − q, in the walk's units
    for span in walk.spans(block, first):
        start, stop = span.start, span.stop
        w = walk.scaled(span)  # (G, B, n)
        panel = factor[:, columns - stop :, columns - stop : columns - start].flip(1, 2)  # R_st
        scale = panel[:, start:].diagonal(dim1=1, dim2=2)[:, None]  # R_tt, (G, 1, B)
        mix = (panel / scale).mT.to(w.dtype)  # (G, B, stop)
        base = torch.baddbmm(w, mix[..., first:start], error[:, first:start])
        inside = mix[..., start:].contiguous()
        error[:, span] = walk.block(span, base, w, inside, alive[:, span].contiguous())


# With fewer samples than inputs: m × m matrices in place of d × d.


def squared_norms(x: Tensor, samples: Samples) -> Tensor:
    """|X̃_t|² (G, d) float64 of ``x`` (G, m, d); raises ``DataError`` where one is not finite."""
    norms = torch.linalg.vector_norm(x, dim=1, dtype=torch.float64).square()
    if not norms.isfinite().all() or not x.square().isfinite().all():
        raise DataError(not_finite(samples))
    return norms


def compensating(x: Tensor, damp: Tensor, block: int) -> Tensor:
    """y_t of all columns t of ``x`` (G, m, d), in its shape and dtype; ``damp``: λ () or (G, 1, 1).

    The inverse P of λI + Σ_{s≥t} x_s x_sᵀ is carried from the last block of columns to the first,
    in float64. For a block X_b with I + X_bᵀ P X_b = R Rᵀ, R upper triangular, V = P X_b R⁻ᵀ gives
    y_t = V_t / R_tt and the next P − V Vᵀ.
    """
    groups, rows, columns = x.shape
    inverse = torch.eye(rows, dtype=torch.float64, device=x.device).expand(groups, -1, -1) / damp
    result = torch.empty_like(x)
    for stop in range(columns, 0, -block):
        span = slice(max(0, stop - block), stop)
        last_first = x[..., span].flip(2).double()  # a lower factor is an upper one in reverse
        product = inverse @ last_first  # (G, m, B)
        gram = last_first.mT @ product
        gram.diagonal(dim1=1, dim2=2).add_(1)
        lower = torch.linalg.cholesky(gram)
        v = torch.linalg.solve_triangular(lower.mT, product, upper=True, left=False)
        result[..., span] = (v / lower.diagonal(dim1=1, dim2=2)[:, None]).flip(2)
        inverse.baddbmm_(v, v.mT, alpha=-1)
    return result


def compensate_outputs(walk: Walk, x: Tensor, y: Tensor, outputs: Tensor, block: int) -> None:
    """Walk all columns, each making up for the error of the outputs so far.

    x, y: X̃ and its y_t, (G, m, d). outputs: u (G, m, n) in the walk's units, overwritten.
    """
    for span in walk.spans(block):
        inputs, reading, w = x[..., span], y[..., span], walk.scaled(span)
        base = torch.baddbmm(w, reading.mT, outputs)
        alive = torch.ones(w.shape[:2], dtype=torch.bool, device=w.device)
        error = walk.block(span, base, w, reading.mT @ inputs, alive)
        outputs.baddbmm_(inputs, error)
