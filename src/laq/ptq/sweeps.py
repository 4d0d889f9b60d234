"""Sweeps over the codes of one layer: coordinate descent after any solver.

Each column in turn takes the level that leaves the smallest squared error of the outputs while all
other columns keep theirs, as in QuantEase (arXiv 2309.01885) and ReQuant (arXiv 2608.07019). With
u = X w − X̃ q, e = w − q and a ridge λ,

    a_t = w_t + <X̃_t, u − e_t X̃_t> / ( |X̃_t|² + λ )        q_t = Q(a_t)

minimises ‖X w − X̃ q‖² + λ ‖w − q‖² over q_t, so that this sum never rises. It is GPFQ's step with
the errors of all columns in u, and not of the earlier ones alone, and runs in its kernels. An input
that never fires gets the nearest level with a ridge, and level 0 without one.

As GPFQ it comes in two forms: ``blocks`` keeps u of the samples, ``gram`` the products X̃ᵀX̃ and
X̃ᵀ(X − X̃) w, whose memory does not grow with the samples.
"""

from __future__ import annotations

import torch
from torch import Tensor

from laq.ptq.column_loop import Walk
from laq.ptq.gpfq import BLOCK
from laq.ptq.hessian import Grams, grouped
from laq.ptq.layer import QuantizedLayer, Samples, Solver, penalty
from laq.quantizers.grids import Grid
from laq.quantizers.rounding import Rounding
from laq.utils.errors import ConfigError


def swept(
    solve: Solver, sweeps: int, ridge: float, weight: Tensor, samples: Samples, grid: Grid
) -> QuantizedLayer:
    """What ``solve`` chooses for ``weight``, refined: a solver once its first three are bound."""
    return refine(solve(weight, samples, grid), weight, samples, sweeps, ridge=ridge)


@torch.no_grad()
def refine(
    layer: QuantizedLayer,
    weight: Tensor,
    samples: Samples,
    sweeps: int,
    *,
    ridge: float = 0.0,
    block: int = BLOCK,
    threads: int | None = None,
) -> QuantizedLayer:
    """Sweep ``sweeps`` times over the codes of ``layer``, or until none changes.

    Args:
        layer: what a solver chose for ``weight`` (N, d) on ``samples``; its grid stays.
        ridge: λ in units of the mean |X̃_t|² over all inputs of the layer.
        block, threads: as in ``laq.ptq.gpfq.solve``.

    Raises ``ConfigError`` for a negative ridge and for a grid whose levels are not equispaced.
    """
    if sweeps < 1:
        return layer
    if getattr(layer.grid, "gap", 1):
        raise ConfigError("sweeps need equispaced levels: take another method or scheme, or none")
    if not ridge >= 0:
        raise ConfigError(f"ridge is {ridge}: it must be at least 0")
    walk = Walk.of(
        weight, layer.grid, Rounding(), samples.groups, threads or torch.get_num_threads()
    )
    w = walk.scaled(slice(0, walk.weight.shape[2]))  # (G, d, n)
    levels = layer.weight.unflatten(0, (samples.groups, -1)) / walk.units[..., None]
    error = w - levels.mT
    form = _in_blocks if samples.rows < samples.columns else _by_grams
    difference, reference, norms = form(walk, samples, w, error, sweeps, ridge, block)
    squares = walk.units.double().square()
    return QuantizedLayer.of(
        walk.codes, layer.grid, weight, samples, difference * squares, reference * squares, norms
    )


Sums = tuple[Tensor, Tensor, Tensor]


def _in_blocks(
    walk: Walk, samples: Samples, w: Tensor, error: Tensor, sweeps: int, ridge: float, block: int
) -> Sums:
    """‖X w − X̃ q‖² and ‖X w‖² (G, n), and |X̃_t|² (G, d), with u (G, m, n) in memory."""
    inputs, quantized_inputs = samples.gather()
    inputs = grouped(inputs, samples.groups)
    quantized_inputs = grouped(quantized_inputs, samples.groups)
    norms = torch.linalg.vector_norm(quantized_inputs, dim=1, dtype=torch.float64).square()
    damp = float(penalty(ridge, norms.mean())) if ridge else 0.0
    residual = quantized_inputs @ error
    if inputs is not quantized_inputs:
        residual.baddbmm_(inputs - quantized_inputs, w)
    inner = {}
    for _ in range(sweeps):
        changed = False
        for span in walk.spans(block):
            x, before = quantized_inputs[..., span], error[:, span]
            if span.start not in inner:
                inner[span.start] = x.mT @ x  # (G, B, B)
            products = inner[span.start]
            carried = (x.mT @ residual).baddbmm_(products.tril(), before, alpha=-1)
            after = walk.greedy(span, carried, w[:, span].contiguous(), products, damp)
            if not torch.equal(after, before):
                changed = True
                residual.baddbmm_(x, after - before)
                error[:, span] = after
        if not changed:
            break
    difference = torch.linalg.vector_norm(residual, dim=1, dtype=torch.float64).square()
    reference = torch.linalg.vector_norm(inputs @ w, dim=1, dtype=torch.float64).square()
    return difference, reference, norms


def _by_grams(
    walk: Walk, samples: Samples, w: Tensor, error: Tensor, sweeps: int, ridge: float, block: int
) -> Sums:
    """The same from sums over the samples."""
    grams = Grams.of(samples)
    damp = float(penalty(ridge, grams.norms.double().mean())) if ridge else 0.0
    drift = grams.cross @ w if grams.cross is not None else None  # X̃ᵀ(X − X̃) w, (G, d, n)
    for _ in range(sweeps):
        changed = False
        for span in walk.spans(block):
            rows, before = grams.inner[:, span], error[:, span]
            products = rows[..., span]
            carried = (rows @ error).baddbmm_(products.tril(), before, alpha=-1)
            if drift is not None:
                carried += drift[:, span]
            after = walk.greedy(span, carried, w[:, span].contiguous(), products, damp)
            if not torch.equal(after, before):
                changed = True
                error[:, span] = after
        if not changed:
            break
    return *grams.energies(w, error), grams.norms
