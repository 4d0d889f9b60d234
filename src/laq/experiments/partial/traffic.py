"""Bytes that processes of a data-parallel training send each other in a step, from its layers.

Each process sends, and receives as many:

- gradients in float: 2 (p − 1) / p times their bytes, of a ring all-reduce (Patarasuk and Yuan,
  "Bandwidth optimal all-reduce algorithms for clusters of workstations", 2009), p processes;
- gradients in codes (``laq.training.exchange``): p − 1 times the bytes of the codes and scales;
- sums of BatchNorm whose statistics follow the batches, as ``laq.training.distributed`` makes them
  on the CPU: in the forward and in the backward pass 2 C + 1 numbers of C channels, all-reduced.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from laq.checkpoints import graph_edits
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

    reduced: gradients in float, all-reduced. gathered: codes and scales, all-gathered. statistics:
    of BatchNorm, all-reduced. processes: how many take part.
    """

    reduced: int
    gathered: int
    statistics: int
    processes: int = 2

    @property
    def gradients(self) -> float:
        """Bytes of gradients that the process sends, and as many that it receives."""
        return ring(self.reduced, self.processes) + (self.processes - 1) * self.gathered

    @property
    def sent(self) -> float:
        """All bytes that the process sends in a step, and as many that it receives."""
        return self.gradients + ring(self.statistics, self.processes)


def ring(handed: int, processes: int) -> float:
    """Bytes that a process sends in a ring all-reduce of ``handed`` bytes."""
    return 2 * (processes - 1) / processes * handed


def computed(arm: TrafficArm, processes: int = 2) -> Traffic:
    """The traffic of the arm's layers. Each BatchNorm is assumed to be called once a step."""
    return of_network(*built(arm), arm.gradient_bits, processes)


def built(arm: TrafficArm) -> tuple[nn.Module, constraints.Constraint]:
    """The arm's network, prepared for its training, with new random weights; and its constraint."""
    network, constraint = graph_edits.create(**arm.spec), constraints.create(arm.constraint)
    constraint.prepare(network)
    return network, constraint


def of_network(
    network: nn.Module, constraint: constraints.Constraint, gradient_bits: int, processes: int
) -> Traffic:
    """As ``computed``, of a network that ``constraint`` has prepared; puts it in training mode."""
    network.train()
    constraint.begin_epoch(network)
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    coded = constraint.coded(network) if gradient_bits < exchange.FLOAT else []
    coded = [parameter for parameter in coded if parameter.requires_grad]
    coded_ids = {id(parameter) for parameter in coded}
    scales = _FLOAT * len(coded)
    gathered = sum(exchange.packed_size(p.numel(), gradient_bits) for p in coded) + scales
    reduced = _FLOAT * sum(p.numel() for p in trained if id(p) not in coded_ids)
    norms = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.training]
    statistics = sum(2 * _FLOAT * (2 * norm.num_features + 1) for norm in norms)
    return Traffic(reduced, gathered, statistics, processes)
