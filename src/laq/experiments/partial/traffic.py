"""Bytes that a process of a data-parallel training sends in a step, by formula from its layers.

Each of p processes sends, and receives as many:

- gradients in float: 2 (p − 1) / p times their bytes, of a ring all-reduce (Patarasuk and Yuan,
  "Bandwidth optimal all-reduce algorithms for clusters of workstations", 2009);
- gradients in codes (``laq.training.exchange``): p − 1 times the bytes of the codes and scales.

Left out are the sums of SyncBatchNorm, on CUDA where statistics follow the batches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from laq.checkpoints import graph_edits
from laq.quantizers.bitpacking import packed_size
from laq.training import constraints, exchange

_FLOAT = 4


@dataclass(frozen=True)
class TrafficArm:
    """A training whose traffic is computed: what each of its processes makes its network of.

    spec: arguments of ``laq.checkpoints.graph_edits.create``. constraint: its ``description``, or
    None. gradient_bits: of the gradients of weights that the constraint quantizes; without a
    constraint of all weights.
    """

    spec: Mapping[str, Any]
    constraint: Mapping[str, Any] | None = None
    gradient_bits: int = exchange.FLOAT


@dataclass(frozen=True)
class Traffic:
    """Bytes that a process hands to collectives in a step.

    reduced: gradients in float, all-reduced. gathered: codes and scales, all-gathered.
    """

    reduced: int
    gathered: int

    def sent(self, processes: int = 2) -> float:
        """Bytes that each of ``processes`` sends in a step, and as many that it receives."""
        return (processes - 1) * (2 / processes * self.reduced + self.gathered)


def built(arm: TrafficArm) -> tuple[nn.Module, constraints.Constraint]:
    """The arm's network, prepared for its training, with new random weights; and its constraint."""
    network, constraint = graph_edits.create(**arm.spec), constraints.create(arm.constraint)
    constraint.prepare(network)
    return network, constraint


def computed(arm: TrafficArm) -> Traffic:
    """The traffic of the arm's layers."""
    network, constraint = built(arm)
    network.train()
    constraint.begin_epoch(network)
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    coded = constraint.coded(network) if arm.gradient_bits < exchange.FLOAT else []
    coded = [parameter.numel() for parameter in coded if parameter.requires_grad]
    reduced = _FLOAT * (sum(parameter.numel() for parameter in trained) - sum(coded))
    gathered = sum(packed_size(count, arm.gradient_bits) + _FLOAT for count in coded)
    return Traffic(reduced, gathered)
