"""Quantization-aware training from a trained network to packed codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from laq import training
from laq.config import qat_methods
from laq.models.networks import to_input
from laq.ptq import activation_quantizer, layer_report
from laq.ptq.calibration import spread
from laq.ptq.sequential import QuantizedNetwork
from laq.qat import grid, inputs
from laq.qat.constraint import OnGrid
from laq.qat.lsq import LearnedSteps
from laq.qat.prox import GrowingPull
from laq.qat.selection import select
from laq.training import Split
from laq.training.recipe import of_training

# Classes of the methods, by the names that ``laq.config.qat_methods`` has.
CONSTRAINTS: dict[str, type[OnGrid]] = {"lsq": LearnedSteps, "prox": GrowingPull}

# The most images on which the grids of inputs are calibrated before training.
CALIBRATING = 256


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

    ``settings``: a variant's ``qat`` entry; settings that the method does not use may be left out.
    Other arguments as of ``laq.training.train``. Accuracies on the test images are those of the
    quantized network. Returns the network with its packed weights and layer report, and the
    history.

    Raises ``ConfigError`` for layers that do not exist, and what ``laq.training.train`` raises.
    """
    selection = select(network, train_split[0], settings)
    constraint = constraint_of(settings, selection.chosen)
    quantized_inputs = tuple(constraint.inputs)
    constraint.prepare(network)
    grid.fit(network)
    if quantized_inputs:
        inputs.calibrate(network, to_input(spread(train_split[0], CALIBRATING)))
    history = training.finetune(
        network,
        train_split,
        test_split,
        of_training(settings),
        generator,
        device,
        state,
        spec,
        constraint=constraint,
    )
    network.requires_grad_()
    packed = grid.detach(network, selection.chosen)
    specs = inputs.detach(network, quantized_inputs)
    rows = {}
    for name in selection.chosen:
        layer = network.get_submodule(name)
        row = layer_report.trained(name, layer, packed[f"{name}.weight"])
        rows[name] = row.with_input(getattr(layer, activation_quantizer.NAME, None))
    runs = {name: (weight,) for name, weight in packed.items()}
    transforms = [{"kind": "input_quantizers", "layers": specs}] if specs else []
    layers = selection.report(network, rows)
    return QuantizedNetwork(network, runs, layers, transforms), history


def constraint_of(settings: Mapping[str, Any], chosen: Sequence[str]) -> OnGrid:
    """The constraint of a training by a ``qat`` entry, with the layers ``chosen`` quantized."""
    method, activations = qat_methods.METHODS[settings["method"]], settings.get("activations")
    return CONSTRAINTS[settings["method"]](
        bits=dict.fromkeys(chosen, settings["bits"]),
        inputs=dict.fromkeys(chosen, activations["bits"]) if activations else {},
        per_channel=settings["granularity"] == "per_channel",
        frozen=settings["batchnorm"] == "frozen",
        alone=settings.get("train") == "quantized",
        **{name: settings[name] for name in (*method.options, "step_rate") if name in settings},
    )
