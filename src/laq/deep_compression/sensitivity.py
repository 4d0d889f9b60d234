"""What pruning a layer costs, measured, and weights spent where they cost least.

Each layer is pruned alone, to several shares of its weights, and the network run without any
retraining on images that no training has seen: the sensitivity of Han et al. 2015, figure 6.
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

# Shares of the weights that a layer has now, at which it is measured.
SHARES = (1.0, 0.85, 0.7, 0.55, 0.4, 0.28, 0.18, 0.1, 0.05)

_BATCH = 256  # images


@dataclass(frozen=True)
class SensitivityPoint:
    """The network with ``kept`` weights in one layer, ``share`` of its ``weights``, zeros counted.

    loss: mean cross-entropy in nats. top1: share of the images classified rightly. Both are NaN
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
        whole = _score(network, {}, images, labels)
        points = []
        for name, weight in weights.items():
            for number in sorted({masks.count(s, kept[name]) for s in shares}, reverse=True):
                loss, top1 = whole
                if number < kept[name]:
                    pruned = {_parameter(network, name): weight * masks.largest(weight, number)}
                    loss, top1 = _score(network, pruned, images, labels)
                share = number / weight.numel()
                points.append(SensitivityPoint(name, weight.numel(), number, share, loss, top1))
    return points


def spend(points: Sequence[SensitivityPoint], weights: int) -> dict[str, int]:
    """How many weights each layer keeps so that the sum of the losses is least, of so many in all.

    Losses of layers are taken to add up, and to change in a line between two points. Every layer
    starts at its fewest, and weights are given where they save the most, along the lower convex
    hull of the layer's losses (``laq.ptq.mixed_precision.hull``). Where no more saves anything,
    what is left is given to all in the proportion in which they lack weights. A layer gets its
    fewest even where these are more than ``weights``.
    """
    losses: dict[str, dict[int, float]] = {}
    for point in points:
        losses.setdefault(point.layer, {})[point.kept] = point.loss
    chosen = {layer: min(own) for layer, own in losses.items()}
    spare = weights - sum(chosen.values())
    steps = [
        (saved / (after - before), layer, before, after)
        for layer, own in losses.items()
        for before, after, saved in mixed_precision.hull(own)
    ]
    # Stable: of equals the first in forward order.
    for _, layer, before, after in sorted(steps, key=lambda step: -step[0]):
        given = min(after - before, spare)
        if given > 0:
            chosen[layer] = before + given
            spare -= given
    lacking = {layer: max(own) - chosen[layer] for layer, own in losses.items()}
    for layer, lack in lacking.items():
        # Of what is left, so that all of it is given whatever the rounding.
        given = min(lack, round(Fraction(spare * lack, sum(lacking.values()))) if lack else 0)
        chosen[layer] += max(0, given)
        spare, lacking = spare - max(0, given), {**lacking, layer: 0}
    return chosen


def _parameter(network: nn.Module, layer: str) -> str:
    """The name of the parameter that a layer's weight is, or is made of."""
    made = parametrize.is_parametrized(network.get_submodule(layer), "weight")
    return f"{layer}.parametrizations.weight.original" if made else f"{layer}.weight"


def _score(
    network: nn.Module, changed: Mapping[str, Tensor], images: Tensor, labels: Tensor
) -> tuple[float, float]:
    """Mean cross-entropy and top-1 of the network with other weights by name."""
    total, correct = 0.0, 0
    for batch, answers in zip(images.split(_BATCH), labels.split(_BATCH), strict=True):
        logits = torch.func.functional_call(network, changed, to_input(batch, batch.device))
        total += float(nn.functional.cross_entropy(logits.double(), answers, reduction="sum"))
        correct += int((logits.argmax(1) == answers).sum())
    if not torch.tensor(total).isfinite():
        raise DataError("the network's outputs are not finite: train it again")
    return total / len(labels), correct / len(labels)
