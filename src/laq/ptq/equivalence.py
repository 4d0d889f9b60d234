"""Whether a layer with a forward of its own computes what its class descends from computes.

Libraries have convolutions and linear layers of their own (timm's ``Linear``, ``Conv2dSame``). What
they compute is seen by running them: a copy with other weights, on other inputs, is compared with
torch's own operation on the same numbers. A convolution may pad with zeros as it likes, by an
amount that depends on the size of its input as well: where an output reads its input is seen with
a filter of a single 1 on an image of its own places.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

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
