"""Whether a network computes with the layers that are quantized, and with nothing else.

What is compiled, scripted or exported runs code that was made of the modules once. A ``forward``
that was replaced on an instance may hold other modules than those of the copy that is quantized. A
network of this kind is refused by name, since its quantized copy would go on in float.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.overrides import TorchFunctionMode

from laq.ptq.module_state import tensors
from laq.utils.errors import LaqError

# Relative to the largest number: kernels may add in another order.
_ROUNDING = 1e-4


def check_eager(network: Any) -> None:
    """Raise ``LaqError``, which says what to hand over instead, unless ``network`` is made of
    modules that run their own code."""
    if not isinstance(network, nn.Module):
        raise LaqError(
            f"a {type(network).__name__} is no torch.nn.Module: hand over the module it was made of"
        )
    for name, module in network.named_modules():
        path = f"network.{name}" if name else "network"
        if said := _made_of_another(module, path):
            raise LaqError(f"{path} {said}")


def check_precision(network: nn.Module) -> None:
    """Raise ``LaqError`` where a parameter is in half precision or less."""
    for name, parameter in network.named_parameters():
        if parameter.is_floating_point() and parameter.dtype not in (torch.float32, torch.float64):
            raise LaqError(
                f"{name} is {parameter.dtype}, and layers are quantized in float32 or float64: "
                "hand over network.float()"
            )


def alterations(module: nn.Module) -> list[str]:
    """What makes ``module`` do something else than its class says."""
    said = []
    if vars(module).keys() & {"forward", "_conv_forward"}:
        said.append("its forward was replaced on the instance")
    if module._forward_pre_hooks:
        said.append("it has a forward pre-hook")
    if module._forward_hooks:
        said.append("it has a forward hook")
    return said


@torch.no_grad()
def check_layer(name: str, layer: nn.Conv2d | nn.Linear, x: Tensor) -> None:
    """Raise ``LaqError`` unless ``layer``, of a copy, computes with its own weight on ``x``.

    The weight is turned over for the time of the check, so that another one shows. Subclasses are
    looked at only where the forward is replaced on the instance.
    """
    replaced = bool(vars(layer).keys() & {"forward", "_conv_forward"})
    if type(layer) not in (nn.Conv2d, nn.Linear) and not replaced:
        return
    weight = layer.weight.data
    layer.weight.data = -weight
    try:
        found = layer.forward(x.clone())
        wanted = _computed(layer, x.clone())
    finally:
        layer.weight.data = weight
    if not alike(found, wanted):
        reason = ", ".join(alterations(layer)) or "the forward of its class was replaced"
        raise LaqError(
            f"layer {name} computes something else than {type(layer).__name__} does with its "
            f"weight ({reason}): put what it does besides into modules before or behind it, or "
            "leave it in float (compress.skip_layers)"
        )


@torch.no_grad()
def check_copy(network: nn.Module, copied: nn.Module, images: Tensor, layers: list[str]) -> None:
    """Raise ``LaqError`` where ``copied``, run on ``images``, computes with the weight of one of
    the ``layers`` of ``network``, which it was copied from."""
    seen = _Seen({id(network.get_submodule(name).weight): f"{name}.weight" for name in layers})
    with seen:
        copied(images)
    if not seen.found:
        return
    altered = [
        f"{name or 'the network'}: {', '.join(said)}"
        for name, module in network.named_modules()
        if (said := alterations(module))
    ]
    raise LaqError(
        f"a copy of {type(network).__name__} goes on computing with {min(seen.found)} of the "
        "network it was copied from, so quantizing it would change nothing. A function holds that "
        f"module instead of being given it ({'; '.join(altered) or 'it is no attribute'}): define "
        "the forward in a class, or give the function the module that it is called for"
    )


def alike(found: Any, wanted: Any) -> bool:
    """Whether the tensors of two results are the same but for rounding."""
    pairs = list(tensors(found)), list(tensors(wanted))
    return len(pairs[0]) == len(pairs[1]) and all(map(_close, *pairs))


def _close(found: Tensor, wanted: Tensor) -> bool:
    if found.shape != wanted.shape or found.dtype != wanted.dtype:
        return False
    if not found.is_floating_point() or found.numel() == 0:
        return torch.equal(found, wanted)
    largest = wanted.abs().nan_to_num(0, 0, 0).max()
    return torch.allclose(found, wanted, rtol=0, atol=_ROUNDING * float(largest), equal_nan=True)


def _computed(layer: nn.Conv2d | nn.Linear, x: Tensor) -> Tensor:
    """What the class of ``layer`` computes on ``x``."""
    if type(layer) is nn.Linear:
        return nn.functional.linear(x, layer.weight, layer.bias)
    if type(layer) is not nn.Conv2d:
        return type(layer).forward(layer, x)
    padding: Any = layer.padding
    if layer.padding_mode != "zeros":
        x, padding = (
            nn.functional.pad(x, layer._reversed_padding_repeated_twice, layer.padding_mode),
            0,
        )
    rest = layer.stride, padding, layer.dilation, layer.groups
    return nn.functional.conv2d(x, layer.weight, layer.bias, *rest)


class _Seen(TorchFunctionMode):
    """Notes which of some tensors torch's functions are given. names: by their ``id``."""

    def __init__(self, names: Mapping[int, str]) -> None:
        super().__init__()
        self.names, self.found = names, set()

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = tensors([*args, *(kwargs or {}).values()])
        self.found.update(self.names[id(each)] for each in given if id(each) in self.names)
        return function(*args, **(kwargs or {}))


def _made_of_another(module: nn.Module, path: str) -> str:
    """Why the code that ``module`` runs is not that of its class, and what to hand over instead."""
    kind = type(module).__name__
    if hasattr(module, "_orig_mod"):
        return (
            "was compiled by torch.compile, which may run code that was made before: hand over "
            f"what it was made of, {path}._orig_mod, and compile the result"
        )
    if getattr(module, "_compiled_call_impl", None) is not None:
        return (
            "was compiled by its method compile(), which may run code that was made before: hand "
            "over copy.deepcopy(network), which is not compiled, and compile the result"
        )
    if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel) or (
        kind == "FullyShardedDataParallel"
    ):
        return f"is a {kind}: hand over the network inside it, {path}.module"
    if isinstance(module, torch.jit.ScriptModule):
        if path != "network" and all(parameter.ndim < 2 for parameter in module.parameters()):
            return ""  # an activation, say
        return (
            "was scripted or traced by torch.jit, and its layers are no modules: hand over the "
            "module that it was made of"
        )
    nodes = module.graph.nodes if isinstance(getattr(module, "graph", None), fx.Graph) else ()
    if any(isinstance(node.target, torch._ops.OpOverload) for node in nodes):
        return (
            "was made by torch.export, and its layers are no modules: hand over the module that "
            "was exported"
        )
    if hasattr(module.forward, "_torchdynamo_orig_callable"):
        return (
            "has a forward that was compiled by torch.compile: hand over a network with the "
            "forward that it was made of, and compile the result"
        )
    return ""
