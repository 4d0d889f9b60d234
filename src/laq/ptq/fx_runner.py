"""Two copies of a network run side by side through their traced graph (torch.fx)."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, fx, nn

from laq.ptq.activation_cache import Activations, Frame, LayerInputs
from laq.ptq.activation_quantizer import InputQuantizer
from laq.ptq.calibration import CalibrationImages
from laq.ptq.fidelity import alike
from laq.ptq.module_state import unchanged
from laq.utils.errors import DataError, LaqError
from laq.utils.runs import Run

# What is quantized.
QUANTIZABLE = (nn.Conv2d, nn.Linear)

_CONSTANT = "constant"
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class UntraceableError(LaqError):
    """A network whose code torch.fx cannot follow."""


def check_signature(network: nn.Module) -> None:
    """Raise ``LaqError`` where ``network`` needs more than the images."""
    parameters = _others(network)
    if required := [p.name for p in parameters if p.default is p.empty and p.kind not in _VARIADIC]:
        raise LaqError(
            f"{type(network).__name__} takes {', '.join(required)} beside the images: "
            "wrap it in a module that takes images alone"
        )


class _Tracer(fx.Tracer):
    """Traces into every module that holds layers, but into no layer or quantizer of inputs."""

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        if isinstance(module, (*QUANTIZABLE, InputQuantizer)):
            return True
        # Attention passes its weights to a function, and calls none of its layers as a module.
        inner = [] if isinstance(module, nn.MultiheadAttention) else list(module.modules())[1:]
        return super().is_leaf_module(module, name) and not any(
            isinstance(child, QUANTIZABLE) for child in inner
        )

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        """Without hooks, which may keep their arguments. ``check_runs`` shows if they matter."""
        return super().call_module(m, m.forward, args, kwargs)


def _others(network: nn.Module) -> list[inspect.Parameter]:
    """The parameters of the forward of ``network`` after the first."""
    return list(inspect.signature(network.forward).parameters.values())[1:]


def trace(network: nn.Module) -> fx.Graph:
    """The graph of ``network`` with its first argument free and all others at their defaults.

    Tensors that its code creates are in the ``meta`` of their nodes.

    Raises ``UntraceableError`` where there is no graph.
    """
    defaults = {p.name: p.default for p in _others(network) if p.kind not in _VARIADIC}
    root = copy.copy(network)  # the tracer hangs such tensors on what it traces
    try:
        with unchanged(network):
            graph = _Tracer().trace(root, defaults)
        for node in graph.nodes:
            if node.op == "get_attr" and node.target in vars(root).keys() - vars(network).keys():
                node.meta[_CONSTANT] = vars(root)[node.target]
    except Exception as error:  # whatever the network's own code makes of symbolic values
        raise UntraceableError(
            f"{type(network).__name__} cannot be traced by torch.fx ({error}): "
            "its forward must not branch on values or shapes"
        ) from error
    for node in graph.nodes:
        if (
            node.op == "call_module"
            and isinstance(network.get_submodule(node.target), QUANTIZABLE)
            and _input(node).op == "get_attr"
        ):
            raise UntraceableError(
                f"layer {node.target} of {type(network).__name__} works on a parameter or a "
                "buffer, not on an activation"
            )
    return graph


def check_runs(graph: fx.Graph, network: nn.Module, images: Tensor, run: Run) -> None:
    """Raise ``UntraceableError`` unless ``graph`` does on ``images`` what ``network`` did.

    run: of ``network`` on ``images``. Hooks are not traced, nor is a ``forward`` that was replaced
    on the network itself.
    """
    name, kinds = type(network).__name__, (*QUANTIZABLE, InputQuantizer)
    layers = [layer for layer, module in network.named_modules() if isinstance(module, kinds)]
    if list(run.inputs) != call_order(graph, layers):
        raise UntraceableError(f"{name} runs other layers than torch.fx traces")
    inputs, output = _evaluated(graph, network, images, run.inputs)
    for layer, value in run.inputs.items():
        if not alike(inputs[layer], value):
            raise UntraceableError(
                f"{name} gives layer {layer} another input than torch.fx traces, because of a "
                "hook, a forward that was replaced, or random numbers"
            )
    if not alike(output, run.output):
        raise UntraceableError(
            f"{name} gives another result than torch.fx traces, because of a hook, a forward that "
            "was replaced, or random numbers"
        )


def _evaluated(
    graph: fx.Graph, network: nn.Module, images: Tensor, layers: Collection[str]
) -> tuple[dict[str, Tensor], Any]:
    """The inputs of ``layers`` at their first calls and the output, in a run of ``graph``."""
    modules = dict(network.named_modules())
    values: dict[str, Any] = {}
    inputs: dict[str, Tensor] = {}
    last = {source: node for node in graph.nodes for source in node.all_input_nodes}
    for node in graph.nodes:
        if node.op == "output":
            return inputs, fx.map_arg(node.args[0], lambda source: _value(source, values, modules))
        if node.op == "get_attr":
            continue
        if node.op == "call_module" and node.target in layers and node.target not in inputs:
            value = values[_input(node).name]
            inputs[node.target] = value.clone() if isinstance(value, Tensor) else value
        values[node.name] = _evaluate(node, values, modules, images.clone)
        for source in {node, *node.all_input_nodes}:
            if last.get(source, source) is node:
                values.pop(source.name, None)
    raise ValueError("a graph without an output")


def _input(node: fx.Node) -> fx.Node:
    """The node of a layer's input."""
    return node.args[0] if node.args else node.kwargs["input"]


def call_order(graph: fx.Graph, layers: Collection[str]) -> list[str]:
    """The ``layers`` that ``graph`` calls, in the order of their first calls."""
    calls = (node.target for node in graph.nodes if node.op == "call_module")
    return list(dict.fromkeys(name for name in calls if name in layers))


