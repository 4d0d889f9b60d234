"""Whether a network computes with the layers that are quantized, and with nothing else.

A compiled, scripted or exported network runs code that was generated from its modules. A
``forward`` that was replaced on an instance may hold other modules than those of the copy that is
quantized. Such networks are refused by name, since the quantized copy would still run in float.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.overrides import TorchFunctionMode

from laq.ptq.module_state import tensors
from laq.utils.errors import LaqError

# Whether a layer with a forward of its own computes what its parent class computes.
#
# Libraries have convolutions and linear layers of their own (timm's ``Linear``, ``Conv2dSame``).
# Running them shows what they compute: a copy with other weights, on other inputs, is compared with
# torch's own operation on the same numbers. A convolution may have any padding with zeros, which
# may depend on the size of its input. A filter of a single 1, on an image whose values are its
# positions, shows where an output reads the input.


# Left, right, top and bottom.
Padding = tuple[int, int, int, int]

# Largest difference as a share of the largest output: far above float32's rounding of sums, far
# below the effect of any change of the weights.
_TOLERANCE = 1e-5

# Scales of weights and of inputs, so that limits and dead zones show.
_SCALES = ((1.0, 1.0), (1e-3, 1e3), (1e3, 1e-3))


def is_plain(layer: nn.Module) -> bool:
    """Whether the class of ``layer`` runs the code of ``nn.Conv2d`` or ``nn.Linear`` itself.

    ``alterations`` finds what was replaced on the instance.
    """
    base = _base(layer)
    methods = ("forward", "_conv_forward")
    return all(
        getattr(type(layer), method, None) is getattr(base, method, None) for method in methods
    )


def as_parent(layer: nn.Module, biased: bool | None = None) -> bool:
    """Whether ``layer`` computes what its parent computes with its weight and bias.

    A convolution may pad its images with zeros in another way.

    layer: a subclass of ``nn.Conv2d`` or ``nn.Linear``. biased: with a bias, by default where it
    has one.
    """
    if is_plain(layer):
        return True
    if "weight" not in layer._parameters:
        return False
    if isinstance(layer, nn.Linear):
        return _as_linear(layer, biased)
    return all(padding(layer, height, width, biased) is not None for height, width in _sizes(layer))


def is_known(layer: nn.Module) -> bool:
    """Whether ``layer`` computes all that its parent computes, the padding included."""
    if is_plain(layer) or isinstance(layer, nn.Linear):
        return as_parent(layer)
    return all(_runs_alike(layer, (2, layer.in_channels, *size)) for size in _sizes(layer))


def padding(
    layer: nn.Conv2d, height: int, width: int, biased: bool | None = None
) -> Padding | None:
    """The zeros that ``layer`` pads images (height, width) with.

    None where it computes anything but a convolution of such an image with its own stride, dilation
    and groups.
    """
    try:
        pads = _seen_padding(layer, height, width)
        shape = 2, layer.in_channels, height, width
        matches = pads and _runs_alike(layer, shape, biased, pads)
    except Exception:  # whatever a layer's own code raises for such images
        return None
    return pads if matches else None


def _base(layer: nn.Module) -> type[nn.Module]:
    return nn.Conv2d if isinstance(layer, nn.Conv2d) else nn.Linear


def _as_linear(layer: nn.Linear, biased: bool | None) -> bool:
    """Whether it runs as its parent on the inputs it takes, of two dimensions, three, or both."""
    shapes = (4, layer.in_features), (2, 3, layer.in_features)
    matches = [_runs_alike(layer, shape, biased) for shape in shapes]
    return True in matches and False not in matches


def _sizes(layer: nn.Conv2d) -> Iterator[tuple[int, int]]:
    """Sizes of images with different remainders of the stride."""
    spans = [d * (k - 1) + 1 for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
    for extra in (0, 1):
        yield tuple(2 * span + s + extra for span, s in zip(spans, layer.stride, strict=True))


def _with(layer: nn.Module, weight: Tensor, bias: Tensor | None) -> nn.Module:
    """A copy of ``layer`` in evaluation mode, on the CPU, with other parameters."""
    memo = {id(layer.weight): nn.Parameter(weight)}
    clone = copy.deepcopy(layer, memo).to("cpu", weight.dtype).eval()
    clone.bias = None if bias is None else nn.Parameter(bias)
    return clone


def _dtype(layer: nn.Module) -> torch.dtype:
    """The dtype in which operations of ``layer`` are exact enough to be compared."""
    return torch.float64 if layer.weight.dtype == torch.float64 else torch.float32


@torch.no_grad()
def _seen_padding(layer: nn.Conv2d, height: int, width: int) -> Padding | None:
    """The padding that agrees with the position of the input which an output reads."""
    dtype = _dtype(layer)
    image = torch.zeros(1, layer.in_channels, height, width, dtype=dtype)
    image[0, 0] = torch.arange(1, height * width + 1).view(height, width)
    for tap in torch.cartesian_prod(*map(torch.arange, layer.kernel_size)).tolist():
        weight = torch.zeros(layer.weight.shape, dtype=dtype)
        weight[0, 0, tap[0], tap[1]] = 1
        bias = None if layer.bias is None else weight.new_zeros(len(weight))
        response = _with(layer, weight, bias).forward(image)[0, 0]
        if len(hits := response.nonzero()):
            index = int(response[tuple(hits[0])].round()) - 1
            if not 0 <= index < height * width:
                return None
            reads = zip(hits[0].tolist(), tap, divmod(index, width), strict=True)
            break
    else:  # no output reads any position: half of the zeros are on either side
        reads = [None, None]
    geometry = response.shape, (height, width), layer.kernel_size, layer.stride, layer.dilation
    pads = []
    for read, outputs, size, kernel, stride, dilation in zip(reads, *geometry, strict=True):
        total = (outputs - 1) * stride + dilation * (kernel - 1) + 1 - size
        leading = max(total, 0) // 2
        if read is not None:
            output, offset, position = read
            leading = output * stride + offset * dilation - position
        pads.append((leading, max(total - leading, 0)))
    (top, bottom), (left, right) = pads
    return (left, right, top, bottom) if min(top, left) >= 0 else None


@torch.no_grad()
def _runs_alike(
    layer: nn.Module,
    shape: Sequence[int],
    biased: bool | None = None,
    zeros: Padding | None = None,
) -> bool | None:
    """Whether ``layer`` gives the output of its parent; None where it takes no such input.

    zeros: around images, in place of the parent's own padding.
    """
    generator = torch.Generator().manual_seed(0)
    biased = layer.bias is not None if biased is None else biased

    def draw(shape: Sequence[int], scale: float) -> Tensor:
        return scale * torch.randn(shape, generator=generator, dtype=_dtype(layer))

    for weight_scale, input_scale in _SCALES:
        weight, x = draw(layer.weight.shape, weight_scale), draw(shape, input_scale)
        bias = draw((len(weight),), weight_scale * input_scale) if biased else None
        try:
            clone = _with(layer, weight, bias)
            output = clone.forward(x)
        except Exception:  # whatever a layer's own code raises for an input that is not its
            return None
        if zeros is None:
            expected = _base(layer).forward(clone, x)
        else:
            geometry = layer.stride, 0, layer.dilation, layer.groups
            padded = nn.functional.pad(x, zeros)
            expected = nn.functional.conv2d(padded, weight, bias, *geometry)
        if not isinstance(output, Tensor) or output.shape != expected.shape:
            return False
        if not (output - expected).abs().max() <= _TOLERANCE * expected.abs().max():
            return False
    return True


# Largest difference as a share of the largest number: kernels may add in another order.
_ROUNDING = 1e-4


def check_eager(network: Any) -> None:
    """Raise ``LaqError`` unless ``network`` is made of modules that run their own code.

    The error names what to give instead.
    """
    if not isinstance(network, nn.Module):
        raise LaqError(
            f"a {type(network).__name__} is no torch.nn.Module: hand over the module it was made of"
        )
    for name, module in network.named_modules():
        path = f"network.{name}" if name else "network"
        if fault := _made_of_another(module, path):
            raise LaqError(f"{path} {fault}")


def check_precision(network: nn.Module) -> None:
    """Raise ``LaqError`` where a parameter is in half precision or less."""
    for name, parameter in network.named_parameters():
        if parameter.is_floating_point() and parameter.dtype not in (torch.float32, torch.float64):
            raise LaqError(
                f"{name} is {parameter.dtype}, and layers are quantized in float32 or float64: "
                "hand over network.float()"
            )


def alterations(module: nn.Module) -> list[str]:
    """The changes by which ``module`` may differ from its class."""
    changes = []
    if vars(module).keys() & {"forward", "_conv_forward"}:
        changes.append("its forward was replaced on the instance")
    if module._forward_pre_hooks:
        changes.append("it has a forward pre-hook")
    if module._forward_hooks:
        changes.append("it has a forward hook")
    return changes


@torch.no_grad()
def check_layer(name: str, layer: nn.Conv2d | nn.Linear, x: Tensor) -> None:
    """Raise ``LaqError`` unless ``layer``, of a copy, computes with its own weight on ``x``.

    The weight has the opposite sign during the check, so that the use of another weight shows.
    Subclasses are checked only where the forward is replaced on the instance.
    """
    replaced = bool(vars(layer).keys() & {"forward", "_conv_forward"})
    if type(layer) not in (nn.Conv2d, nn.Linear) and not replaced:
        return
    weight = layer.weight.data
    layer.weight.data = -weight
    try:
        output = layer.forward(x.clone())
        expected = _computed(layer, x.clone())
    finally:
        layer.weight.data = weight
    if not alike(output, expected):
        reason = ", ".join(alterations(layer)) or "the forward of its class was replaced"
        raise LaqError(
            f"layer {name} computes something else than {type(layer).__name__} does with its "
            f"weight ({reason}): put what it does besides into modules before or behind it, or "
            "leave it in float (compress.skip_layers)"
        )


@torch.no_grad()
def check_copy(network: nn.Module, copied: nn.Module, images: Tensor, layers: list[str]) -> None:
    """Raise ``LaqError`` where ``copied``, run on ``images``, uses a weight of its original.

    ``network`` is the original, and ``layers`` are those whose weights are checked.
    """
    recorder = _Seen({id(network.get_submodule(name).weight): f"{name}.weight" for name in layers})
    with recorder:
        copied(images)
    if not recorder.found:
        return
    altered = [
        f"{name or 'the network'}: {', '.join(changes)}"
        for name, module in network.named_modules()
        if (changes := alterations(module))
    ]
    raise LaqError(
        f"a copy of {type(network).__name__} goes on computing with {min(recorder.found)} of the "
        "network it was copied from, so quantizing it would change nothing. A function holds that "
        f"module instead of being given it ({'; '.join(altered) or 'it is no attribute'}): define "
        "the forward in a class, or give the function the module that it is called for"
    )


def alike(found: Any, wanted: Any) -> bool:
    """Whether the tensors of two results are the same up to rounding."""
    leaves = list(tensors(found)), list(tensors(wanted))
    return len(leaves[0]) == len(leaves[1]) and all(map(_close, *leaves))


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
    pads: Any = layer.padding
    if layer.padding_mode != "zeros":
        x, pads = (
            nn.functional.pad(x, layer._reversed_padding_repeated_twice, layer.padding_mode),
            0,
        )
    geometry = layer.stride, pads, layer.dilation, layer.groups
    return nn.functional.conv2d(x, layer.weight, layer.bias, *geometry)


class _Seen(TorchFunctionMode):
    """Records which of some tensors torch's functions get. names: of the tensors, by ``id``."""

    def __init__(self, names: Mapping[int, str]) -> None:
        super().__init__()
        self.names, self.found = names, set()

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        operands = tensors([*args, *(kwargs or {}).values()])
        self.found.update(self.names[id(tensor)] for tensor in operands if id(tensor) in self.names)
        return function(*args, **(kwargs or {}))


def _made_of_another(module: nn.Module, path: str) -> str:
    """Why the code that ``module`` runs is not that of its class, and what to give instead."""
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
