"""Quantize a whole network in one pass, both networks side by side.

The traced graph is walked once. Every value is held twice: as the float network computes it
and as the network quantized so far does. A convolution or linear layer is quantized the
moment its two inputs arrive, and every activation is freed after its last use, so nothing
is computed twice (the published code restarts both networks from the image for each layer).
"""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor, nn

from laq.alphabets import Alphabet
from laq.errors import ConfigError, DataError, LaqError
from laq.packing import PackedWeight
from laq.patches import Sampling, layer_inputs
from laq.tracing import trace, walk_pair

logger = logging.getLogger(__name__)

QUANTIZABLE = (nn.Conv2d, nn.Linear)


class LayerSolution(Protocol):
    """What a layer solver returns; see ``laq.gpfq.QuantizedLayer``."""

    codes: Tensor
    weight: Tensor
    error: float
    silent: int


Solver = Callable[[Tensor, Tensor, Tensor, Alphabet], LayerSolution]


@dataclass(frozen=True)
class Layer:
    """One row of the layer report: what became of a weight of two dimensions or more.

    layer: the module's name; with the parameter's, where that is not ``weight``. kind: the
    module's class. weights: number of weights. bits: nominal bits, 32 where left in float.
    levels: size of the alphabet. step: its mean step over channels. samples: rows of the input
    matrix. error: ‖X Wᵀ − X̃ Qᵀ‖ / ‖X Wᵀ‖ over the samples and all groups. zeros: weights that
    became 0. silent: input columns that never fire. reason: why it was left in float, empty
    where it was quantized.
    """

    layer: str
    kind: str
    shape: str
    weights: int
    bits: int
    levels: int | None = None
    step: float | None = None
    samples: int | None = None
    error: float | None = None
    zeros: int | None = None
    silent: int | None = None
    reason: str = ""


@dataclass(frozen=True)
class QuantizedNetwork:
    """The quantized network, its packed weights by parameter name, and a row for each layer."""

    network: nn.Module
    packed: dict[str, PackedWeight]
    layers: list[Layer]


@torch.no_grad()  # not inference_mode: its tensors could never be trained again
def quantize_network(
    network: nn.Module,
    images: Tensor,
    *,
    solver: Solver,
    alphabet: Callable[[Tensor], Alphabet],
    sampling: Sampling,
    generator: torch.Generator,
    keep: Mapping[str, str] | None = None,
) -> QuantizedNetwork:
    """Quantize every convolution and linear layer of ``network``, which is left as it was.

    Biases and normalisations stay in float. Other weights of two dimensions or more do as
    well (embeddings, transposed convolutions), and the report lists them with the reason.

    Args:
        network: traceable by torch.fx; it is run in evaluation mode. Arguments of its forward
            after the images must have defaults, which are used.
        images: calibration images as the network takes them, float (n, c, h, w).
        solver: maps weight (N, d), inputs and quantized inputs (m, d), alphabet to codes.
        alphabet: makes the alphabet of a layer from its weight (N, d).
        sampling: which patches of a convolution's input become samples.
        generator: draws the patches.
        keep: layers to leave in float, name → reason.

    Raises:
        DataError: a layer's weights or inputs are not finite, its padding cannot be unfolded,
            or its weight is no plain parameter (the layer is named).
        ConfigError: ``keep`` names no layer.
        LaqError: the network cannot be traced.
    """
    network = copy.deepcopy(network).eval()
    keep = dict(keep or {})
    graph = trace(network)
    modules = dict(network.named_modules())
    quantizable = [name for name, module in modules.items() if isinstance(module, QUANTIZABLE)]
    if unknown := sorted(set(keep) - set(quantizable)):
        raise ConfigError(
            f"no convolution or linear layer is called {', '.join(unknown)}, so it cannot be kept "
            f"in float (compress.keep); there are: {', '.join(quantizable)}"
        )

    quantized = copy.deepcopy(network)
    targets = dict(quantized.named_modules())
    packed: dict[str, PackedWeight] = {}
    layers: dict[str, Layer] = {}
    owners: dict[Tensor, str] = {}

    def visit(name: str, x: Tensor, xq: Tensor) -> None:
        layer = modules[name]
        if name in layers:  # one layer used twice is quantized where it is first met
            return
        owner = owners.setdefault(layer.weight, name)
        if name in keep or owner != name:
            reason = keep.get(name, f"shares the weight of {owner}")
            layers[name] = _left_in_float(name, layer, layer.weight, reason)
            return
        solution = _quantize_layer(name, layer, x, xq, solver, alphabet, sampling, generator)
        packed[f"{name}.weight"], layers[name] = solution
        targets[name].weight.copy_(packed[f"{name}.weight"].values)
        logger.debug("%s: relative output error %.4f", name, layers[name].error)

    walk_pair(graph, (modules, targets), images, quantizable, visit)
    return QuantizedNetwork(quantized, packed, list(_report(modules, layers)))


