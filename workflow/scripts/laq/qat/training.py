"""Quantization-aware training from a trained network to packed codes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import nn

from laq import training
from laq.entropy import entropy
from laq.packing import PackedWeight
from laq.propagation import QuantizedNetwork
from laq.qat import grid, methods
from laq.qat.selection import select
from laq.report import Layer
from laq.training import Recipe, Split


def quantize(
    network: nn.Module,
    train_split: Split,
    test_split: Split,
    settings: Mapping[str, Any],
    generator: torch.Generator,
    device: torch.device,
    state: Path | None = None,
    spec: Mapping[str, Any] | None = None,
) -> tuple[QuantizedNetwork, list[dict[str, Any]]]:
    """Train ``network`` on, in place, until its weights lie on grids; it then holds their values.

    ``settings``: a variant's ``qat`` entry. All else as of ``laq.training.train``; accuracies on
    the test images are those of the quantized network. Returns the network with its packed weights
    and layer report, and the history.

    Raises ``ConfigError`` for layers that there are not, and what ``laq.training.train`` raises.
    """
    selection = select(network, train_split[0], settings)
    method = methods.METHODS[settings["method"]]
    constraint = methods.constraint(settings["method"])(
        bits=dict.fromkeys(selection.chosen, settings["bits"]),
        per_channel=settings["per_channel"],
        frozen=settings["batchnorm"] == "frozen",
        **{name: settings[name] for name in method.options},
    )
    constraint.prepare(network)
    grid.fit(network)
    recipe = {key: settings[key] for key in names_of_recipe() & settings.keys()}
    history = training.finetune(
        network,
        train_split,
        test_split,
        recipe,
        generator,
        device,
        state,
        spec,
        constraint=constraint,
    )
    packed = grid.detach(network, selection.chosen)
    rows = {
        name: _row(name, network.get_submodule(name), packed[f"{name}.weight"])
        for name in selection.chosen
    }
    runs = {name: (weight,) for name, weight in packed.items()}
    return QuantizedNetwork(network, runs, selection.report(network, rows)), history


def names_of_recipe() -> set[str]:
    """The settings that are those of every training."""
    return {field.name for field in fields(Recipe)}


def _row(name: str, module: nn.Module, weight: PackedWeight) -> Layer:
    """The row of the layer report, without what only calibration has."""
    return Layer(
        layer=name,
        kind=type(module).__name__,
        shape="x".join(map(str, weight.codes.shape)),
        weights=weight.codes.numel(),
        bits=weight.bits,
        levels=2 * weight.largest + 1,
        step=float(weight.step.double().mean()),
        zeros=int((weight.codes == 0).sum()),
        entropy=entropy(weight.codes),
        bytes=weight.nbytes,
    )
