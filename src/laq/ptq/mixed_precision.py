"""Bits for every layer of a network: mixed precision at a mean number of bits a weight.

Two ways. ``equal_shares`` cuts the weights into equal shares in forward order, each with its own
bits, as the study published (first half 5 bits, second half 3). ``allocate`` spends a budget where
it does the most good, given the ``sensitivity`` of the network to each of its layers.

Bits are given to runs of a layer's filters, so that a layer may be cut between two of them; one
of a grouped convolution may not.
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

    A cut that falls into a layer is moved to the nearest filter, or where the layer is not
    splittable, to the end of it that leaves it whole in the share with most of its weights. So
    each moves by half a filter or half such a layer at most, and the mean by as little.
    """
    if not bits:
        raise ConfigError("mixed precision needs at least one number of bits")
    total = sum(layer.weights for layer in sizes)
    allocation, before = {}, 0
    for layer in sizes:
        # The exact places of all cuts, in filters of this layer.
        places = [
            Fraction(total * share - before * len(bits), len(bits) * layer.columns)
            for share in range(len(bits) + 1)
        ]
        cuts = [min(max(place, Fraction(0)), Fraction(layer.rows)) for place in places]
        if layer.splittable:
            counts = [round(right) - round(left) for left, right in pairwise(cuts)]
        else:
            overlaps = [right - left for left, right in pairwise(cuts)]
            most = overlaps.index(max(overlaps))
            counts = [layer.rows if share == most else 0 for share in range(len(bits))]
        allocation[layer.name] = _runs(zip(counts, bits, strict=True))
        before += layer.weights
    return allocation


def allocate(
    damage: Mapping[str, Mapping[int, float]], sizes: Sequence[LayerSize], budget: float
) -> Allocation:
    """Bits for every layer of ``sizes`` such that their mean a weight is at most ``budget`` and
    the sum of the damages is least.

    ``damage`` is by layer and bits, the widths to choose from; damages of layers are taken to add
    up, and those of a layer's filters as well, so that a layer cut in two has shares of both.

    Every layer starts at its fewest bits. Then bits are added where they save the most damage for
    each, along the lower convex hull of the layer's damages, which solves the linear relaxation of
    this multiple-choice knapsack problem (Sinha & Zoltners, Operations Research 1979). One layer,
    the last, is cut where the budget ends; one that is not splittable and fits no more is passed
    over. So the sum is least but for what a filter saves, or such a layer; and it never grows
    with the budget. Bits that save nothing are not spent.

    Raises ``ConfigError`` for a budget below the fewest bits.
    """
    chosen = {layer.name: {min(damage[layer.name]): layer.rows} for layer in sizes}
    fewest = sum(layer.weights * min(damage[layer.name]) for layer in sizes)
    total = sum(layer.weights for layer in sizes)
    # Up by the float's last place, since 2.4 as a float is a little less than 2.4.
    exact = Fraction(budget) + Fraction(math.ulp(budget))
    spare = math.floor(exact * total) - fewest  # in bits
    if spare < 0:
        raise ConfigError(
            f"a budget of {budget:g} bits a weight is below the {fewest / total:g} of the fewest "
            "bits to choose from: raise it, or offer fewer bits"
        )
    upgrades = [
        (saved / (layer.weights * (after - before)), layer, before, after)
        for layer in sizes
        for before, after, saved in hull(damage[layer.name])
    ]
    # Stable: of equals the first in forward order.
    upgrades.sort(key=lambda upgrade: -upgrade[0])
    passed = set()
    for _, layer, before, after in upgrades:
        if layer.name in passed:
            continue
        cost = layer.columns * (after - before)  # of a filter
        rows = min(layer.rows, spare // cost)
        if rows < layer.rows and not layer.splittable:
            passed.add(layer.name)
            continue
        spare -= rows * cost
        chosen[layer.name] = {after: rows, before: layer.rows - rows}
        if rows < layer.rows:
            break
    return {
        name: _runs((rows, bits) for bits, rows in counts.items())
        for name, counts in chosen.items()
    }


def hull(damage: Mapping[int, float]) -> Iterator[tuple[int, int, Fraction]]:
    """Steps down the lower convex hull of ``damage``, by bits or any other whole number that is
    spent: the number, the next, and the damage saved.

    Exact, so that what is saved for a bit falls from step to step, and widths that do no less
    damage than a narrower one, by noise or because that does none, are never taken.
    """
    exact = {bits: Fraction(value) for bits, value in damage.items()}
    here = min(exact)
    while True:
        saved = {bits: exact[here] - value for bits, value in exact.items() if bits > here}
        ahead = [bits for bits, value in saved.items() if value > 0]
        if not ahead:
            return
        after = max(ahead, key=lambda bits: (saved[bits] / (bits - here), bits))
        yield here, after, saved[after]
        here = after


def sensitivity(
    network: nn.Module,
    images: Tensor,
    quantize: Callable[[int], Mapping[str, Tensor]],
    widths: Sequence[int],
) -> dict[str, dict[int, float]]:
    """Damage done by quantizing one layer alone, by layer and bits.

    It is the mean over ``images`` of the Kullback-Leibler divergence, in nats, of the class
    probabilities from the float network's: no label is needed. It takes a run of the network for
    each layer and width.

    Args:
        network: float, run in evaluation mode and left as it was.
        images: (n, c, h, w), uint8 or as the network takes them.
        quantize: bits to the quantized weights by layer name, each in the shape of the layer's
            weight and found as if no other were quantized (see ``on_float_inputs``).
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
                found = log_probabilities({f"{name}.weight": weight})
                divergence = torch.nn.functional.kl_div(
                    found, expected, reduction="batchmean", log_target=True
                ).item()
                if not math.isfinite(divergence):
                    raise DataError(f"layer {name}: outputs are not finite with {bits} bits in it")
                damage.setdefault(name, {})[bits] = divergence
    return damage


def on_float_inputs(solver: Solver) -> Solver:
    """``solver`` for a layer that is quantized alone: both its inputs are the float network's."""

    def solve(weight: Tensor, samples: Samples, grid: Grid) -> QuantizedLayer:
        def chunks() -> Iterator[tuple[Tensor, Tensor]]:
            return ((inputs, inputs) for inputs, _ in samples.chunks())

        return solver(weight, replace(samples, chunks=chunks), grid)

    return solve


def _runs(counts: Iterator[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Counts of rows with their bits, without those of no row, neighbours of equal bits joined."""
    runs: list[tuple[int, int]] = []
    for rows, bits in counts:
        if runs and runs[-1][1] == bits:
            runs[-1] = (runs[-1][0] + rows, bits)
        elif rows:
            runs.append((rows, bits))
    return tuple(runs)
