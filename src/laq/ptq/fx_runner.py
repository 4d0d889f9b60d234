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
    others = _others(network)
    if required := [p.name for p in others if p.default is p.empty and p.kind not in _VARIADIC]:
        raise LaqError(
            f"{type(network).__name__} takes {', '.join(required)} beside the images: "
            "wrap it in a module that takes images alone"
        )


class _Tracer(fx.Tracer):
    """Looks into every module that holds layers, and into no layer or quantizer of inputs."""

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        if isinstance(module, (*QUANTIZABLE, InputQuantizer)):
            return True
        # Attention hands its weights to a function; it calls no layer that could be met.
        inner = [] if isinstance(module, nn.MultiheadAttention) else list(module.modules())[1:]
        return super().is_leaf_module(module, name) and not any(
            isinstance(part, QUANTIZABLE) for part in inner
        )

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        """Without hooks, which may keep what they are given: ``check_runs`` sees if they matter."""
        return super().call_module(m, m.forward, args, kwargs)


def _others(network: nn.Module) -> list[inspect.Parameter]:
    """What ``network`` takes after its first argument."""
    return list(inspect.signature(network.forward).parameters.values())[1:]


def trace(network: nn.Module) -> fx.Graph:
    """The graph of ``network`` with its first argument free and all others at their defaults.

    Tensors that its code makes on the way are in the ``meta`` of their nodes.

    Raises ``UntraceableError`` where there is none.
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

    run: what it did. Hooks are not traced, nor is a ``forward`` that was replaced on the network
    itself.
    """
    name, seen = type(network).__name__, (*QUANTIZABLE, InputQuantizer)
    layers = [layer for layer, module in network.named_modules() if isinstance(module, seen)]
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
    last = {used: node for node in graph.nodes for used in node.all_input_nodes}
    for node in graph.nodes:
        if node.op == "output":
            return inputs, fx.map_arg(node.args[0], lambda used: _value(used, values, modules))
        if node.op == "get_attr":
            continue
        if node.op == "call_module" and node.target in layers and node.target not in inputs:
            value = values[_input(node).name]
            inputs[node.target] = value.clone() if isinstance(value, Tensor) else value
        values[node.name] = _evaluate(node, values, modules, images.clone)
        for used in {node, *node.all_input_nodes}:
            if last.get(used, used) is node:
                values.pop(used.name, None)
    raise ValueError("a graph without an output")


def _input(node: fx.Node) -> fx.Node:
    """What a layer is called on."""
    return node.args[0] if node.args else node.kwargs["input"]


def call_order(graph: fx.Graph, layers: Collection[str]) -> list[str]:
    """Those of ``layers`` that ``graph`` calls, in the order of their first calls."""
    calls = (node.target for node in graph.nodes if node.op == "call_module")
    return list(dict.fromkeys(name for name in calls if name in layers))


def quantizers_before(graph: fx.Graph, modules: Mapping[str, nn.Module]) -> dict[str, str]:
    """Layers whose input comes from a quantizer of its own in ``graph``, with its name.

    Between the two may be what works on one value alone, such as a reshape.
    """
    found = {}
    for layer in graph.nodes:
        if layer.op != "call_module" or not isinstance(modules[layer.target], QUANTIZABLE):
            continue
        node = _input(layer)
        while node.op != "call_module" or not isinstance(modules[node.target], InputQuantizer):
            if len(node.all_input_nodes) != 1:
                break
            (node,) = node.all_input_nodes
        else:
            found.setdefault(layer.target, node.target)
    return found


def walk(
    graph: fx.Graph,
    networks: tuple[nn.Module, nn.Module],
    images: CalibrationImages,
    layers: Collection[str],
    diverged: Callable[[], bool],
    activations: Activations,
) -> Iterator[tuple[str, LayerInputs]]:
    """Evaluate ``graph`` for both networks at once; stop before the first call of each layer.

    From one layer to the next each chunk of images goes by itself, so that only what is used
    after that layer waits in ``activations``, and each value goes after its last use. While the
    networks are the same only the first is run.

    Args:
        graph: traced from either network.
        networks: what is changed in them while the walk stops counts from there on.
        images: what both take.
        layers: names of modules to stop at.
        diverged: whether the networks differ by now.
        activations: keeps the values between layers.

    Yields the layer's name and its inputs, which are good until the walk goes on.

    Raises ``DataError``, which names the layer, for inputs that are not finite.
    """
    modules = [dict(network.named_modules()) for network in networks]
    frames: list[list[Frame]] = [[Frame()] for _ in range(len(images))]
    for segment in _segments(graph, layers):
        for chunk, sides in enumerate(frames):
            for side, frame in enumerate(sides):
                run = partial(
                    segment.run,
                    modules=modules[side],
                    side=side,
                    image=partial(images.chunk, chunk),
                )
                sides[side] = activations.update(frame, run)
        yield segment.layer, LayerInputs(activations, frames, segment.source, images)
        if len(frames[0]) == 1 and diverged():
            for sides in frames:
                sides.append(activations.copy(sides[0]))


def check_finite(value: Tensor, layer: str, side: int) -> None:
    """Raise ``DataError`` unless all of a layer's input is finite; side 1 is the quantized."""
    # The sum is one fast pass. It is finite only if everything is; large numbers may overflow it.
    if not value.sum().isfinite() and not value.isfinite().all():
        which = ("float", "quantized")[side]
        raise DataError(
            f"layer {layer}: the {which} network's input here is not finite (NaN or infinite)"
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
    for place, node in enumerate(nodes):
        if node.op == "call_module" and node.target in layers:
            first_calls.setdefault(node.target, place)
    stops = list(first_calls.values())

    freed: dict[fx.Node, list[str]] = {node: [] for node in nodes}
    seen: set[fx.Node] = set()
    for node in reversed(nodes[: stops[-1] + 1] if stops else []):
        for used in (node, *node.all_input_nodes):
            if used not in seen and used.op != "get_attr":
                seen.add(used)
                freed[node].append(used.name)

    for start, stop in zip([0, *stops], stops, strict=False):
        node = nodes[stop]
        yield _Segment(nodes[start:stop], freed, node.target, _input(node).name)


def attribute(node: fx.Node, modules: Mapping[str, nn.Module]) -> Any:
    """What a ``get_attr`` node stands for: a tensor of a module, or one that its code made."""
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

    args, kwargs = fx.map_arg((node.args, node.kwargs), lambda used: _value(used, values, modules))
    if node.op == "call_module":
        return modules[node.target](*args, **kwargs)
    if node.op == "call_function":
        return node.target(*args, **kwargs)
    return getattr(args[0], node.target)(*args[1:], **kwargs)  # call_method
