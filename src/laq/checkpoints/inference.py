"""The network that a checkpoint is evaluated with: simulated in float, or in integers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from laq.checkpoints import packing
from laq.integer import compilation, simulation
from laq.utils.errors import CheckpointError, LaqError

if TYPE_CHECKING:
    from torch import nn

    from laq.checkpoints.packing import Checkpoint
    from laq.quantizers.packed_weight import PackedWeight


def load(path: str | os.PathLike[str]) -> nn.Module:
    """As ``laq.checkpoints.packing.load``, but in integers where the checkpoint asks for them.

    Raises ``CheckpointError`` as that does.
    """
    return built(path, packing.read(path))


def built(path: str | os.PathLike[str], checkpoint: Checkpoint) -> nn.Module:
    """As ``load``, of what was read from ``path`` already."""
    network = packing.build(path, checkpoint)
    try:
        return ready(network, checkpoint.packed, checkpoint.description.get("transforms", ()))
    except LaqError as error:
        raise CheckpointError(f"{path}: {error}") from error


def simulated(path: str | os.PathLike[str]) -> nn.Module:
    """As ``load``, in float: what the integers stand for, in every operation.

    ``laq.checkpoints.packing.load`` gives such a network as torch computes it, in float32. This
    one, for evaluation alone, has exact sums, rounded as the integers are.

    Raises ``CheckpointError`` as ``laq.checkpoints.packing.load`` does.
    """
    checkpoint = packing.read(path)
    network = packing.build(path, checkpoint)
    try:
        for entry in checkpoint.description.get("transforms", ()):
            if entry["kind"] == "integer":
                return simulation.exact(network, checkpoint.packed)
        return network
    except LaqError as error:
        raise CheckpointError(f"{path}: {error}") from error


def on_grids(path: str | os.PathLike[str]) -> bool:
    """Whether values between layers are quantized.

    A difference in the last bits of a sum may then become one of a whole step.
    """
    kinds = {entry["kind"] for entry in packing.describe(path).get("transforms", ())}
    return bool(kinds & {"input_quantizers", "integer"})


def ready(
    network: nn.Module,
    packed: Mapping[str, Sequence[PackedWeight]],
    transforms: Sequence[Mapping[str, Any]],
) -> nn.Module:
    """``network`` with ``packed`` weights as its ``transforms`` ask for it, or as it is."""
    for entry in transforms:
        if entry["kind"] == "integer":
            return compilation.compile(network, packed)
    return network
