"""Accuracy against ratio: pruning, sharing, both and low rank at several points.

After Han et al. 2016, figure 6. All four are trained for as many passes over the images as the
config's pipeline, so that none gains by more training. Training of shared centroids comes on top.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from laq.checkpoints.deep_container import file
from laq.deep_compression import low_rank as factored
from laq.deep_compression import pipeline
from laq.deep_compression.low_rank import Factors
from laq.experiments.deep.runner import Bench, Row, Settings, write
from laq.models import networks
from laq.utils import disks

# Of the column ``training``: whether anything is trained after the original network.
NONE, RETRAINED = "none", "retrained"
# Columns that identify a row.
POINT = ("method", "training", "density", "bits", "energy")

# A point's value, and the file that its training resumes from after a kill.
Points = Sequence[tuple[float, Path]]


def pruning(bench: Bench, settings: Settings, points: Points) -> Iterator[Row]:
    """Rows of ``pruning`` and of ``both`` at each share of the weights kept."""
    for share, state in points:
        point_settings = {**settings, "density": share}
        for training, run_settings in (
            (NONE, untrained(point_settings)),
            (RETRAINED, point_settings),
        ):
            variant = bench.compress(run_settings, state if training == RETRAINED else None)
            point = {"training": training, "density": share, "bits": None, "energy": None}
            course, description = variant.course, variant.description
            yield {
                "method": "pruning",
                **point,
                **bench.filed(course.pruned, description, course.weights),
            }
            yield {
                "method": "both",
                **point,
                **bench.filed(variant.state, description, course.shared),
            }


def quantization(bench: Bench, settings: Settings, points: Points) -> Iterator[Row]:
    """Rows of ``quantization`` at each number of bits: the config's pipeline without pruning."""
    settings = {**settings, "pruning": "ratios", "ratios": {}}
    layers = chosen(bench, settings)
    for training in (NONE, RETRAINED):
        network, run_settings = copy.deepcopy(bench.original), settings
        if training == NONE:
            run_settings = untrained(settings)
            masks = {name: _everything(network, name) for name in layers}
        else:
            trainer = bench.trainer(run_settings, state=points[0][1])
            masks, _ = pipeline.prune(network, bench.train, layers, run_settings, trainer)
        for bits, state in points:
            point_settings = {**run_settings, "bits_conv": bits, "bits_linear": bits}
            shared_network = copy.deepcopy(network)
            trainer = bench.trainer(point_settings, state=state)
            sharing = pipeline.share(shared_network, bench.train, masks, point_settings, trainer)
            point = {"training": training, "density": None, "bits": bits, "energy": None}
            columns = bench.filed(
                shared_network.state_dict(), bench.describe(point_settings), sharing.shared
            )
            yield {"method": "quantization", **point, **columns}


def low_rank(bench: Bench, settings: Settings, points: Points) -> Iterator[Row]:
    """Rows of ``lowrank`` at each share of energy, the same in all layers."""
    shares = [share for share, _ in points]
    approximations = factored.curve(bench.original, shares, chosen(bench, settings))
    for approximation, (_, state) in zip(approximations, points, strict=True):
        for training in (NONE, RETRAINED):
            network, factors = approximation.network, approximation.factors
            if training == RETRAINED:
                network, factors = copy.deepcopy(bench.original), approximation.factors
                constraint = factored.of(factors)
                constraint.prepare(network)
                factored.load(network, factors)
                trainer = bench.trainer(settings, state=state)
                stage, epochs = f"rank {approximation.share}", passes(settings)
                trainer(network, bench.train, constraint, stage, epochs=epochs)
                factors = factored.detach(network, factors)
            point = {
                "training": training,
                "density": None,
                "bits": None,
                "energy": approximation.share,
            }
            yield {
                "method": "lowrank",
                **point,
                **_factors_filed(bench, network, factors, settings),
            }


# Curves by their names in ``laq.config.deep_plan``.
CURVES = {"pruning": pruning, "quantization": quantization, "lowrank": low_rank}


def untrained(settings: Settings) -> dict[str, Any]:
    """Settings of the same pipeline in one round, without any training."""
    return {**settings, "rounds": 1, "epochs": 0, "tuning_epochs": 0}


def passes(settings: Settings) -> int:
    """Passes over the images for which the weights of a pipeline are trained."""
    return (settings["rounds"] - 1) * settings.get("round_epochs", 0) + settings["epochs"]


def chosen(bench: Bench, settings: Settings) -> list[str]:
    """The layers that are compressed, by name."""
    met, reasons = pipeline.select(bench.original, bench.train[0], settings)
    return [name for name in met if name not in reasons]


def _everything(network: nn.Module, layer: str) -> torch.Tensor:
    return torch.ones_like(network.get_submodule(layer).weight, dtype=torch.bool)


def _factors_filed(
    bench: Bench, network: nn.Module, factors: Mapping[str, Factors], settings: Settings
) -> Row:
    """As ``Bench.filed``: a file with two float32 tensors in place of each weight."""
    state = dict(network.state_dict())
    for name, pair in factors.items():
        del state[f"{name}.weight"]
        state |= {f"{name}.left": pair.left, f"{name}.right": pair.right}
    with disks.folder(bench.place, ".deep") as folder:
        path = folder / "factors.safetensors"
        size = write(path, state, bench.describe(settings), {}, "fixed")
        tensors = file.contained(path).dense()
    for name, pair in factors.items():
        left, right = tensors.pop(f"{name}.left"), tensors.pop(f"{name}.right")
        tensors[f"{name}.weight"] = Factors(pair.shape, left, right).dense()
    restored = copy.deepcopy(bench.original)
    networks.load_state(restored, tensors)
    return {**bench.weighed(size), **bench.weighed(size, "huffman_"), **bench.score(restored)}
