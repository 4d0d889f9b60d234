"""Sums over samples: all of a layer's inputs that a quadratic error depends on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from laq.ptq.layer import QuantizedLayer, Samples
from laq.quantizers.grids import Grid


@dataclass(frozen=True, eq=False)
class Grams:
    """Products of the columns of X̃ and of D = X − X̃, per group.

    inner: X̃ᵀX̃ (G, d, d). cross: X̃ᵀD (G, d, d). drift: DᵀD (G, d, d). The last two are None
    where the inputs do not differ.
    """

    inner: Tensor
    cross: Tensor | None
    drift: Tensor | None

    @classmethod
    def of(cls, samples: Samples) -> Grams:
        """Add up the samples chunk by chunk, in their dtype."""
        inner = cross = drift = None
        for inputs, quantized_inputs in samples.chunks():
            x = grouped(quantized_inputs, samples.groups)  # (G, m_c, d)
            inner = _add(inner, x, x)
            if inputs is not quantized_inputs:
                d = grouped(inputs, samples.groups) - x
                cross, drift = _add(cross, x, d), _add(drift, d, d)
        return cls(inner, cross, drift)

    @property
    def norms(self) -> Tensor:
        """|X̃_t|², (G, d)."""
        return self.inner.diagonal(dim1=1, dim2=2)

    def energies(self, weight: Tensor, error: Tensor) -> tuple[Tensor, Tensor]:
        """‖X w − X̃ q‖² and ‖X w‖² of every neuron, each (G, n) float64.

        ``weight`` w and ``error`` w − q: (G, d, n), in the dtype of the samples.
        """
        inner = self.inner
        difference = _columnwise(error, inner @ error)
        reference = _columnwise(weight, inner @ weight)
        if self.cross is not None:
            drift, cross = _columnwise(weight, self.drift @ weight), self.cross @ weight
            difference += drift + 2 * _columnwise(error, cross)
            reference += drift + 2 * _columnwise(weight, cross)
        return difference.clamp_(min=0), reference.clamp_(min=0)


def grouped(matrix: Tensor, groups: int) -> Tensor:
    """Samples (m, G·d) as a view (G, m, d)."""
    return matrix.unflatten(1, (groups, -1)).transpose(0, 1)


def _add(total: Tensor | None, left: Tensor, right: Tensor) -> Tensor:
    if total is None:
        return left.mT @ right
    return total.baddbmm_(left.mT, right)


def _columnwise(left: Tensor, right: Tensor) -> Tensor:
    """Inner products of columns: (G, d, n) twice → (G, n) float64."""
    return (left * right).sum(dim=1, dtype=torch.float64)


# The error of a layer's outputs, for solvers that do not compute it themselves.


def measured(codes: Tensor, grid: Grid, weight: Tensor, samples: Samples) -> QuantizedLayer:
    """``codes`` (N, d), chosen for ``weight`` (N, d), with their output error over ``samples``.

    It takes one pass over the samples and the memory of one chunk's outputs (m_c, N).
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
        reference = reference + squares(outputs)
        difference = difference + squares(outputs.baddbmm_(x, q, alpha=-1))
        norms = norms + squares(x, dim=1)  # (G, d)
    return QuantizedLayer.of(codes, grid, weight, samples, difference, reference, norms)


def squares(values: Tensor, dim: int | None = None) -> Tensor:
    """Sums of squares over ``dim``, or over all, in float64: float32 sums would lose digits."""
    return torch.linalg.vector_norm(values, dim=dim, dtype=torch.float64).square()
