"""The network that a checkpoint is evaluated with: simulated in float, or in integers."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from laq import packing
from laq.errors import CheckpointError, LaqError

if TYPE_CHECKING:
    from torch import nn

    from laq.packing import PackedWeight

# Transforms that ask for a network of another kind, and the module whose ``compile`` makes it.
COMPILERS = {"integer": "laq.integer.compilation"}


def load(path: str | os.PathLike[str]) -> nn.Module:
    """As ``laq.packing.load``, but in integers where the checkpoint is meant to run so.

    Raises ``CheckpointError`` as that does.
    """
    checkpoint = packing.read(path)
    network = packing.build(path, checkpoint)
    try:
        return ready(network, checkpoint.packed, checkpoint.description.get("transforms", ()))
    except LaqError as error:
        raise CheckpointError(f"{path}: {error}") from error


def ready(
    network: nn.Module,
    packed: Mapping[str, Sequence[PackedWeight]],
    transforms: Sequence[Mapping[str, Any]],
) -> nn.Module:
    """``network`` with ``packed`` weights as its ``transforms`` ask for it, or as it is."""
    for entry in transforms:
        if entry["kind"] in COMPILERS:
            compiler = importlib.import_module(COMPILERS[entry["kind"]])
            return compiler.compile(network, packed)
    return network
