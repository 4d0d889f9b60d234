"""Two copies of a network run side by side through their traced graph (torch.fx)."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any

from torch import Tensor, fx, nn
from tqdm import tqdm

from laq.errors import LaqError

_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def trace(network: nn.Module) -> fx.Graph:
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


def walk_pair(
    graph: fx.Graph,
    modules: tuple[Mapping[str, nn.Module], Mapping[str, nn.Module]],
    images: Tensor,
    layers: Collection[str],
    visit: Callable[[str, Tensor, Tensor], None],
) -> None:
    """Evaluate ``graph`` for both networks at once, each value freed after its last use.

    Args:
        graph: traced from either network.
        modules: each network's modules by name.
        images: what both take.
        layers: names of modules before whose call ``visit`` is called with the name and the
            two inputs; what it changes in a module counts for that very call.
    """
    last_use: dict[fx.Node, fx.Node] = {}
    for node in graph.nodes:
        for used in node.all_input_nodes:
            last_use[used] = node
    values: dict[fx.Node, list[Any]] = {}

    def arguments(node: fx.Node, side: int) -> tuple[Any, Any]:
        return fx.map_arg((node.args, node.kwargs), lambda used: values[used][side])

    visited = {node for node in graph.nodes if node.op == "call_module" and node.target in layers}
    with tqdm(total=len(visited), desc="layers", mininterval=2) as progress:
        for node in graph.nodes:
            if node.op == "placeholder":
                # A copy for each side: networks may work on their input in place.
                default = node.args[0] if node.args else None
                values[node] = [default if values else images.clone() for _ in range(2)]
                continue
            if node.op == "output":
                break
            both = [arguments(node, side) for side in (0, 1)]
            if node in visited:
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
