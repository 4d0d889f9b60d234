"""Bits for every layer of a network: mixed precision at a mean number of bits a weight.

There are two ways. ``equal_shares`` cuts the weights into equal shares in forward order, each with
its own bits, as the study published (first half 5 bits, second half 3). ``allocate`` spends a
budget of bits where they save the most damage, given the ``sensitivity`` of the network to each of
its layers.

Bits are given to runs of a layer's filters, so that a layer may be cut between two filters. A
grouped convolution may not be cut.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING

from laq.utils.errors import ConfigError, DataError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from laq.ptq.layer import QuantizedLayer, Samples, Solver
    from laq.quantizers.grids import Grid

# Layer to runs of its filters in order: (rows, bits) each.
Allocation = Mapping[str, tuple[tuple[int, int], ...]]


@dataclass(frozen=True)
class LayerSize:
    """A layer's weight: ``rows`` filters of ``columns`` weights each."""

    name: str
    rows: int
    columns: int
    splittable: bool = True

    @classmethod
    def of(cls, name: str, layer: nn.Conv2d | nn.Linear) -> LayerSize:
        weight = layer.weight
        splittable = getattr(layer, "groups", 1) == 1
        return cls(name, len(weight), weight[0].numel(), splittable)

    @property
    def weights(self) -> int:
        return self.rows * self.columns


def equal_shares(sizes: Sequence[LayerSize], bits: Sequence[int]) -> Allocation:
    """Cut the weights of ``sizes``, in forward order, into a share of equal size for each of
    ``bits``.

    A cut that falls into a layer is moved to the nearest filter. A layer that is not splittable
    goes whole to the share with most of its weights. So a cut moves by at most half a filter or
    half such a layer, and the mean number of bits changes as little.
    """
    if not bits:
        raise ConfigError("mixed precision needs at least one number of bits")
    total = sum(layer.weights for layer in sizes)
    allocation, offset = {}, 0
    for layer in sizes:
        # The exact positions of all cuts, in filters of this layer.
        positions = [
            Fraction(total * share - offset * len(bits), len(bits) * layer.columns)
            for share in range(len(bits) + 1)
        ]
        cuts = [min(max(position, Fraction(0)), Fraction(layer.rows)) for position in positions]
        if layer.splittable:
            counts = [round(right) - round(left) for left, right in pairwise(cuts)]
        else:
            overlaps = [right - left for left, right in pairwise(cuts)]
            largest = overlaps.index(max(overlaps))
            counts = [layer.rows if share == largest else 0 for share in range(len(bits))]
        allocation[layer.name] = _runs(zip(counts, bits, strict=True))
        offset += layer.weights
    return allocation


