"""Quantizers on every value between the layers of a network, simulated in float.

They are modules of the network's graph: one behind each layer, sum and mean, or behind the clip
that follows it. One before the first layer makes the quantized image. The logits have none: they
are what the last layer accumulates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, fx, nn

from laq.integer import grammar
from laq.ptq import fx_runner
from laq.ptq.activation_quantizer import InputQuantizer
from laq.quantizers.grids import Uniform
from laq.quantizers.packed_weight import PackedWeight
from laq.utils.errors import ConfigError

# The module that holds the quantizers, each called by the node of the graph whose value it takes.
HOLDER = "quantizers"

Packed = Mapping[str, Sequence[PackedWeight]]

_MAKING = ("layer", "sum", "mean")


def apply(network: nn.Module, bits: int = 8) -> nn.Module:
    """``network`` with quantizers of ``bits`` on all values, as a kind of
    ``laq.checkpoints.graph_edits``.

    The result is a ``torch.fx.GraphModule`` whose other modules are those of ``network``, by the
    same names. Raises ``ConfigError`` that names the operation for a network that cannot run in
    integers, or for more than 8 bits, and ``LaqError`` for a network that cannot be traced.
    """
    if bits > 8:
        raise ConfigError(f"codes of {bits} bits are more than integers of 8 hold")
    graph, modules = fx_runner.trace(network.eval()), dict(network.named_modules())
    nodes = places_of(graph, modules)
    network.add_module(HOLDER, nn.Module())
    device = next(network.parameters(), torch.empty(0)).device
    for node in nodes:
        network.get_submodule(HOLDER).add_module(node.name, InputQuantizer(bits).to(device))
        with graph.inserting_after(node):
            quantizer = graph.create_node("call_module", f"{HOLDER}.{node.name}", (node,))
        node.replace_all_uses_with(quantizer, lambda user, inserted=quantizer: user is not inserted)
    simulated = fx.GraphModule(network, graph, type(network).__name__)
    for name, module in simulated.named_modules():  # all of its buffers would be persistent
        if name in modules:
            buffers = modules[name]._non_persistent_buffers_set & module._buffers.keys()
            module._non_persistent_buffers_set.update(buffers)
    return simulated


def in_float(network: nn.Module) -> None:
    """Let all quantizers of ``network`` pass values on until they are calibrated."""
    for module in network.modules():
        if isinstance(module, InputQuantizer):
            module.enabled = False


def places_of(graph: fx.Graph, modules: Mapping[str, nn.Module]) -> list[fx.Node]:
    """The nodes whose values are put on a grid, in the order of the graph.

    Raises ``ConfigError`` that names the operation for what is not known in integers.
    """
    prepared = preparation(graph, modules)
    quantized, fused = set(), set()
    for node in graph.nodes:
        if node.op == "output" or node in prepared:
            continue
        quantized |= prepared & set(grammar.operands(node))
        kind = grammar.kind(node, modules)
        if kind in _MAKING:
            tail = grammar.tail(node, modules)
            fused |= set(tail)
            if not (kind == "layer" and not tail and _is_result(node, modules)):
                quantized.add((tail or [node])[-1])
        elif kind == "clip" and node not in fused and grammar.bounds(node, modules)[1] < math.inf:
            grammar.refuse(node, modules, "its values are used before they are clipped as well")
    return [node for node in graph.nodes if node in quantized]


def preparation(graph: fx.Graph, modules: Mapping[str, nn.Module]) -> set[fx.Node]:
    """The nodes before the first layer: they depend on the image alone, and stay in float."""
    prepared: set[fx.Node] = set()
    stops = (*fx_runner.QUANTIZABLE, InputQuantizer)
    for node in graph.nodes:
        stop = node.op == "call_module" and isinstance(modules[node.target], stops)
        if not stop and node.op != "output" and prepared.issuperset(grammar.operands(node)):
            prepared.add(node)
    return prepared


@torch.no_grad()
def round_biases(network: nn.Module, packed: Packed) -> None:
    """Round the biases of ``network``, calibrated, to what its accumulators can hold."""
    for name, unit in bias_units(network, packed).items():
        bias = network.get_parameter(name)
        bias.copy_((bias.double() / unit).round() * unit)


def bias_units(network: nn.Module, packed: Packed) -> dict[str, Tensor]:
    """What 1 in the accumulators of a bias' layer stands for, (n,) float64, by the bias' name."""
    graph, modules = fx_runner.trace(network), dict(network.named_modules())
    units = {}
    for name, quantizer in fx_runner.quantizers_before(graph, modules).items():
        runs = packed.get(f"{name}.weight")
        if modules[name].bias is not None and runs is not None and whole(runs):
            units[f"{name}.bias"] = accumulator_steps(runs, modules[quantizer].step)
    return units


def accumulator_steps(runs: Sequence[PackedWeight], step: Tensor) -> Tensor:
    """What 1 in the accumulator of each filter stands for: (n,) float64.

    runs: ``whole``. step: () of the layer's input.
    """
    steps = []
    for run in runs:
        shape = (len(run.codes), run.codes[0].numel())
        steps.append(run.grid.steps(shape).double().expand(len(run.codes), 1)[:, 0])
    return torch.cat(steps).to(step.device) * step.double()


def whole(runs: Sequence[PackedWeight]) -> bool:
    """Whether weights are integers times a step of their filter."""
    grids = [run.grid for run in runs]
    return all(
        isinstance(grid, Uniform) and grid.by_row and not grid.gap and grid.has_zero
        for grid in grids
    )


def _is_result(node: fx.Node, modules: Mapping[str, nn.Module]) -> bool:
    """Whether ``node`` gives the network's output, with nothing but moves behind it."""
    while True:
        users = list(node.users)
        if len(users) != 1:
            return False
        if users[0].op == "output":
            return True
        if grammar.kind(users[0], modules) != "move":
            return False
        node = users[0]
