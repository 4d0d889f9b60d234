"""Qronos: greedy correction of the inputs' error, then diffusion (Zhang et al., ICLR 2026).

For a neuron w, inputs X of the float network and X̃ of the network quantized so far, the columns
t = 1 … d are walked in order, with v = w at the start (arXiv 2505.11695, equations 3 and 4):

    q_t = argmin over levels p of ‖X w − Σ_{s<t} q_s X̃_s − p X̃_t − Σ_{s>t} v_s X̃_s‖
    v_{>t} = argmin over v of      ‖X w − Σ_{s≤t} q_s X̃_s − Σ_{s>t} v_s X̃_s‖

After the first column v solves a least-squares problem, so that the residual is orthogonal to all
columns that are left: q_t is the level nearest to v_t, and the update is that of GPTQ (the paper's
theorem 1). So Qronos is one greedy step, one least-squares solution, and GPTQ from the second
column on. With D = X − X̃, H = X̃ᵀX̃ and c = X̃ᵀD w the first two are

    q_1 = Q( w_1 + c_1 / H_11 )
    v_{>1} = w_{>1} + H_{>1,>1}⁻¹ ( H_{>1,1} (w_1 − q_1) + c_{>1} )

and one Cholesky factor of H serves for this solution and for GPTQ. A damping λ adds λ ‖w − q‖² to
the squared error, which is the recursion on X and X̃ with √λ I below each: c stays, H becomes
H + λI.

All of it is computed in float64 but for the recursion inside a block of columns.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from laq.ptq.column_loop import Walk
from laq.ptq.gptq import (
    BLOCK,
    compensate,
    compensate_outputs,
    compensating,
    damped_walk,
    factored,
    reversed_hessian,
    squared_norms,
)
from laq.ptq.hessian import grouped, measured
from laq.ptq.layer import QuantizedLayer, Samples, penalty
from laq.quantizers.grids import Uniform
from laq.quantizers.rounding import Rounding

# Damping in units of the Hessian's largest eigenvalue where samples are fewer than inputs.
SINGULAR = 1e-6


def quantize_layer(
    weight: Tensor,
    inputs: Tensor,
    quantized_inputs: Tensor,
    alphabet: Uniform,
    *,
    groups: int = 1,
    damping: float = 0.0,
    rounding: Rounding | None = None,
    block: int = BLOCK,
    threads: int | None = None,
) -> QuantizedLayer:
    """Quantize ``weight`` (N, d), one neuron a row, by Qronos.

    ``inputs`` (m, G·d) are the layer's inputs in the float network, ``quantized_inputs``
    (m, G·d) those in the network quantized so far, G being the ``groups`` of a convolution.
    Everything else, and what is raised, as in ``solve``.
    """
    samples = Samples.for_weight(weight, inputs, quantized_inputs, groups)
    return solve(
        weight, samples, alphabet, damping=damping, rounding=rounding, block=block, threads=threads
    )


@torch.no_grad()
def solve(
    weight: Tensor,
    samples: Samples,
    grid: Uniform,
    *,
    damping: float = 0.0,
    rounding: Rounding | None = None,
    block: int = BLOCK,
    threads: int | None = None,
) -> QuantizedLayer:
    """Quantize ``weight`` (N, d) on ``samples`` of its inputs, in their order.

    All tensors are float32 or all float64, on one device. Weights of inputs that never fire get the
    nearest level; with a damping of 0 they get level 0, as in GPFQ.

    Args:
        damping: λ in units of the mean |X̃_t|² over all inputs of the layer, as GPFQ's ridge. Where
            samples are fewer than inputs, H is singular and λ is at least ``SINGULAR`` times its
            largest eigenvalue, the paper's choice.
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


def _round(walk: Walk, samples: Samples, damping: float, block: int) -> None:
    """Walk all columns."""
    if samples.rows < samples.columns:
        _round_few(walk, samples, damping, block)
        return
    hessian = reversed_hessian(samples, like=walk.weight)
    diagonal = hessian.diagonal(dim1=1, dim2=2)
    if damping:
        diagonal += penalty(damping, diagonal.mean())
    alive = diagonal.flip(1) > 0  # (G, d)
    first_row = hessian[:, -1:].flip(2)  # H_1t, (G, 1, d)
    factor = factored(hessian, damping)
    target = _drift(walk, samples)  # c (G, d, n)

    w = walk.scaled(slice(0, 1))  # (G, 1, n)
    norm = first_row[..., :1]
    base = w + (target[:, :1] / norm.where(norm > 0, norm.new_ones(()))).to(w.dtype)
    error = walk.block(slice(0, 1), base, w, w.new_zeros(len(w), 1, 1), alive[:, :1].contiguous())
    if samples.columns == 1:
        return
    target += first_row.mT * error
    update = _solution(factor, target)  # (G, d, n), 0 in the first column
    moved = walk.weight + (update.mT * walk.units[..., None]).to(w.dtype)
    compensate(replace(walk, weight=moved), factor, alive, block, first=1)


def _round_few(walk: Walk, samples: Samples, damping: float, block: int) -> None:
    """The same for fewer samples than inputs, by m × m matrices as in ``laq.ptq.gptq``.

    The error of the outputs begins with D w, and the first column corrects it by itself.
    """
    inputs, x = samples.gather()
    w = walk.scaled(slice(0, samples.columns))
    drift = grouped(inputs - x, samples.groups) @ w  # (G, m, n)
    x = grouped(x, samples.groups)
    norms = squared_norms(x, samples)
    damp = penalty(damping, norms.mean())
    if (damp < SINGULAR * norms.sum(1)).any():  # the sum bounds the largest eigenvalue
        damp = damp.clamp(min=SINGULAR * _largest_eigenvalue(x))[:, None, None]
    y = compensating(x, damp, block)
    y[..., 0] = x[..., 0] / (norms[:, :1] + damp.flatten()[:, None])
    compensate_outputs(walk, x, y, drift, block)


def _drift(walk: Walk, samples: Samples) -> Tensor:
    """c = X̃ᵀ(X − X̃) w (G, d, n) float64, in the walk's units."""
    weight = walk.scaled(slice(0, walk.weight.shape[2])).double()
    total = torch.zeros_like(weight)
    for inputs, quantized_inputs in samples.chunks():
        if inputs is not quantized_inputs:
            x = grouped(quantized_inputs, samples.groups).double()  # (G, m_c, d)
            total.baddbmm_(x.mT, (grouped(inputs, samples.groups).double() - x) @ weight)
    return total


def _solution(factor: Tensor, target: Tensor) -> Tensor:
    """H_{>1,>1}⁻¹ target_{>1} (G, d, n), with 0 for the first column."""
    # In reverse order the first column is the last, and zeros there leave the others alone.
    solution = torch.linalg.solve_triangular(factor, target.flip(1), upper=False)
    solution[:, -1] = 0
    return torch.linalg.solve_triangular(factor.mT, solution, upper=True).flip(1)


def _largest_eigenvalue(x: Tensor, steps: int = 30) -> Tensor:
    """The largest eigenvalue (G,) float64 of x xᵀ, for x (G, m, d), by power iteration.

    It is 1 where all of ``x`` is 0.
    """
    x = x.double()
    vector = x.sum(2, keepdim=True)
    vector = torch.where(vector == 0, 1.0, vector)
    for _ in range(steps):
        vector = vector / torch.linalg.vector_norm(vector, dim=1, keepdim=True)
        vector = x @ (x.mT @ vector)
        length = torch.linalg.vector_norm(vector, dim=1)[:, 0]
        if not length.all():
            return torch.where(length > 0, length, 1.0)
    return length
