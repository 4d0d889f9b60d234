"""Accuracy against ratio: what pruning, sharing, both and low rank come to at several points.

After Han et al. 2016, figure 6. All four are trained for as many passes over the images as the
config's course, so that none gains by training more than another; sharing comes on top of that.
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
# Columns that say which row it is.
POINT = ("method", "training", "density", "bits", "energy")

# What a point is, and the file that its training goes on from after a kill.
Points = Sequence[tuple[float, Path]]


def pruning(bench: Bench, settings: Settings, points: Points) -> Iterator[Row]:
    """Rows of ``pruning`` and of ``both`` at each share of the weights kept."""
    for share, state in points:
        own = {**settings, "density": share}
        for training, asked in ((NONE, untrained(own)), (RETRAINED, own)):
            made = bench.compress(asked, state if training == RETRAINED else None)
            point = {"training": training, "density": share, "bits": None, "energy": None}
            course, told = made.course, made.description
            yield {"method": "pruning", **point, **bench.filed(course.pruned, told, course.weights)}
            yield {"method": "both", **point, **bench.filed(made.state, told, course.shared)}


def quantization(bench: Bench, settings: Settings, points: Points) -> Iterator[Row]:
    """Rows of ``quantization`` at each number of bits: the config's course with nothing pruned."""
    settings = {**settings, "pruning": "ratios", "ratios": {}}
    layers = chosen(bench, settings)
    for training in (NONE, RETRAINED):
        network, own = copy.deepcopy(bench.original), settings
        if training == NONE:
            own = untrained(settings)
            masks = {name: _everything(network, name) for name in layers}
        else:
            trainer = bench.trainer(own, state=points[0][1])
            masks, _ = pipeline.prune(network, bench.train, layers, own, trainer)
        for bits, state in points:
            asked = {**own, "bits_conv": bits, "bits_linear": bits}
            made = copy.deepcopy(network)
            trainer = bench.trainer(asked, state=state)
            found = pipeline.share(made, bench.train, masks, asked, trainer)
            point = {"training": training, "density": None, "bits": bits, "energy": None}
            filed = bench.filed(made.state_dict(), bench.describe(asked), found.shared)
            yield {"method": "quantization", **point, **filed}


def low_rank(bench: Bench, settings: Settings, points: Points) -> Iterator[Row]:
    """Rows of ``lowrank`` at each share of energy, kept in all layers alike."""
    shares = [share for share, _ in points]
    cuts = factored.curve(bench.original, shares, chosen(bench, settings))
    for cut, (_, state) in zip(cuts, points, strict=True):
        for training in (NONE, RETRAINED):
            network, factors = cut.network, cut.factors
            if training == RETRAINED:
                network, factors = copy.deepcopy(bench.original), cut.factors
                constraint = factored.of(factors)
                constraint.prepare(network)
                factored.load(network, factors)
                trainer = bench.trainer(settings, state=state)
                stage, epochs = f"rank {cut.share}", passes(settings)
                trainer(network, bench.train, constraint, stage, epochs=epochs)
                factors = factored.detach(network, factors)
            point = {"training": training, "density": None, "bits": None, "energy": cut.share}
            yield {
                "method": "lowrank",
                **point,
                **_factors_filed(bench, network, factors, settings),
            }


# Curves by their names in ``laq.config.deep_plan``.
CURVES = {"pruning": pruning, "quantization": quantization, "lowrank": low_rank}


def untrained(settings: Settings) -> dict[str, Any]:
    """The same course in one step, without any training."""
    return {**settings, "rounds": 1, "epochs": 0, "tuning_epochs": 0}


def passes(settings: Settings) -> int:
    """Over the images, that a course's weights are trained for."""
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
    for name, own in factors.items():
        del state[f"{name}.weight"]
        state |= {f"{name}.left": own.left, f"{name}.right": own.right}
    with disks.folder(bench.place, ".deep") as folder:
        path = folder / "factors.safetensors"
        size = write(path, state, bench.describe(settings), {}, "fixed")
        read = file.contained(path).dense()
    for name, own in factors.items():
        left, right = read.pop(f"{name}.left"), read.pop(f"{name}.right")
        read[f"{name}.weight"] = Factors(own.shape, left, right).dense()
    made = copy.deepcopy(bench.original)
    networks.load_state(made, read)
    return {**bench.weighed(size), **bench.weighed(size, "huffman_"), **bench.score(made)}
