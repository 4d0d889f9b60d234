"""Quantize a whole network in one pass, both networks side by side.

The traced graph is walked once. Every value is held twice: as the float network computes it
and as the network quantized so far does. A convolution or linear layer is quantized the
moment its two inputs arrive, and every activation is freed after its last use, so nothing
is computed twice (the published code restarts both networks from the image for each layer).
"""

from __future__ import annotations

import copy
import inspect
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor, fx, nn
from tqdm import tqdm

from laq.alphabets import Alphabet
from laq.errors import ConfigError, DataError, LaqError
from laq.packing import PackedWeight
from laq.patches import Sampling, layer_inputs

logger = logging.getLogger(__name__)

QUANTIZABLE = (nn.Conv2d, nn.Linear)
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


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
    graph = _trace(network)
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

    _walk(graph, (modules, targets), images, visit)
    return QuantizedNetwork(quantized, packed, list(_report(modules, layers)))


def _trace(network: nn.Module) -> fx.Graph:
    """The graph of ``network`` with its first argument free and all others at their defaults."""
    _, *others = inspect.signature(network.forward).parameters.values()
    if required := [p.name for p in others if p.default is p.empty and p.kind not in _VARIADIC]:
        raise LaqError(
            f"{type(network).__name__} takes {', '.join(required)} beside the images: "
            "wrap it in a module that takes images alone"
        )
    try:
        return fx.Tracer().trace(
            network, {p.name: p.default for p in others if p.kind not in _VARIADIC}
        )
    except Exception as error:  # whatever the network's own code makes of symbolic values
        raise LaqError(
            f"{type(network).__name__} cannot be traced by torch.fx ({error}): "
            "its forward must not branch on values or shapes"
        ) from error


def _report(modules: Mapping[str, nn.Module], layers: Mapping[str, Layer]) -> Iterator[Layer]:
    """The layers that were met, and a row for every other weight that stays in float."""
    for name, module in modules.items():
        if name in layers:
            yield layers[name]
            continue
        kind = type(module).__name__
        if isinstance(module, QUANTIZABLE):
            reason = "never called in the traced graph"
        else:
            reason = f"{kind} is not quantized, only Conv2d and Linear are"
        for full_name, weight in module.named_parameters(name, recurse=False):
            if weight.ndim >= 2:
                yield _left_in_float(full_name.removesuffix(".weight"), module, weight, reason)


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
                # A copy for each side: networks may work on their input in place.
                default = node.args[0] if node.args else None
                values[node] = [default if values else images.clone() for _ in range(2)]
                continue
            if node.op == "output":
                break
            both = [arguments(node, side) for side in (0, 1)]
            if _is_layer(node, modules[0]):
                visit(node.target, *(args[0] if args else kwargs["input"] for args, kwargs in both))
                progress.update()
            values[node] = [
                _evaluate(node, side_modules, args, kwargs)
                for side_modules, (args, kwargs) in zip(modules, both, strict=True)
            ]
            del both
            for done in (node, *node.all_input_nodes):
                if last_use.get(done, node) is node:
                    values.pop(done, None)


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
