"""What a data-parallel step of some arms moves: computed, and counted in two real processes.

The arms are the float control, the last half of the layers, and all of them, at each number of
bits, with gradients in float and in codes; the last half also with no other layer trained.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import nn

from laq.experiments.partial import arms, counting, selection, traffic
from laq.experiments.partial.arms import ALL, Arm
from laq.experiments.partial.selection import Layers
from laq.experiments.partial.tensors import gradient_bits, weighed
from laq.training.exchange import FLOAT

PROCESSES = 2

_SHAPES = (("last", ALL), ("last", "quantized"), ("whole", ALL))


def chosen(layers: Layers, training: Mapping[str, Any], bits: Sequence[int]) -> Iterator[Arm]:
    """The arms of a network that are counted, the control first."""
    base = {"repeats": 1, "k": [max(1, len(layers.names) // 2)]}
    yield from arms.controls({**base, "training": training}, [])
    for width in bits:
        for position, train in _SHAPES:
            settings = {**base, "training": {**training, "train": train}, "bits": width}
            yield from arms.of_position(layers, position, settings, [])


def table(
    networks: Mapping[str, tuple[nn.Module, Mapping[str, Any]]],
    training: Mapping[str, Any],
    bits: Sequence[int],
) -> list[dict[str, Any]]:
    """A row for each arm of ``networks`` and its gradients, as results/README.md says.

    networks: each with its description, all of them for the same images. The processes start once.
    Raises ``ProcessError`` where one fails.
    """
    rows, traffic_arms = [], []
    images = next(iter(networks.values()))[1]["images"]
    for name, (network, described) in networks.items():
        blank = torch.zeros((1, *images), dtype=torch.uint8)
        for arm in chosen(selection.layers_of(network, blank), training, bits):
            for sent_bits in dict.fromkeys(gradient_bits(arm)):
                weight_bits = arm.recipe.get("qat", {"bits": FLOAT})["bits"]
                widths = {"bits": weight_bits, "k": arm.choice.k, "gradient_bits": sent_bits}
                rows.append({"network": name, **arm.columns, **widths})
                traffic_arms.append(weighed(described, arm, training, sent_bits))
    arm_counts = counting.counted(traffic_arms, tuple(images), PROCESSES)
    return [
        {**row, **_weights(arm, counts)}
        for row, arm, counts in zip(rows, traffic_arms, arm_counts, strict=True)
    ]


def _weights(arm: traffic.TrafficArm, counts: Sequence[counting.Counted]) -> dict[str, Any]:
    """Bytes of a step, of the process that sends the most."""
    computed = traffic.computed(arm, len(counts))
    busiest = max((process.handed for process in counts), key=lambda handed: handed.sent)
    received = [process.received for process in counts if process.received is not None]
    return {
        **asdict(busiest),
        "computed": round(computed.sent),
        "counted": round(busiest.sent),
        "received": round(max(received)) if received else None,
    }
