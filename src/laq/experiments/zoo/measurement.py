"""A network of the zoo as it would be deployed: written, weighed, read back and tested."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from laq.checkpoints import inference, packing
from laq.experiments.evaluation import Score, score
from laq.experiments.variants.task import MadeVariant
from laq.models.networks import predict
from laq.utils import scratch


@dataclass(frozen=True)
class FileWeight:
    """What a network takes: bytes of its file, and of its quantized weights the number and the
    bits each, codes and scales; 32 where none is quantized."""

    bytes: int
    weights: int
    bits_per_weight: float


@dataclass(frozen=True, eq=False)
class MeasuredNetwork:
    """A network as it was read back, and what it takes."""

    network: torch.nn.Module
    weight: FileWeight


def stored(made: MadeVariant, place: Path) -> MeasuredNetwork:
    """Write a network to a file in the folder ``place``, and read it as any other is read."""
    with scratch.folder(place, ".zoo") as folder:
        path = folder / "network.safetensors"
        made.save(path)
        return read(path)


def read(path: str | os.PathLike[str]) -> MeasuredNetwork:
    """A checkpoint with what it takes on the disk, in integers where it is meant to run so."""
    checkpoint = packing.read(path)
    packed = [weight for runs in checkpoint.packed.values() for weight in runs]
    weights = sum(weight.codes.numel() for weight in packed)
    coded = 8 * sum(weight.nbytes for weight in packed)
    weight = FileWeight(Path(path).stat().st_size, weights, coded / weights if weights else 32.0)
    return MeasuredNetwork(inference.built(path, checkpoint), weight)


def rows(
    measured: MeasuredNetwork,
    images: Tensor,
    labels: Tensor,
    members: Sequence[int],
    device: torch.device,
) -> list[dict[str, Any]]:
    """A row for each scope; images uint8 (n, c, h, w), labels (n,) of the classes ``members``."""
    found = score(predict(measured.network, images, device), labels, members)
    return [{**_counts(each), **vars(measured.weight)} for each in found]


def _counts(found: Score) -> dict[str, Any]:
    return {name: getattr(found, name) for name in ("scope", "n", "correct", "top1", "in_subset")}
