"""What the operations of a network mean for values on integer grids.

A *layer* (convolution, linear), a *sum* of two values and a *mean* over pixels make values of a
new scale, which need a grid of their own. A *clip* (ReLU, ReLU6) behind one of these is part of it.
*Moves* (reshaping) and *maxima* leave codes on their grid. Before the first layer everything is
preparation, which stays in float.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from typing import Literal, NoReturn

import torch
from torch import fx, nn

from laq.ptq import fidelity
from laq.ptq.activation_quantizer import InputQuantizer
from laq.ptq.fidelity import alterations
from laq.utils.errors import ConfigError

Kind = Literal["layer", "sum", "mean", "clip", "maximum", "move", "quantizer"]

_ADDITIONS = (operator.add, operator.iadd, torch.add)
_RELUS = (torch.relu, torch.relu_, nn.functional.relu, nn.functional.relu_)
_MODULES: dict[type[nn.Module], Kind] = {
    nn.Conv2d: "layer",
    nn.Linear: "layer",
    nn.ReLU: "clip",
    nn.ReLU6: "clip",
    nn.Hardtanh: "clip",
    nn.AdaptiveAvgPool2d: "mean",
    nn.MaxPool2d: "maximum",
    nn.Identity: "move",
    nn.Dropout: "move",
    nn.Dropout2d: "move",
    nn.Flatten: "move",
    InputQuantizer: "quantizer",
}
_FUNCTIONS: dict[object, Kind] = {
    **dict.fromkeys(_ADDITIONS, "sum"),
    **dict.fromkeys(_RELUS, "clip"),
    nn.functional.relu6: "clip",
    nn.functional.adaptive_avg_pool2d: "mean",
    torch.mean: "mean",
    torch.flatten: "move",
    torch.reshape: "move",
    nn.functional.dropout: "move",
}
_METHODS: dict[str, Kind] = {
    **dict.fromkeys(("add", "add_"), "sum"),
    **dict.fromkeys(("relu", "relu_"), "clip"),
    "mean": "mean",
    **dict.fromkeys(("flatten", "reshape", "view", "contiguous", "size"), "move"),
}


def kind(node: fx.Node, modules: Mapping[str, nn.Module]) -> Kind:
    """What ``node`` of a network in evaluation mode does to values on grids.

    Raises ``ConfigError`` that names the operation for one that is not known in integers.
    """
    node_kind: Kind | None = None
    if node.op == "call_module":
        module = modules[node.target]
        node_kind = _MODULES.get(type(module))
        if changes := alterations(module):
            refuse(node, modules, f"{changes[0]}, which integers would not run")
        if isinstance(module, (nn.Conv2d, nn.Linear)) and fidelity.is_known(module):
            node_kind = "layer"
    elif node.op == "call_function":
        node_kind = _FUNCTIONS.get(node.target)
    elif node.op == "call_method":
        node_kind = _METHODS.get(node.target)
    if node_kind is None or (node_kind == "sum" and not _plain_sum(node)):
        refuse(node, modules, "it is not known in integers")
    if node_kind == "mean" and not _over_all_pixels(node, modules):
        refuse(node, modules, "only the mean over all pixels is known in integers")
    if node_kind == "maximum" and (
        modules[node.target].ceil_mode or modules[node.target].return_indices
    ):
        refuse(node, modules, "only plain maxima are known in integers")
    return node_kind


def operands(node: fx.Node) -> list[fx.Node]:
    """The values that ``node`` works on."""
    return [source for source in node.all_input_nodes if source.op != "get_attr"]


def bounds(node: fx.Node, modules: Mapping[str, nn.Module]) -> tuple[float, float]:
    """Between which numbers a clip keeps its values."""
    module = modules[node.target] if node.op == "call_module" else None
    if isinstance(module, nn.Hardtanh):  # ReLU6 is one
        return module.min_val, module.max_val
    return 0.0, 6.0 if node.target is nn.functional.relu6 else math.inf


def tail(node: fx.Node, modules: Mapping[str, nn.Module]) -> list[fx.Node]:
    """What follows ``node`` and alone uses its values, up to where they can be put on a grid.

    Clips, and what lies between them; nothing that comes behind the last clip.
    """
    chain, last = [node], 0
    while len(chain[-1].users) == 1:
        (user,) = chain[-1].users
        if user.op == "output" or kind(user, modules) not in ("clip", "move"):
            break
        chain.append(user)
        if kind(user, modules) == "clip":
            last = len(chain) - 1
    return chain[1 : last + 1]


def describe(node: fx.Node, modules: Mapping[str, nn.Module]) -> str:
    """A node as a message names it."""
    if node.op == "call_module":
        return f"{node.target} ({type(modules[node.target]).__name__})"
    return f"{node.name} ({getattr(node.target, '__name__', node.target)})"


def refuse(node: fx.Node, modules: Mapping[str, nn.Module], why: str) -> NoReturn:
    """Raise the ``ConfigError`` of a network that cannot run in integers because of ``node``."""
    raise ConfigError(
        f"the network cannot run in integers because of its operation {describe(node, modules)}: "
        f"{why}; set inference: simulated"
    )


def _plain_sum(node: fx.Node) -> bool:
    """Two values, neither of them a number, and no factor."""
    return (
        len(node.args) == 2
        and not node.kwargs
        and len(operands(node)) in (1, 2)
        and all(isinstance(value, fx.Node) and value.op != "get_attr" for value in node.args)
    )


def _over_all_pixels(node: fx.Node, modules: Mapping[str, nn.Module]) -> bool:
    if node.op == "call_module":
        size = modules[node.target].output_size
    elif node.target is nn.functional.adaptive_avg_pool2d:
        size = node.args[1] if len(node.args) > 1 else node.kwargs.get("output_size")
    else:
        dims = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
        return isinstance(dims, tuple | list) and sorted(dims) in ([2, 3], [-2, -1])
    return size in (1, (1, 1), [1, 1])


def keeps_pixels(node: fx.Node) -> bool:
    """Whether a mean over all pixels gives (n, c, 1, 1), and not (n, c)."""
    if node.op == "call_module" or node.target is nn.functional.adaptive_avg_pool2d:
        return True
    return bool(node.args[2] if len(node.args) > 2 else node.kwargs.get("keepdim", False))
