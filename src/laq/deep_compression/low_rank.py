"""Training of layers that are two thin factors: what ``laq.deep_compression.lowrank`` cut learns to
do without.

So that low rank is compared with pruning and sharing as they are, with trainings behind them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from laq.deep_compression import tied
from laq.deep_compression.lowrank import Factors
from laq.training.constraints import Constraint


class Product(nn.Module):
    """Makes a layer's weight: ``left`` (N, r) times ``right`` (r, d), in its shape.

    The parameter that the weight was has no part in it.
    """

    def __init__(self, shape: Iterable[int], rank: int) -> None:
        super().__init__()
        self.shape = torch.Size(shape)
        self.left = nn.Parameter(torch.zeros(self.shape[0], rank))
        self.right = nn.Parameter(torch.zeros(rank, self.shape[1:].numel()))

    def forward(self, _: Tensor) -> Tensor:
        return (self.left @ self.right).view(self.shape)

    def extra_repr(self) -> str:
        return f"shape={tuple(self.shape)}, rank={self.left.shape[1]}"


@dataclass(frozen=True)
class Factored(Constraint):
    """Layers whose weights are products of two factors: name to rank."""

    ranks: Mapping[str, int]

    def prepare(self, network: nn.Module) -> None:
        for name, rank in self.ranks.items():
            shape = network.get_submodule(name).weight.shape
            tied.replace(network, name, Product(shape, rank))


def of(factors: Mapping[str, Factors]) -> Factored:
    """The constraint under which a training keeps to these ranks, by layer."""
    return Factored({name: own.rank for name, own in factors.items()})


@torch.no_grad()
def load(network: nn.Module, factors: Mapping[str, Factors]) -> None:
    """Give the layers, which a ``Factored`` prepared, these factors."""
    for name, own in factors.items():
        held = _held(network, name)
        held.left.copy_(own.left)
        held.right.copy_(own.right)


@torch.no_grad()
def detach(network: nn.Module, names: Iterable[str]) -> dict[str, Factors]:
    """Make plain parameters of the weights; returns their factors as they are now."""
    found = {}
    for name in names:
        held = _held(network, name)
        left, right = (each.detach().cpu().clone() for each in (held.left, held.right))
        found[name] = Factors(tuple(held.shape), left, right)
        tied.detach(network, name, found[name].dense())
    return found


def _held(network: nn.Module, name: str) -> Product:
    return network.get_submodule(name).parametrizations.weight[0]
