"""Training of the centroids that a layer's weights share.

A layer's weight is made of its centroids: w = c[code] where it is kept, and 0 elsewhere. So the
gradient of a centroid is the sum of those of its weights (Han et al. 2016, section 3.3). Codes and
positions of kept weights do not change.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from laq.checkpoints.deep_container.sparse_weight import SharedWeight
from laq.deep_compression import weight_clustering
from laq.training.constraints import Constraint, Group


class Centroids(nn.Module):
    """Makes a layer's weight: ``values`` (k,) at ``places`` (n,), 0 elsewhere, by ``codes`` (n,).

    The parameter that the weight was before is not used.
    """

    places: Tensor
    codes: Tensor

    def __init__(self, shape: Iterable[int], kept: int, count: int) -> None:
        super().__init__()
        self.shape = tuple(shape)
        self.values = nn.Parameter(torch.zeros(count))
        self.register_buffer("places", torch.zeros(kept, dtype=torch.int64))
        self.register_buffer("codes", torch.zeros(kept, dtype=torch.uint8))

    def forward(self, _: Tensor) -> Tensor:
        weight = self.values.new_zeros(math.prod(self.shape))
        return weight.index_put((self.places,), self.values[self.codes.long()]).view(self.shape)

    def extra_repr(self) -> str:
        return f"shape={self.shape}, kept={len(self.places)}, centroids={len(self.values)}"


@dataclass(frozen=True)
class Shared(Constraint):
    """Layers whose weights are made of centroids: name to numbers of kept weights and centroids.

    Centroids have no weight decay: smaller ones make no smaller file.
    """

    layers: Mapping[str, tuple[int, int]]

    def prepare(self, network: nn.Module) -> None:
        for name, (kept, count) in self.layers.items():
            shape = network.get_submodule(name).weight.shape
            weight_clustering.replace(network, name, Centroids(shape, kept, count))

    def groups(self, network: nn.Module) -> list[Group]:
        centroids = [_held(network, name).values for name in self.layers]
        return [{"params": centroids, "weight_decay": 0.0}]


def of(weights: Mapping[str, SharedWeight]) -> Shared:
    """The constraint under which a training trains the centroids of these weights, by layer."""
    counts = {name: (len(w.positions), len(w.centroids)) for name, w in weights.items()}
    return Shared(counts)


@torch.no_grad()
def load(network: nn.Module, weights: Mapping[str, SharedWeight]) -> None:
    """Give the layers, which a ``Shared`` prepared, these weights."""
    for name, weight in weights.items():
        module = _held(network, name)
        module.values.copy_(weight.centroids)
        module.places.copy_(weight.positions)
        module.codes.copy_(weight.codes)


@torch.no_grad()
def detach(network: nn.Module, weights: Mapping[str, SharedWeight]) -> dict[str, SharedWeight]:
    """Make plain parameters of the weights; returns them with their centroids as they are now."""
    shared_weights = {}
    for name, weight in weights.items():
        centroids = _held(network, name).values.detach().cpu().clone()
        shared_weights[name] = SharedWeight(
            weight.shape, weight.positions, weight.codes, centroids, weight.index_bits
        )
        weight_clustering.detach(network, name, shared_weights[name].weight())
    return shared_weights


def _held(network: nn.Module, name: str) -> Centroids:
    return network.get_submodule(name).parametrizations.weight[0]
