"""Every tensor of a network, and every layer's input: quantized or not, and why."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from laq.checkpoints import graph_edits, packing
from laq.experiments.partial import traffic
from laq.experiments.partial.arms import Arm
from laq.ptq import activation_quantizer
from laq.ptq.activation_quantizer import InputQuantizer
from laq.ptq.fx_runner import QUANTIZABLE
from laq.qat.training import constraint_of
from laq.training import exchange
from laq.training.exchange import FLOAT

# An arm as ``traffic`` and ``cost`` take it: its training's network and constraint.


def weighed(
    described: Mapping[str, Any],
    arm: Arm,
    training: Mapping[str, Any],
    gradient_bits: int = FLOAT,
) -> traffic.TrafficArm:
    """An arm's training, as its traffic is computed.

    described: description of the network that the training begins with. training: settings of a
    training in float.
    """
    settings, chosen = {**training, "bits": FLOAT}, ()
    if arm.method == "qat":
        settings, chosen = arm.recipe["qat"], arm.choice.names
    constraint = constraint_of(settings, chosen).description
    return traffic.TrafficArm(graph_edits.spec(described), constraint, gradient_bits)


def gradient_bits(arm: Arm) -> list[int]:
    """Numbers of bits in which gradients of the arm's quantized weights are sent.

    They are those of float, and the fewest of ``exchange.BITS`` that are not below the weights'.
    """
    bits = arm.recipe["qat"]["bits"] if arm.method == "qat" else FLOAT
    return [FLOAT, next(width for width in exchange.BITS if width >= bits)]


_NORMS = (_BatchNorm, nn.LayerNorm, nn.GroupNorm)


def rows(
    network: nn.Module,
    packed: Mapping[str, float],
    chosen: str,
    others: Mapping[str, str],
    batchnorm: str,
) -> Iterator[dict[str, Any]]:
    """A row for each tensor of ``network``'s state and for the input of each layer.

    A tensor with several names has one row, under the name of its codes or else its first name.

    network: as it would be deployed. packed: bits of the weights that are codes in its file, by the
    tensors' names. chosen: which layers are quantized, in words. others: why each layer that cannot
    be quantized cannot. batchnorm: whether its statistics were ``frozen`` or ``updated``.
    """
    modules = dict(network.named_modules())
    inputs = {
        name: layer
        for name, layer in modules.items()
        if isinstance(layer, QUANTIZABLE)
        # Layers inside PyTorch's own attention are never called, so they have no input.
        and not isinstance(modules.get(name.rpartition(".")[0]), nn.MultiheadAttention)
    }
    reported = set()
    state = network.state_dict()
    aliases = packing.aliases(state, packed)
    for tensor, values in state.items():
        if tensor in aliases:
            continue
        owner, _, attribute = tensor.rpartition(".")
        if owner in inputs and owner not in reported:
            reported.add(owner)
            yield _input(owner, inputs[owner], chosen, others.get(owner))
        module = modules[owner]
        role = _role(module, attribute, owner in inputs)
        bits = packed.get(tensor)
        if bits is not None:
            reason = _chosen(chosen)
        elif role == "weight":
            reason = others.get(owner, f"not chosen: {chosen}")
        else:
            reason = _STATISTICS[batchnorm] if role == "statistic" else _ALWAYS[role]
        yield _row(tensor, role, module, values.shape, bits, values.element_size() * 8, reason)


def _input(name: str, layer: nn.Module, chosen: str, never: str | None) -> dict[str, Any]:
    quantizer = getattr(layer, activation_quantizer.NAME, None)
    bits = quantizer.bits if isinstance(quantizer, InputQuantizer) else None
    reason = _chosen(chosen) if bits else never or f"inputs stay in float with {chosen}"
    return _row(f"{name}.input", "input", layer, None, bits, 32, reason)


def _row(
    tensor: str,
    role: str,
    module: nn.Module,
    shape: Sequence[int] | None,
    bits: float | None,
    width: int,
    reason: str,
) -> dict[str, Any]:
    return {
        "tensor": tensor,
        "role": role,
        "kind": type(module).__name__,
        "shape": "" if shape is None else "x".join(map(str, shape)),
        "numbers": None if shape is None else math.prod(shape),
        "quantized": "no" if bits is None else "yes",
        "tensor_bits": width if bits is None else bits,
        "reason": reason,
    }


def _chosen(chosen: str) -> str:
    return f"chosen: {chosen}"


def _role(module: nn.Module, own: str, layer: bool) -> str:
    if isinstance(module, InputQuantizer):
        return "grid of an input"
    if isinstance(module, _NORMS):
        return "norm" if own in ("weight", "bias") else "statistic"
    if layer and own in ("weight", "bias"):
        return own
    return "other"


_ALWAYS = {
    "bias": "biases stay in float: they are few",
    "norm": "scale and shift of a normalisation stay in float",
    "grid of an input": "says what the codes of a layer's input stand for",
    "other": "of no convolution and no linear layer: a position, an embedding",
}
_STATISTICS = {
    "frozen": "statistics of BatchNorm stay in float, and those of the trained network",
    "updated": "statistics of BatchNorm stay in float, and follow the batches",
}