def quantizers_before(graph: fx.Graph, modules: Mapping[str, nn.Module]) -> dict[str, str]:
    """Layers whose input comes from a quantizer module in ``graph``, with the quantizer's name.

    Operations on a single value, such as a reshape, may be between the two.
    """
    quantizers = {}
    for layer in graph.nodes:
        if layer.op != "call_module" or not isinstance(modules[layer.target], QUANTIZABLE):
            continue
        node = _input(layer)
        while node.op != "call_module" or not isinstance(modules[node.target], InputQuantizer):
            if len(node.all_input_nodes) != 1:
                break
            (node,) = node.all_input_nodes
        else:
            quantizers.setdefault(layer.target, node.target)
    return quantizers


def walk(
    graph: fx.Graph,
    networks: tuple[nn.Module, nn.Module],
    images: CalibrationImages,
    layers: Collection[str],
    diverged: Callable[[], bool],
    activations: Activations,
) -> Iterator[tuple[str, LayerInputs]]:
    """Evaluate ``graph`` for both networks at once; stop before the first call of each layer.

    Each chunk of images goes from one layer to the next by itself. So only values that are used
    after that layer wait in ``activations``, and each value is freed after its last use. While the
    networks are the same only the first is run.

    Args:
        graph: traced from either network.
        networks: changes to them while the walk stops take effect from there on.
        images: inputs of both.
        layers: names of modules to stop at.
        diverged: whether the networks differ by now.
        activations: keeps the values between layers.

    Yields the layer's name and its inputs, which are valid until the walk goes on.

    Raises ``DataError``, which names the layer, for inputs that are not finite.
    """
    modules = [dict(network.named_modules()) for network in networks]
    frames: list[list[Frame]] = [[Frame()] for _ in range(len(images))]
    for segment in _segments(graph, layers):
        for chunk, chunk_frames in enumerate(frames):
            for side, frame in enumerate(chunk_frames):
                run = partial(
                    segment.run,
                    modules=modules[side],
                    side=side,
                    image=partial(images.chunk, chunk),
                )
                chunk_frames[side] = activations.update(frame, run)
        yield segment.layer, LayerInputs(activations, frames, segment.source, images)
        if len(frames[0]) == 1 and diverged():
            for chunk_frames in frames:
                chunk_frames.append(activations.copy(chunk_frames[0]))


def check_finite(value: Tensor, layer: str, side: int) -> None:
    """Raise ``DataError`` unless all of a layer's input is finite; side 1 is quantized."""
    # The sum is one fast pass. It is finite only if everything is; large numbers may overflow it.
    if not value.sum().isfinite() and not value.isfinite().all():
        network = ("float", "quantized")[side]
        raise DataError(
            f"layer {layer}: the {network} network's input here is not finite (NaN or infinite)"
        )


@dataclass(frozen=True)
class _Segment:
    """The part of a graph from one layer on up to the next.

    freed: names of the values that each node uses last. layer, source: the module to stop at
    and the name of its input.
    """

    nodes: list[fx.Node]
    freed: Mapping[fx.Node, list[str]]
    layer: str
    source: str

    def run(
        self,
        values: dict[str, Any],
        modules: Mapping[str, nn.Module],
        side: int,
        image: Callable[[], Tensor],
    ) -> None:
        """Evaluate the nodes on ``values``, by node name."""
        for node in self.nodes:
            values[node.name] = _evaluate(node, values, modules, image)
            for name in self.freed[node]:
                del values[name]
        check_finite(values[self.source], self.layer, side)


def _segments(graph: fx.Graph, layers: Collection[str]) -> Iterator[_Segment]:
    # Attributes of modules are looked up where they are used: they are no activations.
    nodes = [node for node in graph.nodes if node.op != "get_attr"]
    first_calls: dict[str, int] = {}
    for index, node in enumerate(nodes):
        if node.op == "call_module" and node.target in layers:
            first_calls.setdefault(node.target, index)
    stops = list(first_calls.values())

    freed: dict[fx.Node, list[str]] = {node: [] for node in nodes}
    visited: set[fx.Node] = set()
    for node in reversed(nodes[: stops[-1] + 1] if stops else []):
        for source in (node, *node.all_input_nodes):
            if source not in visited and source.op != "get_attr":
                visited.add(source)
                freed[node].append(source.name)

    for start, stop in zip([0, *stops], stops, strict=False):
        node = nodes[stop]
        yield _Segment(nodes[start:stop], freed, node.target, _input(node).name)


def attribute(node: fx.Node, modules: Mapping[str, nn.Module]) -> Any:
    """The value of a ``get_attr`` node: a tensor of a module, or one that its code created."""
    if _CONSTANT in node.meta:
        return node.meta[_CONSTANT]
    owner, _, name = node.target.rpartition(".")
    return getattr(modules[owner], name)


def _value(used: fx.Node, values: Mapping[str, Any], modules: Mapping[str, nn.Module]) -> Any:
    return values[used.name] if used.op != "get_attr" else attribute(used, modules)


def _evaluate(
    node: fx.Node,
    values: Mapping[str, Any],
    modules: Mapping[str, nn.Module],
    image: Callable[[], Tensor],
) -> Any:
    if node.op == "placeholder":
        if node.prev.op == "root":  # the first argument
            return image()
        return node.args[0] if node.args else None  # another's default

    args, kwargs = fx.map_arg(
        (node.args, node.kwargs), lambda source: _value(source, values, modules)
    )
    if node.op == "call_module":
        return modules[node.target](*args, **kwargs)
    if node.op == "call_function":
        return node.target(*args, **kwargs)
    return getattr(args[0], node.target)(*args[1:], **kwargs)  # call_method
