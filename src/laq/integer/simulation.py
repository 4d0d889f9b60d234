"""The simulated network with exact sums: the values that the integer network has, in float.

``laq.integer.placement`` quantizes what a network computes in float32. A sum that float32 rounds
to the other side of a border moves a code by one, and layers behind it see that. Here each layer
is computed in float64 on its quantized weights and inputs, in units of their steps. In these units
sums are whole numbers, and so exact. What follows is rounded in float32 as by ONNX Runtime. Between
the operations are float32 values on grids, as the quantizers of the network leave them.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor, fx, nn

from laq.integer import grammar, reading
from laq.integer.operations import ActivationGrid, Addition
from laq.integer.placement import Packed, preparation
from laq.ptq import fx_runner

_HOLDER = "exact"


@torch.no_grad()
def exact(network: nn.Module, packed: Packed) -> fx.GraphModule:
    """A copy of ``network``, as ``laq.integer.placement`` made it, calibrated, with exact sums.

    For evaluation alone. Raises ``ConfigError`` as ``laq.integer.compilation.compile`` does.
    """
    network = copy.deepcopy(network)
    graph, modules = fx_runner.trace(network), dict(network.named_modules())
    network.add_module(_HOLDER, nn.Module())
    prepared, grids = preparation(graph, modules), {}
    for node in list(graph.nodes):
        if node in prepared or node.op == "output":
            continue
        kind, sources = grammar.kind(node, modules), grammar.operands(node)
        if kind == "quantizer":
            grids[node] = reading.grid_of(modules[node.target])
            continue
        grids[node] = grids[sources[0]]
        if kind not in ("layer", "sum", "mean"):
            continue
        target = reading.target(node, modules)
        grid = target.grid if target else None
        if kind == "layer":
            layer = reading.layer(node, modules, packed, grids[node])
            module = _Layer(modules[node.target], layer, grids[node], grid)
        elif grid is None:
            grammar.refuse(node, modules, "its values are not quantized")
        elif kind == "sum":
            sources = node.args
            module = _ExactSum(*(grids[source] for source in sources), grid)
        else:
            module = _Mean(grids[node], grid, grammar.keeps_pixels(node))
        network.get_submodule(_HOLDER).add_module(node.name, module)
        with graph.inserting_after(node):
            replacement = graph.create_node("call_module", f"{_HOLDER}.{node.name}", tuple(sources))
        grids[replacement] = grid
        node.replace_all_uses_with(replacement)
        graph.erase_node(node)
    return fx.GraphModule(network, graph, type(network).__name__).eval()


class _Layer(nn.Module):
    """A layer's values on ``target`` before they are clipped, or logits where that is None."""

    def __init__(
        self,
        layer: nn.Conv2d | nn.Linear,
        whole: reading.Whole,
        source: ActivationGrid,
        target: ActivationGrid | None,
    ) -> None:
        super().__init__()
        self.source, self.target, self.geometry = source, target, None
        shape = (-1,)
        if isinstance(layer, nn.Conv2d):
            names = ("stride", "padding", "dilation", "groups")
            self.geometry, shape = {name: getattr(layer, name) for name in names}, (-1, 1, 1)
        self.register_buffer("weight", whole.weight.double())
        self.register_buffer("bias", whole.bias.double())
        scales = whole.steps if target is None else whole.scales(target)
        self.register_buffer("scales", scales.view(shape))

    def forward(self, x: Tensor) -> Tensor:
        inputs = _in_steps(x, self.source)
        if self.geometry is None:
            sums = nn.functional.linear(inputs, self.weight, self.bias)
        else:
            with torch.backends.cudnn.flags(enabled=False):  # may transform convolutions
                sums = nn.functional.conv2d(inputs, self.weight, self.bias, **self.geometry)
        if self.target is None:
            return (sums * self.scales).float()
        return (sums.float() * self.scales).round() * self.target.step


class _ExactSum(nn.Module):
    """The sum of two values on grids, on ``target`` before it is clipped."""

    def __init__(self, one: ActivationGrid, other: ActivationGrid, target: ActivationGrid) -> None:
        super().__init__()
        self.grids, self.target = (one, other), target
        self.numbers = Addition.of(one, other, target).numbers.astype(float).tolist()

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        one, other = (
            _in_steps(x, grid) + grid.above
            for x, grid in zip((one, other), self.grids, strict=True)
        )
        first, second, constant = self.numbers
        partial_sum = (other * second + constant).float()  # as fused: products of 32 bits are exact
        total = (one * first + partial_sum).float()
        return (total.round() - self.target.above) * self.target.step


class _Mean(nn.Module):
    """The mean over all pixels, on ``target`` before it is clipped."""

    def __init__(self, source: ActivationGrid, target: ActivationGrid, keep: bool) -> None:
        super().__init__()
        self.source, self.target, self.keep = source, target, keep

    def forward(self, x: Tensor) -> Tensor:
        sums = _in_steps(x, self.source).sum((2, 3), keepdim=self.keep)
        steps = np.float32(self.source.step), np.float32(self.target.step)
        scale = steps[0] / (steps[1] * np.float32(x[0, 0].numel()))
        return (sums.float() * float(scale)).round() * self.target.step


def _in_steps(x: Tensor, grid: ActivationGrid) -> Tensor:
    """Values on ``grid`` as whole numbers of its steps, float64."""
    return (x / grid.step).round().double()
