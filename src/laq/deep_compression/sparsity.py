"""Which weights of a layer stay: those of the largest magnitude."""

from __future__ import annotations

import torch
from torch import Tensor


def count(share: float, weights: int) -> int:
    """``share`` of so many weights as a whole number, 1 at least: a layer stays connected."""
    return min(weights, max(1, round(share * weights)))


def largest(weight: Tensor, kept: int) -> Tensor:
    """Mask, bool in the shape of ``weight``, of exactly so many weights, the largest in magnitude.

    Of equals the first in memory's order. Weights must be finite, ``kept`` 1 to their number.
    """
    magnitudes = weight.detach().abs().reshape(-1)
    if kept == len(magnitudes):
        return torch.ones_like(weight, dtype=torch.bool)
    threshold = magnitudes.kthvalue(len(magnitudes) - kept + 1).values
    above, equal = magnitudes > threshold, magnitudes == threshold
    chosen = above | (equal & (equal.cumsum(0) <= kept - above.sum()))
    return chosen.view(weight.shape)


def beyond(weight: Tensor, quality: float) -> float:
    """Share of weights that are not below ``quality`` standard deviations in magnitude.

    Han et al. 2015, section 3: the threshold is a quality parameter times the standard deviation of
    the layer's weights, here about their mean.
    """
    weight = weight.detach().double()
    threshold = quality * weight.std(correction=0)
    return float((weight.abs() >= threshold).double().mean())
