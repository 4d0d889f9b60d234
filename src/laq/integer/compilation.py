"""From a network whose values are quantized in float to one that computes on their codes."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, fx, nn

from laq.integer import grammar, operations, reading
from laq.integer.operations import Accumulate, ActivationGrid
from laq.integer.placement import Packed, preparation
from laq.ptq import fx_runner
from laq.utils.errors import ConfigError, DataError

_REMEDY = "set inference: simulated"


class IntegerNetwork(nn.Module):
    """Computes on integers from the quantized image to the logits.

    ``integers`` gives the logits as integers. ``forward`` gives them in float32, like any network.

    body: a graph of ``laq.integer.operations``. step: what 1 stands for in the logits. zero: the
    code that stands for 0 in the output of ``body``.
    """

    def __init__(self, body: nn.Module, step: float, zero: int) -> None:
        super().__init__()
        self.body, self.step, self.zero = body, step, zero

    def integers(self, images: Tensor) -> Tensor:
        """The logits (n, classes), int32, in units of ``step``, of images in float."""
        return self.body(images).int() - self.zero

    def forward(self, images: Tensor) -> Tensor:
        # In float64 first: an accumulator has more bits than float32 holds.
        return (self.integers(images).double() * self.step).float()


@torch.no_grad()
def compile(network: nn.Module, packed: Packed) -> IntegerNetwork:
    """The integer network of ``network``, which ``laq.integer.placement`` made and is calibrated.

    packed: the codes of all its layers. The two networks share no tensor.

    Raises ``ConfigError`` that names an operation or layer that is not known in integers, and
    ``DataError`` that names one with a scale or a sum that does not fit.
    """
    graph, modules = fx_runner.trace(network), dict(network.named_modules())
    prepared = preparation(graph, modules)
    compiler = _Compiler(modules, packed)
    for node in graph.nodes:
        if node in prepared:
            compiler.keep(node)
        elif node.op == "output":
            return compiler.finished(node, type(network).__name__)
        else:
            compiler.add(node)
    raise ValueError("a graph without an output")


class _Compiler:
    """Puts together a graph of integer operations, node by node of the simulated network's."""

    def __init__(self, modules: Mapping[str, nn.Module], packed: Packed) -> None:
        self.modules, self.packed = modules, packed
        self.graph, self.parts = fx.Graph(), {}
        self.made: dict[fx.Node, fx.Node] = {}
        self.grids: dict[fx.Node, ActivationGrid] = {}  # of all values in integers
        self.fused: set[fx.Node] = set()

    def keep(self, node: fx.Node) -> None:
        """Copy a node as it is, with the module or the tensor that it names."""
        if node.op == "call_module":
            self.parts[node.target] = copy.deepcopy(self.modules[node.target])
        elif node.op == "get_attr":
            self.parts[node.target] = fx_runner.attribute(node, self.modules).clone()
        self.made[node] = self.graph.node_copy(node, self.made.__getitem__)

    def add(self, node: fx.Node) -> None:
        """Put what ``node`` does to codes into the graph."""
        kind, operands = grammar.kind(node, self.modules), grammar.operands(node)
        source = operands[0]
        if kind == "quantizer":
            quantizer = self.modules[node.target]
            if source in self.grids:  # the operation that makes the value puts it on its grid
                self.made[node], self.grids[node] = self.made[source], self.grids[source]
                return
            grid = reading.grid_of(quantizer)
            self._put(node, operations.Quantize(grid), grid)
        elif kind == "layer":
            self._add_layer(node)
        elif kind in ("sum", "mean"):
            self._add_arithmetic(node, kind)
        elif kind == "move" or node in self.fused:
            self.grids[node] = self.grids[source]
            if kind == "move":
                self.keep(node)
            else:
                self.made[node] = self.made[source]
        else:
            grid = self.grids[source]
            if kind == "maximum":
                self._put(node, operations.Maximum(self.modules[node.target]), grid)
            else:
                clip = grammar.bounds(node, self.modules)
                self._put(node, operations.Clip(grid, clip), grid)

    def finished(self, node: fx.Node, name: str) -> IntegerNetwork:
        """The network that returns what the ``output`` node does."""
        (result,) = node.args
        if not isinstance(result, fx.Node) or result not in self.grids:
            raise ConfigError(
                "the network cannot run in integers: it does not return the logits alone; set "
                "inference: simulated"
            )
        self.graph.output(self.made[result])
        body = fx.GraphModule(self.parts, self.graph, name).eval()
        return IntegerNetwork(body, self.grids[result].step, self.grids[result].zero)

    def _add_layer(self, node: fx.Node) -> None:
        (source,) = grammar.operands(node)
        grid = self.grids[source]
        layer = reading.layer(node, self.modules, self.packed, grid)
        try:
            accumulator = Accumulate(self.modules[node.target], layer.weight, layer.bias, grid)
            if (target := self._target(node)) is None:
                operation = operations.Logits(accumulator, layer.steps)
                self._put(node, operation, ActivationGrid(float(layer.steps.max()), 0, 32))
            else:
                scales = layer.scales(target.grid)
                operation = operations.IntegerLayer(accumulator, scales, target.grid, target.clip)
                self._put(node, operation, target.grid)
        except DataError as error:
            raise DataError(f"layer {node.target} in integers: {error}; {_REMEDY}") from error

    def _add_arithmetic(self, node: fx.Node, kind: str) -> None:
        if (target := self._target(node)) is None:
            grammar.refuse(node, self.modules, "its values are not quantized")
        grid, clip = target.grid, target.clip
        try:
            if kind == "sum":
                one, other = (self.grids[source] for source in node.args)
                operation = operations.Sum(one, other, grid, clip)
            else:
                (source,) = grammar.operands(node)
                keepdim = grammar.keeps_pixels(node)
                operation = operations.Mean(self.grids[source], grid, clip, keepdim)
        except DataError as error:
            description = grammar.describe(node, self.modules)
            raise DataError(f"{description} in integers: {error}; {_REMEDY}") from error
        self._put(node, operation, grid)

    def _target(self, node: fx.Node) -> reading.Target | None:
        target = reading.target(node, self.modules)
        self.fused.update(target.clips if target else ())
        return target

    def _put(self, node: fx.Node, operation: nn.Module, grid: ActivationGrid) -> None:
        """Append ``operation`` on what the operands of ``node`` have become."""
        name = f"operations.{node.name}"
        self.parts[name] = operation
        operands = node.args if isinstance(operation, operations.Sum) else grammar.operands(node)
        arguments = tuple(self.made[source] for source in operands)
        self.made[node] = self.graph.call_module(name, arguments)
        self.grids[node] = grid