def allocate(
    damage: Mapping[str, Mapping[int, float]], sizes: Sequence[LayerSize], budget: float
) -> Allocation:
    """Bits for every layer of ``sizes`` such that their mean a weight is at most ``budget`` and
    the sum of the damages is least.

    ``damage`` is by layer and bits, the widths to choose from. Damages are taken to add up over
    layers, and over a layer's filters, so that a layer cut in two has shares of both its damages.

    Every layer starts at its fewest bits. Then bits are added where each saves the most damage,
    along the lower convex hull of the layer's damages. This solves the linear relaxation of the
    multiple-choice knapsack problem (Sinha & Zoltners, Operations Research 1979). The last layer is
    cut where the budget ends. A layer that is not splittable and does not fit any more is skipped.
    So the sum is least up to what one filter, or such a layer, saves, and it never grows with the
    budget. Bits that save nothing are not spent.

    Raises ``ConfigError`` for a budget below the fewest bits.
    """
    allocation = {layer.name: {min(damage[layer.name]): layer.rows} for layer in sizes}
    minimum = sum(layer.weights * min(damage[layer.name]) for layer in sizes)
    total = sum(layer.weights for layer in sizes)
    # Plus one unit in the float's last place, since 2.4 as a float is a little less than 2.4.
    exact = Fraction(budget) + Fraction(math.ulp(budget))
    spare_bits = math.floor(exact * total) - minimum
    if spare_bits < 0:
        raise ConfigError(
            f"a budget of {budget:g} bits a weight is below the {minimum / total:g} of the fewest "
            "bits to choose from: raise it, or offer fewer bits"
        )
    upgrades = [
        (saving / (layer.weights * (higher - lower)), layer, lower, higher)
        for layer in sizes
        for lower, higher, saving in hull(damage[layer.name])
    ]
    # The sort is stable: of equal savings the first is that of the first layer in forward order.
    upgrades.sort(key=lambda upgrade: -upgrade[0])
    skipped = set()
    for _, layer, lower, higher in upgrades:
        if layer.name in skipped:
            continue
        cost = layer.columns * (higher - lower)  # of a filter
        rows = min(layer.rows, spare_bits // cost)
        if rows < layer.rows and not layer.splittable:
            skipped.add(layer.name)
            continue
        spare_bits -= rows * cost
        allocation[layer.name] = {higher: rows, lower: layer.rows - rows}
        if rows < layer.rows:
            break
    return {
        name: _runs((rows, bits) for bits, rows in counts.items())
        for name, counts in allocation.items()
    }


def hull(damage: Mapping[int, float]) -> Iterator[tuple[int, int, Fraction]]:
    """Steps down the lower convex hull of ``damage``: bits, the next bits, and the damage saved.

    In the place of bits may be any whole number that is spent. Savings are exact, so that the
    saving for each bit falls from step to step. Widths that do no less damage than a narrower one,
    by noise or because that does none, are never taken.
    """
    exact = {bits: Fraction(value) for bits, value in damage.items()}
    current = min(exact)
    while True:
        savings = {bits: exact[current] - value for bits, value in exact.items() if bits > current}
        candidates = [bits for bits, value in savings.items() if value > 0]
        if not candidates:
            return
        best = max(candidates, key=lambda bits: (savings[bits] / (bits - current), bits))
        yield current, best, savings[best]
        current = best


def sensitivity(
    network: nn.Module,
    images: Tensor,
    quantize: Callable[[int], Mapping[str, Tensor]],
    widths: Sequence[int],
) -> dict[str, dict[int, float]]:
    """Damage done by quantizing one layer alone, by layer and bits.

    It is the mean over ``images`` of the Kullback-Leibler divergence, in nats, between the class
    probabilities and the float network's. No label is needed. It takes a run of the network for
    each layer and width.

    Args:
        network: float, run in evaluation mode and left as it was.
        images: (n, c, h, w), uint8 or as the network takes them.
        quantize: maps bits to the quantized weights by layer name, each in the shape of the layer's
            weight and solved as if no other were quantized (see ``on_float_inputs``).
        widths: bits to try.

    Raises ``DataError`` where the network's outputs are not finite.
    """
    import torch

    from laq.ptq.calibration import CalibrationImages

    network = copy.deepcopy(network).eval()
    pool = CalibrationImages.of(images, network)

    def log_probabilities(weights: Mapping[str, Tensor]) -> Tensor:
        outputs = [torch.func.functional_call(network, weights, (chunk,)) for chunk in pool]
        if not isinstance(outputs[0], torch.Tensor):
            raise DataError(
                f"{type(network).__name__} gives {type(outputs[0]).__name__}, not class scores, so "
                "what its layers are worth cannot be measured: give bits without widths"
            )
        return torch.cat(outputs).double().log_softmax(1)

    with torch.no_grad():
        expected = log_probabilities({})
        damage: dict[str, dict[int, float]] = {}
        for bits in widths:
            for name, weight in quantize(bits).items():
                observed = log_probabilities({f"{name}.weight": weight})
                divergence = torch.nn.functional.kl_div(
                    observed, expected, reduction="batchmean", log_target=True
                ).item()
                if not math.isfinite(divergence):
                    raise DataError(f"layer {name}: outputs are not finite with {bits} bits in it")
                damage.setdefault(name, {})[bits] = divergence
    return damage


def on_float_inputs(solver: Solver) -> Solver:
    """``solver`` for a layer that is quantized alone: both inputs are the float network's."""

    def solve(weight: Tensor, samples: Samples, grid: Grid) -> QuantizedLayer:
        def chunks() -> Iterator[tuple[Tensor, Tensor]]:
            return ((inputs, inputs) for inputs, _ in samples.chunks())

        return solver(weight, replace(samples, chunks=chunks), grid)

    return solve


def _runs(counts: Iterator[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Runs (rows, bits) from counts of rows. Empty ones are left out, equal neighbours joined."""
    runs: list[tuple[int, int]] = []
    for rows, bits in counts:
        if runs and runs[-1][1] == bits:
            runs[-1] = (runs[-1][0] + rows, bits)
        elif rows:
            runs.append((rows, bits))
    return tuple(runs)
