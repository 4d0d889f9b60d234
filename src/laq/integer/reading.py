"""Grids, clips and integers of the operations of a network that ``laq.integer.placement`` made.

The network is calibrated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

from laq.integer import grammar
from laq.integer.operations import ActivationGrid
from laq.integer.placement import Packed, accumulator_steps, whole
from laq.ptq.activation_quantizer import InputQuantizer
from laq.utils.errors import DataError


@dataclass(frozen=True, eq=False)
class Target:
    """Where the values of an operation go: a grid, the clip before it, and the clip's nodes."""

    grid: ActivationGrid
    clip: tuple[float, float]
    clips: tuple[fx.Node, ...]


@dataclass(frozen=True, eq=False)
class Whole:
    """A layer in whole numbers: weight in its shape and bias (n,), both int64, steps (n,) float64.

    steps: what 1 stands for in the sums of each filter.
    """

    weight: Tensor
    bias: Tensor
    steps: Tensor

    def scales(self, target: ActivationGrid) -> Tensor:
        """Factors from sums to codes of ``target``: (n,) float32, computed as ONNX Runtime does."""
        scales = self.steps.float() / torch.tensor(target.step, dtype=torch.float32)
        return scales.clamp(min=torch.finfo(torch.float32).tiny)  # below it nothing is added


def grid_of(quantizer: InputQuantizer) -> ActivationGrid:
    """The grid that a static quantizer has been calibrated to."""
    return ActivationGrid(float(quantizer.step), int(quantizer.zero), quantizer.bits)


def target(node: fx.Node, modules: Mapping[str, nn.Module]) -> Target | None:
    """Where the values of a layer, sum or mean go, None for logits."""
    tail = grammar.tail(node, modules)
    users = list((tail or [node])[-1].users)
    quantizer = modules.get(users[0].target) if len(users) == 1 else None
    if not isinstance(quantizer, InputQuantizer):
        return None
    low, high = -torch.inf, torch.inf
    clips = tuple(successor for successor in tail if grammar.kind(successor, modules) == "clip")
    for clip in clips:
        lower, upper = grammar.bounds(clip, modules)
        low, high = min(max(low, lower), upper), min(max(high, lower), upper)
    return Target(grid_of(quantizer), (low, high), clips)


def layer(
    node: fx.Node, modules: Mapping[str, nn.Module], packed: Packed, source: ActivationGrid
) -> Whole:
    """The layer that ``node`` calls on values on the grid ``source``.

    Raises ``ConfigError`` that names it where it is not one of integers of 8 bits, and
    ``DataError`` where its bias does not fit an accumulator of 32 bits.
    """
    module, runs = modules[node.target], packed.get(f"{node.target}.weight")
    if runs is None:
        grammar.refuse(node, modules, "its weights are in float")
    if isinstance(module, nn.Conv2d) and module.padding_mode != "zeros":
        grammar.refuse(node, modules, f"it pads by {module.padding_mode}, not with zeros")
    if not whole(runs):
        grammar.refuse(node, modules, "its weights are no integers times a step")
    rows = [run.grid.centred(run.codes.flatten(1)).cpu().long() for run in runs]
    codes = torch.cat(rows).view(module.weight.shape)
    if codes.min() < -128 or codes.max() > 127:
        grammar.refuse(node, modules, "its weights are not integers of 8 bits")
    steps = accumulator_steps(runs, torch.tensor(source.step, dtype=torch.float64)).cpu()
    bias = torch.zeros_like(steps) if module.bias is None else module.bias.double().cpu()
    bias = (bias / steps).round()
    if not bool((bias.abs() < 2**31).all()):  # as float64, which does not overflow
        raise DataError(
            f"layer {node.target} in integers: a bias of {float(bias.abs().max()):.3g} units does "
            "not fit an accumulator of 32 bits, since the steps of its filter's weights and of its "
            "input are so small: quantize the network again, which makes the step larger"
        )
    return Whole(codes, bias.long(), steps)
