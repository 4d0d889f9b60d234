"""Training in which the weights that were pruned stay zero.

A mask is a buffer of a parametrization of the layer's weight: the layer computes with w ⊙ m. So
gradients are those of the pruned network. Masked weights have a gradient of 0 and stay 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from laq.deep_compression import weight_clustering
from laq.training.constraints import Constraint, Progress

# Which weights of a layer stay: those of the largest magnitude.


def count(share: float, weights: int) -> int:
    """``share`` of ``weights`` as a whole number, 1 at least so that a layer stays connected."""
    return min(weights, max(1, round(share * weights)))


def largest(weight: Tensor, kept: int) -> Tensor:
    """Mask, bool in the shape of ``weight``, of the ``kept`` weights with the largest magnitudes.

    Of equal magnitudes the first in memory order are kept. Weights must be finite, and ``kept``
    between 1 and their number.
    """
    magnitudes = weight.detach().abs().reshape(-1)
    if kept == len(magnitudes):
        return torch.ones_like(weight, dtype=torch.bool)
    threshold = magnitudes.kthvalue(len(magnitudes) - kept + 1).values
    above, equal = magnitudes > threshold, magnitudes == threshold
    mask = above | (equal & (equal.cumsum(0) <= kept - above.sum()))
    return mask.view(weight.shape)


def beyond(weight: Tensor, quality: float) -> float:
    """Share of weights whose magnitudes are at least ``quality`` standard deviations.

    Han et al. 2015, section 3: the threshold is a quality parameter times the standard deviation of
    the layer's weights, here about their mean.
    """
    weight = weight.detach().double()
    threshold = quality * weight.std(correction=0)
    return float((weight.abs() >= threshold).double().mean())


class Mask(nn.Module):
    """A layer's weight where ``mask``, bool in its shape, is true, and 0 elsewhere."""

    mask: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", torch.ones_like(weight, dtype=torch.bool))

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.mask


@dataclass(frozen=True)
class Masked(Constraint):
    """Weights of ``layers``, by name, that are masked stay zero."""

    layers: tuple[str, ...]

    def prepare(self, network: nn.Module) -> None:
        for name in self.layers:
            weight_clustering.attach(network, name, Mask(network.get_submodule(name).weight))

    def after_step(self, network: nn.Module, progress: Progress) -> None:
        """Set masked weights to 0 again: momentum moves them without a gradient."""
        for name in self.layers:
            mask, weight = _held(network, name)
            weight.mul_(mask.mask)


@torch.no_grad()
def prune(network: nn.Module, kept: Mapping[str, int]) -> None:
    """Keep the ``kept`` largest weights of each layer, and set the others to zero for good.

    The layers are those that a ``Masked`` prepared. Weights that are already masked stay masked.
    """
    for name, number in kept.items():
        mask, weight = _held(network, name)
        weight.mul_(mask.mask)
        mask.mask.copy_(largest(weight, number) & mask.mask)
        weight.mul_(mask.mask)


def kept(network: nn.Module, layers: Iterable[str]) -> dict[str, int]:
    """How many weights of each layer are not masked."""
    return {name: int(_held(network, name)[0].mask.sum()) for name in layers}


@torch.no_grad()
def detach(network: nn.Module, layers: Iterable[str]) -> dict[str, Tensor]:
    """Make plain parameters of masked weights; returns the masks."""
    masks = {}
    for name in layers:
        mask, weight = _held(network, name)
        masks[name] = mask.mask
        weight_clustering.detach(network, name, weight * mask.mask)
    return masks


def _held(network: nn.Module, name: str) -> tuple[Mask, nn.Parameter]:
    parametrizations = network.get_submodule(name).parametrizations.weight
    return parametrizations[0], parametrizations.original
