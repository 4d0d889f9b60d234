"""Weights of a layer that share values: k-means in one dimension over those that are kept.

Han et al. 2016, section 3: pruned weights take no part in clustering, and 0 is no centroid of
theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from laq.checkpoints.deep_container.sparse_weight import SharedWeight
from laq.quantizers import kmeans
from laq.utils.errors import DataError

# First centroids of a layer's kept weights, in the three ways of Han et al. 2016, section 3.2.
#
# All take ascending values (n,), a number of centroids and a generator, and return (count,)
# float64, ascending.


Choose = Callable[[Tensor, int, torch.Generator], Tensor]


def linear(values: Tensor, count: int, _: torch.Generator) -> Tensor:
    """Evenly from the least to the largest, so that large weights, which are few, get centroids."""
    bounds = values[0].item(), values[-1].item()
    return torch.linspace(*bounds, count, dtype=torch.float64) if count > 1 else _middle(*bounds)


def density(values: Tensor, count: int, _: torch.Generator) -> Tensor:
    """Where the cumulative distribution crosses the middles of ``count`` equal parts of its height.

    So centroids are dense where values are.
    """
    quantiles = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    return values.double()[(quantiles * len(values)).long()]


def random(values: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Forgy's: values drawn at random, none twice."""
    indices = torch.randperm(len(values), generator=generator)[:count]
    return values.double()[indices.sort().values]


def optimal(values: Tensor, count: int, _: torch.Generator) -> Tensor:
    """The optimal centroids, which no iteration of Lloyd's improves (``laq.quantizers.kmeans``).

    The paper does not have this way.
    """
    return kmeans.levels(values, count)


def _middle(low: float, high: float) -> Tensor:
    return torch.tensor([(low + high) / 2], dtype=torch.float64)


WAYS: dict[str, Choose] = {
    "linear": linear,
    "density": density,
    "random": random,
    "optimal": optimal,
}


# Parametrizations of a weight, in every layer that holds it.


def attach(network: nn.Module, name: str, module: nn.Module) -> None:
    """Have ``module`` make the weight of the layer ``name`` from the parameter that it was."""
    weight = network.get_submodule(name).weight
    for layer in _holding(network, weight):
        _register(layer, module.to(weight.device))


def replace(network: nn.Module, name: str, module: nn.Module) -> None:
    """Have ``module`` make the weight of the layer ``name``; the parameter that it was is gone."""
    weight = network.get_submodule(name).weight
    for layer in _holding(network, weight):
        del layer.weight
        layer.register_buffer("weight", torch.zeros((), device=weight.device))
        _register(layer, module.to(weight.device))


def detach(network: nn.Module, name: str, weight: Tensor) -> None:
    """Make ``weight`` the plain parameter of the layer ``name`` and of those that share with it."""
    module = network.get_submodule(name).parametrizations.weight[0]
    parameter = nn.Parameter(weight.detach().clone())
    layers = [m for m in network.modules() if parametrize.is_parametrized(m, "weight")]
    for layer in [m for m in layers if m.parametrizations.weight[0] is module]:
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
        layer.weight = parameter


def _holding(network: nn.Module, weight: nn.Parameter) -> Iterator[nn.Module]:
    return iter([m for m in network.modules() if m._parameters.get("weight") is weight])


def _register(layer: nn.Module, module: nn.Module) -> None:
    parametrize.register_parametrization(layer, "weight", module, unsafe=True)


BITS = range(1, 9)


def share(
    weight: Tensor,
    kept: Tensor,
    bits: int,
    way: str,
    generator: torch.Generator,
    index_bits: int | None = None,
) -> SharedWeight:
    """``weight`` where ``kept``, bool of its shape, is true, with 2^bits values at most.

    way: a key of ``WAYS``, where Lloyd's iterations begin. They end where no weight changes its
    centroid. Centroids that no weight is nearest to are left out, such as linear ones between the
    negative and the positive weight that are nearest to 0. There are no more centroids than
    distinct weights. Where no weight is kept, as in a layer of zeros, there is one centroid, 0,
    that nothing uses.

    Raises ``DataError`` for weights that are not finite.
    """
    values = weight.detach().cpu().reshape(-1)[kept.cpu().reshape(-1)]
    if not values.isfinite().all():
        raise DataError("weights are not finite: train again")
    if not len(values):
        codes = torch.zeros(weight.shape, dtype=torch.int64)
        return SharedWeight.of(codes, torch.zeros(1), kept, index_bits)
    ascending = values.sort().values
    count = min(2**bits, len(ascending.unique()))
    initial_centroids = WAYS[way](ascending, count, generator)
    # Ascending; rounding to float32 makes some equal.
    centroids = kmeans.lloyd(ascending, initial_centroids).float().unique()
    nearest = assign(values, centroids)
    nonempty, codes = nearest.unique(return_inverse=True)
    full_codes = torch.zeros(weight.shape, dtype=torch.int64)
    full_codes[kept.cpu()] = codes
    return SharedWeight.of(full_codes, centroids[nonempty], kept, index_bits)


def assign(values: Tensor, centroids: Tensor) -> Tensor:
    """Which of ascending ``centroids`` (k,) each of ``values`` (n,) is nearest to, int64 (n,).

    Of two the lower, as in Lloyd's iterations.
    """
    boundaries = (centroids[1:].double() + centroids[:-1].double()) / 2
    return torch.searchsorted(boundaries, values.double())


def distortion(values: Tensor, centroids: Tensor) -> float:
    """Σ (w − c)² over ``values`` (n,), c the nearest of ascending ``centroids`` (k,)."""
    nearest = centroids.double()[assign(values, centroids)]
    return float((values.double() - nearest).square().sum())
