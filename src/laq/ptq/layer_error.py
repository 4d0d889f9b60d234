"""A layer's outputs before and after, for solvers that do not know their error already."""

from __future__ import annotations

import torch
from torch import Tensor

from laq.ptq.hessian import grouped
from laq.ptq.layer import QuantizedLayer, Samples
from laq.quantizers.grids.base import Grid


def measured(codes: Tensor, grid: Grid, weight: Tensor, samples: Samples) -> QuantizedLayer:
    """``codes`` (N, d), chosen for ``weight`` (N, d), with their output error over ``samples``.

    Passes over the samples once and holds no more than one chunk's outputs (m_c, N).
    Raises ``DataError`` for samples or outputs that are not finite.
    """
    w, q = (
        matrix.unflatten(0, (samples.groups, -1)).mT  # (G, d, n)
        for matrix in (weight, grid.values(codes))
    )
    difference = reference = norms = weight.new_zeros((), dtype=torch.float64)
    for inputs, quantized_inputs in samples.chunks():
        x = grouped(quantized_inputs, samples.groups)  # (G, m_c, d)
        outputs = grouped(inputs, samples.groups) @ w  # (G, m_c, n)
        reference = reference + _squares(outputs)
        difference = difference + _squares(outputs.baddbmm_(x, q, alpha=-1))
        norms = norms + _squares(x, dim=1)  # (G, d)
    return QuantizedLayer.of(codes, grid, weight, samples, difference, reference, norms)


def _squares(values: Tensor, dim: int | None = None) -> Tensor:
    """Sums of squares, in float64: a float32 sum over many samples would lose digits."""
    return torch.linalg.vector_norm(values, dim=dim, dtype=torch.float64).square()