def _report(modules: Mapping[str, nn.Module], layers: Mapping[str, Layer]) -> Iterator[Layer]:
    """The layers in the order they were met, then every other weight that stays in float."""
    yield from layers.values()
    for name, module in modules.items():
        if name in layers:
            continue
        kind = type(module).__name__
        if isinstance(module, QUANTIZABLE):
            reason = "never called in the traced graph"
        else:
            reason = f"{kind} is not quantized, only Conv2d and Linear are"
        for full_name, weight in module.named_parameters(name, recurse=False):
            if weight.ndim >= 2:
                yield _left_in_float(full_name.removesuffix(".weight"), module, weight, reason)


def _quantize_layer(
    name: str,
    layer: nn.Conv2d | nn.Linear,
    x: Tensor,
    xq: Tensor,
    solver: Solver,
    make_alphabet: Callable[[Tensor], Alphabet],
    sampling: Sampling,
    generator: torch.Generator,
) -> tuple[PackedWeight, Layer]:
    if "weight" not in layer._parameters:
        raise DataError(
            f"layer {name}: its weight is computed from other parameters (weight norm, pruning), "
            "so codes cannot replace it: make it a plain parameter first "
            "(torch.nn.utils.parametrize.remove_parametrizations, prune.remove), or leave the "
            "layer in float (compress.keep)"
        )
    groups = getattr(layer, "groups", 1)
    # Networks run where the images are; the solvers' compiled loops run on the CPU.
    matrix = layer.weight.flatten(1).cpu()  # (N, d), d inputs of one group
    try:
        alphabet = make_alphabet(matrix)
        samples = [
            (inputs.cpu(), quantized_inputs.cpu())
            for inputs, quantized_inputs in layer_inputs(layer, x, xq, sampling, generator)
        ]
        # Filters of a group see that group's channels only: each group is a layer of its own.
        parts = [
            solver(rows, *inputs, _of_group(alphabet, group, groups))
            for group, (rows, inputs) in enumerate(zip(matrix.chunk(groups), samples, strict=True))
        ]
    except LaqError as error:
        raise DataError(f"layer {name}: {error}") from error
    codes = torch.cat([part.codes for part in parts])
    return alphabet.pack(codes.reshape(layer.weight.shape)), Layer(
        layer=name,
        kind=type(layer).__name__,
        shape="x".join(map(str, layer.weight.shape)),
        weights=layer.weight.numel(),
        bits=alphabet.bits,
        levels=alphabet.levels,
        step=float(alphabet.step.double().mean()),
        samples=len(samples[0][0]),
        error=parts[0].error if groups == 1 else _joint_error(matrix.chunk(groups), samples, parts),
        zeros=int((codes == 0).sum()),
        silent=sum(part.silent for part in parts),
    )


def _of_group(alphabet: Alphabet, group: int, groups: int) -> Alphabet:
    if alphabet.step.ndim == 0:
        return alphabet
    return replace(alphabet, step=alphabet.step.chunk(groups)[group])


def _joint_error(
    weights: Sequence[Tensor],
    samples: Sequence[tuple[Tensor, Tensor]],
    parts: Sequence[LayerSolution],
) -> float:
    """Relative error of the groups' outputs together: one silent group makes no infinity."""
    difference = reference = 0.0
    for weight, (inputs, quantized_inputs), part in zip(weights, samples, parts, strict=True):
        output = inputs @ weight.T
        difference += (output - quantized_inputs @ part.weight.T).double().square().sum().item()
        reference += output.double().square().sum().item()
    if reference > 0:
        return (difference / reference) ** 0.5
    return math.inf if difference > 0 else 0.0


def _left_in_float(name: str, module: nn.Module, weight: Tensor, reason: str) -> Layer:
    return Layer(
        layer=name,
        kind=type(module).__name__,
        shape="x".join(map(str, weight.shape)),
        weights=weight.numel(),
        bits=32,
        reason=reason,
    )
