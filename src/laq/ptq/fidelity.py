"""Whether a network computes with the layers that are quantized, and with nothing else.

What is compiled, scripted or exported runs code that was made of the modules once. A ``forward``
that was replaced on an instance may hold other modules than those of the copy that is quantized. A
network of this kind is refused by name, since its quantized copy would go on in float.
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

# Whether a layer with a forward of its own computes what its class descends from computes.
#
# Libraries have convolutions and linear layers of their own (timm's ``Linear``, ``Conv2dSame``).
# What they compute is seen by running them: a copy with other weights, on other inputs, is compared
# with torch's own operation on the same numbers. A convolution may pad with zeros as it likes, by
# an amount that depends on the size of its input as well: where an output reads its input is seen
# with a filter of a single 1 on an image of its own places.


# Left, right, top and bottom.
Padding = tuple[int, int, int, int]

# Largest difference beside the largest output: far above float32's rounding of sums, far below
# what any change of the weights makes.
_TOLERANCE = 1e-5

# Scales of weights and of inputs, so that limits and dead zones are met.
_SCALES = ((1.0, 1.0), (1e-3, 1e3), (1e3, 1e-3))


def is_plain(layer: nn.Module) -> bool:
    """Whether the class of ``layer`` runs the code of ``nn.Conv2d`` or ``nn.Linear`` itself.

    What was replaced on the instance is looked at by ``laq.ptq.fidelity``.
    """
    base = _base(layer)
    methods = ("forward", "_conv_forward")
    return all(
        getattr(type(layer), method, None) is getattr(base, method, None) for method in methods
    )


def as_parent(layer: nn.Module, biased: bool | None = None) -> bool:
    """Whether ``layer`` computes what its parent computes of its weight and bias, but for the
    zeros around the images of a convolution.

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
    """Whether ``layer`` computes all that its parent computes, zeros around images included."""
    if is_plain(layer) or isinstance(layer, nn.Linear):
        return as_parent(layer)
    return all(_runs_alike(layer, (2, layer.in_channels, *size)) for size in _sizes(layer))


def padding(
    layer: nn.Conv2d, height: int, width: int, biased: bool | None = None
) -> Padding | None:
    """The zeros that ``layer`` puts around images (height, width); None where it computes anything
    else than a convolution of such an image with its own stride, dilation and groups."""
    try:
        found = _seen_padding(layer, height, width)
        shape = 2, layer.in_channels, height, width
        alike = found and _runs_alike(layer, shape, biased, found)
    except Exception:  # whatever a layer's own code raises for such images
        return None
    return found if alike else None


def _base(layer: nn.Module) -> type[nn.Module]:
    return nn.Conv2d if isinstance(layer, nn.Conv2d) else nn.Linear


def _as_linear(layer: nn.Linear, biased: bool | None) -> bool:
    """Of inputs of two and three dimensions those that it takes, at least one of them."""
    shapes = (4, layer.in_features), (2, 3, layer.in_features)
    alike = [_runs_alike(layer, shape, biased) for shape in shapes]
    return True in alike and False not in alike


def _sizes(layer: nn.Conv2d) -> Iterator[tuple[int, int]]:
    """Sizes of images of which the stride leaves different rests."""
    spans = [d * (k - 1) + 1 for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
    for more in (0, 1):
        yield tuple(2 * span + s + more for span, s in zip(spans, layer.stride, strict=True))


def _with(layer: nn.Module, weight: Tensor, bias: Tensor | None) -> nn.Module:
    """A copy of ``layer`` in evaluation mode, on the CPU, with other parameters."""
    known = {id(layer.weight): nn.Parameter(weight)}
    made = copy.deepcopy(layer, known).to("cpu", weight.dtype).eval()
    made.bias = None if bias is None else nn.Parameter(bias)
    return made


def _dtype(layer: nn.Module) -> torch.dtype:
    """In which its operations are exact enough to be compared."""
    return torch.float64 if layer.weight.dtype == torch.float64 else torch.float32


@torch.no_grad()
def _seen_padding(layer: nn.Conv2d, height: int, width: int) -> Padding | None:
    """The padding by which outputs read the places of the input that they do."""
    dtype = _dtype(layer)
    image = torch.zeros(1, layer.in_channels, height, width, dtype=dtype)
    image[0, 0] = torch.arange(1, height * width + 1).view(height, width)
    for tap in torch.cartesian_prod(*map(torch.arange, layer.kernel_size)).tolist():
        weight = torch.zeros(layer.weight.shape, dtype=dtype)
        weight[0, 0, tap[0], tap[1]] = 1
        bias = None if layer.bias is None else weight.new_zeros(len(weight))
        seen = _with(layer, weight, bias).forward(image)[0, 0]
        if len(hits := seen.nonzero()):
            at = int(seen[tuple(hits[0])].round()) - 1
            if not 0 <= at < height * width:
                return None
            reads = zip(hits[0].tolist(), tap, divmod(at, width), strict=True)
            break
    else:  # no output reads any place: zeros are half on either side
        reads = [None, None]
    geometry = seen.shape, (height, width), layer.kernel_size, layer.stride, layer.dilation
    sides = []
    for read, outputs, size, kernel, stride, dilation in zip(reads, *geometry, strict=True):
        zeros = (outputs - 1) * stride + dilation * (kernel - 1) + 1 - size
        before = max(zeros, 0) // 2
        if read is not None:
            output, offset, place = read
            before = output * stride + offset * dilation - place
        sides.append((before, max(zeros - before, 0)))
    (top, bottom), (left, right) = sides
    return (left, right, top, bottom) if min(top, left) >= 0 else None


@torch.no_grad()
def _runs_alike(
    layer: nn.Module,
    shape: Sequence[int],
    biased: bool | None = None,
    zeros: Padding | None = None,
) -> bool | None:
    """Whether ``layer`` gives what its parent gives, None where it takes no such input.

    zeros: around images, in place of the parent's own padding.
    """
    generator = torch.Generator().manual_seed(0)
    biased = layer.bias is not None if biased is None else biased

    def draw(shape: Sequence[int], scale: float) -> Tensor:
        return scale * torch.randn(shape, generator=generator, dtype=_dtype(layer))

    for of_weights, of_inputs in _SCALES:
        weight, x = draw(layer.weight.shape, of_weights), draw(shape, of_inputs)
        bias = draw((len(weight),), of_weights * of_inputs) if biased else None
        try:
            made = _with(layer, weight, bias)
            found = made.forward(x)
        except Exception:  # whatever a layer's own code raises for an input that is not its
            return None
        if zeros is None:
            expected = _base(layer).forward(made, x)
        else:
            geometry = layer.stride, 0, layer.dilation, layer.groups
            padded = nn.functional.pad(x, zeros)
            expected = nn.functional.conv2d(padded, weight, bias, *geometry)
        if not isinstance(found, Tensor) or found.shape != expected.shape:
            return False
        if not (found - expected).abs().max() <= _TOLERANCE * expected.abs().max():
            return False
    return True


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
