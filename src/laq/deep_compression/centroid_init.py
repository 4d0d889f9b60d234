"""First centroids of a layer's kept weights, in the three ways of Han et al. 2016, section 3.2.

All take ascending values (n,) and a number of centroids, and give (count,) float64, ascending.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from laq.quantizers import kmeans

Choose = Callable[[Tensor, int, torch.Generator], Tensor]


def linear(values: Tensor, count: int, _: torch.Generator) -> Tensor:
    """Evenly from the least to the largest, so that large weights, which are few, get theirs."""
    ends = values[0].item(), values[-1].item()
    return torch.linspace(*ends, count, dtype=torch.float64) if count > 1 else _middle(*ends)


def density(values: Tensor, count: int, _: torch.Generator) -> Tensor:
    """Where the cumulative distribution crosses the middles of ``count`` equal parts of its height:
    dense where values are."""
    parts = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    return values.double()[(parts * len(values)).long()]


def random(values: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Forgy's: values drawn at random, none twice."""
    drawn = torch.randperm(len(values), generator=generator)[:count]
    return values.double()[drawn.sort().values]


def optimal(values: Tensor, count: int, _: torch.Generator) -> Tensor:
    """Beside the paper's: the best of all, where no iteration is left to take
    (``laq.quantizers.kmeans``).
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
