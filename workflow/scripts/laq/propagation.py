"""Quantize a whole network in one pass, both networks side by side.

The traced graph is walked once. Every value is held twice: as the float network computes it
and as the network quantized so far does. A convolution or linear layer is quantized the
moment its two inputs arrive, and every activation is freed after its last use, so nothing
is computed twice (the published code restarts both networks from the image for each layer).
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor, fx, nn
from tqdm import tqdm

from laq.alphabets import Alphabet
from laq.errors import DataError, LaqError
from laq.packing import PackedWeight
from laq.patches import Sampling, layer_inputs

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
    """One row of the layer report: what became of a convolution or linear layer.

    weights: number of weights. bits: nominal bits, 32 where left in float. levels: size of the
    alphabet. step: its mean step over channels. samples: rows of the input matrix. error:
    relative error of the layer's output. zeros: weights that became 0. silent: input columns
    that never fire. reason: why the layer was left in float, empty where it was quantized.
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


@torch.inference_mode()
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

    Args:
        network: traceable by torch.fx, in eval mode; BatchNorm stays in float.
        images: calibration images as the network takes them, float (n, c, h, w).
        solver: maps weight (N, d), inputs and quantized inputs (m, d), alphabet to codes.
        alphabet: makes the alphabet of a layer from its weight (N, d).
        sampling: which patches of a convolution's input become samples.
        generator: draws the patches.
        keep: layers to leave in float, name → reason.

    Raises:
        DataError: a layer's weights or inputs are not finite (the layer is named).
        LaqError: the network cannot be traced, or ``keep`` names no layer.
    """
    network = copy.deepcopy(network).eval()
    keep = dict(keep or {})
    graph = _trace(network)
    modules = dict(network.named_modules())
    if unknown := sorted(set(keep) - {n for n, m in modules.items() if isinstance(m, QUANTIZABLE)}):
        raise LaqError(f"no convolution or linear layer is called {', '.join(unknown)}")

    quantized = copy.deepcopy(network)
    targets = dict(quantized.named_modules())
    packed: dict[str, PackedWeight] = {}
    layers: dict[str, Layer] = {}

    def visit(name: str, x: Tensor, xq: Tensor) -> None:
        layer = modules[name]
        if name in layers:  # one layer used twice is quantized where it is first met
            return
        if name in keep:
            layers[name] = _left_in_float(name, layer, keep[name])
            return
        solution = _quantize_layer(name, layer, x, xq, solver, alphabet, sampling, generator)
        packed[f"{name}.weight"], layers[name] = solution
        weight = packed[f"{name}.weight"]
        values = weight.alphabet.values(weight.codes.flatten(1)).reshape(layer.weight.shape)
        targets[name].weight.copy_(values)
        logger.debug("%s: relative output error %.4f", name, layers[name].error)

    _walk(graph, (modules, targets), images, visit)
    for name, module in modules.items():
        if isinstance(module, QUANTIZABLE) and name not in layers:
            layers[name] = _left_in_float(name, module, "not reached in the traced graph")
    return QuantizedNetwork(quantized, packed, [layers[n] for n in modules if n in layers])


def _trace(network: nn.Module) -> fx.Graph:
    try:
        return fx.Tracer().trace(network)
    except (fx.proxy.TraceError, TypeError) as error:
        raise LaqError(
            f"{type(network).__name__} cannot be traced by torch.fx ({error}): "
            "its forward must not branch on values"
        ) from error


def _walk(
    graph: fx.Graph,
    modules: tuple[Mapping[str, nn.Module], Mapping[str, nn.Module]],
    images: Tensor,
    visit: Callable[[str, Tensor, Tensor], None],
) -> None:
    """Evaluate ``graph`` for both networks at once, calling ``visit`` before each layer."""
    last_use: dict[fx.Node, fx.Node] = {}
    for node in graph.nodes:
        for used in node.all_input_nodes:
            last_use[used] = node
    values: dict[fx.Node, list[Any]] = {}

    def arguments(node: fx.Node, side: int) -> tuple[Any, Any]:
        return fx.map_arg((node.args, node.kwargs), lambda used: values[used][side])

    count = sum(_is_layer(node, modules[0]) for node in graph.nodes)
    with tqdm(total=count, desc="layers", mininterval=2) as progress:
        for node in graph.nodes:
            if node.op == "placeholder":
                values[node] = [images, images]
                continue
            if node.op == "output":
                break
            both = [arguments(node, side) for side in (0, 1)]
            if _is_layer(node, modules[0]):
                visit(node.target, both[0][0][0], both[1][0][0])
                progress.update()
            values[node] = [
                _evaluate(node, side_modules, args, kwargs)
                for side_modules, (args, kwargs) in zip(modules, both, strict=True)
            ]
            del both
            for used in node.all_input_nodes:
                if last_use[used] is node:
                    values.pop(used, None)


def _is_layer(node: fx.Node, modules: Mapping[str, nn.Module]) -> bool:
    return node.op == "call_module" and isinstance(modules[node.target], QUANTIZABLE)


def _evaluate(node: fx.Node, modules: Mapping[str, nn.Module], args: Any, kwargs: Any) -> Any:
    if node.op == "call_module":
        return modules[node.target](*args, **kwargs)
    if node.op == "call_function":
        return node.target(*args, **kwargs)
    if node.op == "call_method":
        return getattr(args[0], node.target)(*args[1:], **kwargs)
    # get_attr: a parameter or buffer used directly
    owner, _, attribute = node.target.rpartition(".")
    return getattr(modules[owner], attribute)


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
    groups = getattr(layer, "groups", 1)
    # Networks run where the images are; the solvers' compiled loops run on the CPU.
    matrix = layer.weight.flatten(1).cpu()  # (N, d), d inputs of one group
    try:
        alphabet = make_alphabet(matrix)
        samples = layer_inputs(layer, x, xq, sampling, generator)
        # Filters of a group see that group's channels only: each group is a layer of its own.
        parts = [
            solver(rows, inputs.cpu(), quantized_inputs.cpu(), _of_group(alphabet, group, groups))
            for group, (rows, (inputs, quantized_inputs)) in enumerate(
                zip(matrix.chunk(groups), samples, strict=True)
            )
        ]
    except LaqError as error:
        raise DataError(f"layer {name}: {error}") from error
    codes = torch.cat([part.codes for part in parts])
    return PackedWeight(codes.reshape(layer.weight.shape), alphabet), Layer(
        layer=name,
        kind=type(layer).__name__,
        shape="x".join(map(str, layer.weight.shape)),
        weights=layer.weight.numel(),
        bits=alphabet.bits,
        levels=alphabet.levels,
        step=float(alphabet.step.double().mean()),
        samples=len(samples[0][0]),
        error=_root_mean_square([part.error for part in parts]),
        zeros=int((codes == 0).sum()),
        silent=sum(part.silent for part in parts),
    )


def _of_group(alphabet: Alphabet, group: int, groups: int) -> Alphabet:
    if alphabet.step.ndim == 0:
        return alphabet
    return replace(alphabet, step=alphabet.step.chunk(groups)[group])


def _root_mean_square(errors: list[float]) -> float:
    return (sum(error**2 for error in errors) / len(errors)) ** 0.5


def _left_in_float(name: str, layer: nn.Module, reason: str) -> Layer:
    return Layer(
        layer=name,
        kind=type(layer).__name__,
        shape="x".join(map(str, layer.weight.shape)),
        weights=layer.weight.numel(),
        bits=32,
        reason=reason,
    )
