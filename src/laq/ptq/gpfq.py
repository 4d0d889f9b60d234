"""GPFQ: greedy path-following quantization of one layer (Lybrand & Saab, JMLR 2021).

For a neuron w, inputs X of the float network and X̃ of the network quantized so far, the
columns t = 1 … d are walked in order, with u = 0 at the start:

    a_t = <X̃_t, u + w_t X_t> / |X̃_t|²        q_t = Q(a_t)        u ← u + w_t X_t − q_t X̃_t

and q_t = 0 where |X̃_t| = 0 (Zhang, Zhou & Saab 2023, equation 4). In the end u is the error of
the neuron's outputs, X w − X̃ q. With D = X − X̃ and e = w − q this is

    a_t = w_t + ( w_t <D_t, X̃_t> + <X̃_t, u> ) / |X̃_t|²        u ← u + w_t D_t + e_t X̃_t

In terms of D and e, and not of X and q, no large numbers cancel, so that float32 keeps to the
float64 path.

A ridge λ adds λ ‖w − q‖² to the squared error ‖X w − X̃ q‖². It is the recursion above on X and X̃
with √λ I below each, which only adds λ to |X̃_t|²:

    a_t = w_t + ( w_t <D_t, X̃_t> + <X̃_t, u> ) / ( |X̃_t|² + λ )

A code then moves away from its weight's nearest level only for an error that the samples show
clearly. An input that never fires gets the nearest level, and λ → ∞ is rounding.

The same recursion is computed in three forms, each exact, for different sizes:

- ``direct``: as it stands, with u in memory for a few neurons at a time. For few samples.
- ``blocks``: inside a block of columns <X̃_t, u> is a product known before the block, plus sums of
  w_s <D_s, X̃_t> and e_s <X̃_s, X̃_t> over its columns s before t. Only the latter sum depends on
  codes just chosen, and it needs no samples. All else is matrix products.
- ``gram``: the same sums over all columns before t. Samples are needed for X̃ᵀX̃, X̃ᵀD and DᵀD
  alone and are streamed once, so memory does not grow with their number.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from laq.ptq import layer_selection
from laq.ptq.column_loop import Walk
from laq.ptq.hessian import Grams, grouped
from laq.ptq.layer import QuantizedLayer, Samples, check, penalty
from laq.quantizers.grids import Uniform
from laq.quantizers.rounding import Rounding
from laq.utils.errors import ConfigError

Form = Literal["direct", "blocks", "gram"]

# Columns a block. More columns shift work from products to the recursion, fewer columns add calls.
# From 32 to 128 the time differs by less than a fifth.
BLOCK = 64


def quantize_layer(
    weight: Tensor,
    inputs: Tensor,
    quantized_inputs: Tensor,
    alphabet: Uniform,
    *,
    groups: int = 1,
    ridge: float = 0.0,
    rounding: Rounding | None = None,
    form: Form | None = None,
    block: int = BLOCK,
    threads: int | None = None,
    memory: int = layer_selection.MEMORY,
) -> QuantizedLayer:
    """Quantize ``weight`` (N, d), one neuron a row, by GPFQ.

    ``inputs`` (m, G·d) are the layer's inputs in the float network, ``quantized_inputs``
    (m, G·d) those in the network quantized so far, G being the ``groups`` of a convolution.
    Everything else, and what is raised, as in ``solve``.
    """
    samples = Samples.for_weight(weight, inputs, quantized_inputs, groups)
    return solve(
        weight,
        samples,
        alphabet,
        ridge=ridge,
        rounding=rounding,
        form=form,
        block=block,
        threads=threads,
        memory=memory,
    )


@torch.no_grad()
def solve(
    weight: Tensor,
    samples: Samples,
    alphabet: Uniform,
    *,
    ridge: float = 0.0,
    rounding: Rounding | None = None,
    form: Form | None = None,
    block: int = BLOCK,
    threads: int | None = None,
    memory: int = layer_selection.MEMORY,
) -> QuantizedLayer:
    """Quantize ``weight`` (N, d) on ``samples`` of its inputs.

    All tensors float32 or all float64, on one device, and the arithmetic is in that dtype.

    Args:
        ridge: λ in units of the mean |X̃_t|² over all inputs of the layer; 0 as published.
        rounding: the quantizer Q; the nearest level where None.
        form: of the recursion; where None the cheapest by ``laq.ptq.layer_selection``. ``direct``
            is for the CPU alone, and for one step a neuron.
        block: columns a block.
        threads: of the compiled loops, torch's own number where None. It does not change the
            codes; matrix products follow torch's setting, which may change last bits.
        memory: bytes beside the layer that the choice of the form keeps to where it can.

    Raises ``ConfigError`` for a negative ridge, and ``DataError`` for shapes, dtypes or devices
    that do not match, and for values that are not finite or overflow on the way; the caller adds
    the layer's name.
    """
    rounding = rounding or Rounding()
    check(weight, samples, alphabet)
    if not ridge >= 0:
        raise ConfigError(f"ridge is {ridge}: it must be at least 0")
    if block < 1 or (threads is not None and threads < 1):
        raise ValueError(f"block {block} and threads {threads} must be at least 1")
    threads = threads or torch.get_num_threads()
    walk = Walk.of(weight, alphabet, rounding, samples.groups, threads)
    forms = get_args(Form) if weight.device.type == "cpu" and walk.plain else ("blocks", "gram")
    if form is None:
        shape = layer_selection.LayerShape(
            samples.rows,
            len(weight) // samples.groups,
            samples.columns,
            samples.groups,
            weight.element_size(),
            threads,
            noise=rounding.generator is not None,
        )
        form = layer_selection.cheapest(shape, block, memory, forms)
    elif form not in forms:
        raise ValueError(f"form {form!r} cannot be had here: choose {', '.join(forms)}")
    solver = {"direct": _direct, "blocks": _blocks, "gram": _gram}[form]
    difference, reference, norms = solver(walk, samples, block, ridge)
    return QuantizedLayer.of(walk.codes, alphabet, weight, samples, difference, reference, norms)


Sums = tuple[Tensor, Tensor, Tensor]


def _direct(walk: Walk, samples: Samples, block: int, ridge: float) -> Sums:
    """‖X w − X̃ q‖² and ‖X w‖² per neuron (G, n), or in all, and |X̃_t|² (G, d)."""
    inputs, quantized_inputs = samples.gather()
    x = _in_fours(quantized_inputs, samples.groups)
    quads = x.unflatten(1, (-1, 4))  # (G, d/4, 4, m)
    inner = quads @ quads.mT
    cross, drift = torch.zeros_like(inner), None
    if inputs is not quantized_inputs:
        drift = _in_fours(inputs, samples.groups) - x
        cross = quads @ drift.view_as(quads).mT
    diagonal = inner.diagonal(dim1=2, dim2=3)
    norms = diagonal.flatten(1)[:, : samples.columns].clone()
    if ridge:
        diagonal += penalty(ridge, norms.double().mean())
    difference = walk.path(x, drift, inner, cross)
    return difference, _reference(inputs, walk), norms


def _in_fours(matrix: Tensor, groups: int) -> Tensor:
    """Samples (m, G·d) as contiguous (G, d, m), d padded with zeros to a multiple of 4."""
    columns = matrix.T.contiguous().unflatten(0, (groups, -1))
    padding = -columns.shape[1] % 4
    return torch.nn.functional.pad(columns, (0, 0, 0, padding)) if padding else columns


def _blocks(walk: Walk, samples: Samples, block: int, ridge: float) -> Sums:
    inputs, quantized_inputs = samples.gather()
    same = inputs is quantized_inputs
    inputs = grouped(inputs, samples.groups)
    quantized_inputs = grouped(quantized_inputs, samples.groups)
    groups, neurons, columns = walk.weight.shape
    residual = inputs.new_zeros(groups, inputs.shape[1], neurons)  # u, in the walk's units
    norms = inputs.new_empty(groups, columns)
    damp = 0.0
    if ridge:  # the first block needs the mean over all columns
        squares = torch.linalg.vector_norm(quantized_inputs, dtype=torch.float64).square()
        damp = penalty(ridge, squares / norms.numel())
    for span in walk.spans(block):
        x, w = quantized_inputs[..., span], walk.scaled(span)  # (G, m, B), (G, B, n)
        inner = x.mT @ x  # (G, B, B)
        norms[:, span] = inner.diagonal(dim1=1, dim2=2)
        carried = x.mT @ residual  # (G, B, n)
        if not same:
            drift = inputs[..., span] - x
            carried.baddbmm_((x.mT @ drift).tril_(), w)
            residual.baddbmm_(drift, w)
        error = walk.greedy(span, carried, w, inner, damp)
        residual.baddbmm_(x, error)
    difference = torch.linalg.vector_norm(residual, dim=1, dtype=torch.float64) * walk.units
    return difference.square(), _reference(inputs.transpose(0, 1).flatten(1), walk), norms


def _gram(walk: Walk, samples: Samples, block: int, ridge: float) -> Sums:
    grams = Grams.of(samples)
    damp = penalty(ridge, grams.norms.double().mean()) if ridge else 0.0
    columns = walk.weight.shape[2]
    weight = walk.scaled(slice(0, columns))  # (G, d, n)
    error = torch.empty_like(weight)
    for span in walk.spans(block):
        past, w = slice(0, span.start), weight[:, span]
        carried = grams.inner[:, span, past] @ error[:, past]  # (G, B, n)
        if grams.cross is not None:
            carried.baddbmm_(grams.cross[:, span, past], weight[:, past])
            carried.baddbmm_(grams.cross[:, span, span].tril(), w)
        inner = grams.inner[:, span, span]
        error[:, span] = walk.greedy(span, carried, w, inner, damp)
    difference, reference = grams.energies(weight, error)
    squares = walk.units.double().square()
    return difference * squares, reference * squares, grams.norms


def _reference(inputs: Tensor, walk: Walk) -> Tensor:
    """‖X W‖² over all neurons."""
    outputs = grouped(inputs, len(walk.weight)) @ walk.weight.mT
    return torch.linalg.vector_norm(outputs, dtype=torch.float64).square()
