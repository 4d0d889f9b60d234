"""An arm as ``traffic``, ``counting`` and ``cost`` take it: what makes a step of its training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from laq.checkpoints import graph_edits
from laq.experiments.partial import traffic
from laq.experiments.partial.arms import Arm
from laq.qat.training import constraint_of
from laq.training import exchange
from laq.training.exchange import FLOAT


def weighed(
    described: Mapping[str, Any],
    arm: Arm,
    training: Mapping[str, Any],
    gradient_bits: int = FLOAT,
) -> traffic.TrafficArm:
    """An arm's training, as its steps are weighed. described: the network that it sets out from;
    training: settings of what is trained in float."""
    own, chosen = {**training, "bits": FLOAT}, ()
    if arm.method == "qat":
        own, chosen = arm.recipe["qat"], arm.choice.names
    constraint = constraint_of(own, chosen).description
    return traffic.TrafficArm(graph_edits.spec(described), constraint, gradient_bits)


def gradient_bits(arm: Arm) -> list[int]:
    """Bits that gradients of the arm's quantized weights are sent in: of float, and the fewest that
    are no fewer than the weights'."""
    bits = arm.recipe["qat"]["bits"] if arm.method == "qat" else FLOAT
    return [FLOAT, next(each for each in exchange.BITS if each >= bits)]
