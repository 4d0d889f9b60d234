"""The measured loss of pruning a layer, and an allocation of weights to layers by it.

Each layer is pruned alone, to several shares of its weights. The network is run, without any
retraining, on images that no training has seen: the sensitivity of Han et al. 2015, figure 6.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from laq.deep_compression import masks
from laq.models.networks import to_input
from laq.ptq import mixed_precision
from laq.ptq.layer_selection import evaluating
from laq.utils.errors import DataError

# Shares of a layer's current weights at which it is measured.
SHARES = (1.0, 0.85, 0.7, 0.55, 0.4, 0.28, 0.18, 0.1, 0.05)

_BATCH = 256  # images


@dataclass(frozen=True)
class SensitivityPoint:
    """The network with ``kept`` weights in one layer, ``share`` of its ``weights``, zeros counted.

    loss: mean cross-entropy in nats. top1: share of the images classified correctly. Both are NaN
    where nothing was measured.
    """

    layer: str
    weights: int
    kept: int
    share: float
    loss: float
    top1: float


def unmeasured(layer: str, weights: int, kept: int) -> SensitivityPoint:
    """A point at which the network was not run."""
    return SensitivityPoint(layer, weights, kept, kept / weights, math.nan, math.nan)


@torch.no_grad()
def sensitivity(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    kept: Mapping[str, int],
    shares: Sequence[float] = SHARES,
) -> list[SensitivityPoint]:
    """A point for each layer and each of ``shares`` of its weights.

    images: uint8 (n, c, h, w), on any device. kept: how many weights each layer has now, of which
    the largest stay. The network is run in evaluation mode where it is, and left as it was.

    Raises ``DataError`` where its outputs are not finite.
    """
    weights = {name: network.get_submodule(name).weight for name in kept}
    device = next(iter(weights.values())).device
    images, labels = images.to(device), labels.to(device)
    with evaluating(network):
        baseline = _score(network, {}, images, labels)
        points = []
        for name, weight in weights.items():
            for count in sorted({masks.count(s, kept[name]) for s in shares}, reverse=True):
                loss, top1 = baseline
                if count < kept[name]:
                    pruned = {_parameter(network, name): weight * masks.largest(weight, count)}
                    loss, top1 = _score(network, pruned, images, labels)
                share = count / weight.numel()
                points.append(SensitivityPoint(name, weight.numel(), count, share, loss, top1))
    return points


def spend(points: Sequence[SensitivityPoint], weights: int) -> dict[str, int]:
    """How many weights each layer keeps, ``weights`` in all, so that the sum of losses is least.

    Losses of layers are assumed to add up, and to be linear between two points. Every layer starts
    at its fewest weights. Weights are given where they save the most, along the lower convex hull
    of the layer's losses (``laq.ptq.mixed_precision.hull``). Where no more weights save anything,
    the remaining ones are given to all layers in proportion to their numbers of missing weights. A
    layer gets its fewest weights even where these are more than ``weights`` in all.
    """
    losses: dict[str, dict[int, float]] = {}
    for point in points:
        losses.setdefault(point.layer, {})[point.kept] = point.loss
    allocation = {layer: min(curve) for layer, curve in losses.items()}
    budget = weights - sum(allocation.values())
    steps = [
        (saved / (end - start), layer, start, end)
        for layer, curve in losses.items()
        for start, end, saved in mixed_precision.hull(curve)
    ]
    # A stable sort: of equal savings the first layer in forward order comes first.
    for _, layer, start, end in sorted(steps, key=lambda step: -step[0]):
        added = min(end - start, budget)
        if added > 0:
            allocation[layer] = start + added
            budget -= added
    deficits = {layer: max(curve) - allocation[layer] for layer, curve in losses.items()}
    for layer, deficit in deficits.items():
        # A share of the current budget, so that all of it is given whatever the rounding.
        added = min(
            deficit, round(Fraction(budget * deficit, sum(deficits.values()))) if deficit else 0
        )
        allocation[layer] += max(0, added)
        budget, deficits = budget - max(0, added), {**deficits, layer: 0}
    return allocation


def _parameter(network: nn.Module, layer: str) -> str:
    """The name of the parameter behind a layer's weight, parametrized or not."""
    parametrized = parametrize.is_parametrized(network.get_submodule(layer), "weight")
    return f"{layer}.parametrizations.weight.original" if parametrized else f"{layer}.weight"


def _score(
    network: nn.Module, changed: Mapping[str, Tensor], images: Tensor, labels: Tensor
) -> tuple[float, float]:
    """Mean cross-entropy and top-1 of the network with other weights by name."""
    total, correct = 0.0, 0
    for batch, targets in zip(images.split(_BATCH), labels.split(_BATCH), strict=True):
        logits = torch.func.functional_call(network, changed, to_input(batch, batch.device))
        total += float(nn.functional.cross_entropy(logits.double(), targets, reduction="sum"))
        correct += int((logits.argmax(1) == targets).sum())
    if not torch.tensor(total).isfinite():
        raise DataError("the network's outputs are not finite: train it again")
    return total / len(labels), correct / len(labels)
