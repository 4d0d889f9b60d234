"""Quantized inputs of layers, in a few bits, simulated in float.

A quantizer puts each number on a uniform grid of 2^b levels, codes −2^(b−1) … 2^(b−1) − 1, one of
which, ``zero``, stands for 0 (Jacob et al., "Quantization and Training of Neural Networks for
Efficient Integer-Arithmetic-Only Inference", CVPR 2018, equation 1):

    code = clip(round(x / step) + zero),    x̂ = (code − zero) · step,

halves to even, as ONNX defines QuantizeLinear. The range holds 0, so that padding is exact. After
ReLU it starts at 0, so that no code is spent on numbers that do not occur.

- ``static``: step and zero are of the whole tensor and chosen on calibration images.
- ``dynamic``: step and zero are of each image, from its smallest and largest number. If they were
  of the batch, the output for an image would depend on the other images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from laq.quantizers import observers
from laq.quantizers.observers import How
from laq.utils.errors import ConfigError

Mode = Literal["static", "dynamic"]
BITS = range(2, 17)

# The name of the quantizer in its layer.
NAME = "input_quantizer"


def limits(bits: int) -> tuple[int, int]:
    """The smallest and the largest code."""
    return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1


def grid(low: Tensor, high: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Step and zero of the grids that cover ``low`` ≤ 0 … ``high`` ≥ 0, in their shape and dtype.

    A range 0 … 0 has the step 1: any step serves. So has a range whose step is denormal in float32,
    which a file or a device may take for 0.
    """
    step = observers.steps(low, high, bits, symmetric=False)
    step = torch.where(step >= torch.finfo(torch.float32).tiny, step, torch.ones_like(step))
    return step, observers.zero_points(low, step, bits)


def codes(x: Tensor, step: Tensor, zero: Tensor, bits: int) -> Tensor:
    """The codes of ``x``, whole numbers in its dtype."""
    return (x / step).round_().add_(zero).clamp_(*limits(bits))


class InputQuantizer(nn.Module):
    """Puts a layer's input (n, …) on a grid of ``bits``; n images, or parts of them.

    A static quantizer has the buffers step, float32 (), and zero, int32 (). A dynamic one has none.
    While ``enabled`` is false, as before calibration, it passes its input on unchanged. Gradients
    are those of rounding, 0.

    Raises ``ConfigError`` for bits or a mode out of range.
    """

    step: Tensor | None
    zero: Tensor | None

    def __init__(self, bits: int = 8, mode: Mode = "static") -> None:
        super().__init__()
        if type(bits) is not int or bits not in BITS:
            raise ConfigError(
                f"bits of activations are {bits!r}: give a number from {BITS[0]} to {BITS[-1]}"
            )
        if mode not in get_args(Mode):
            raise ConfigError(f"mode of activations {mode!r}: choose {' or '.join(get_args(Mode))}")
        self.bits, self.mode, self.enabled = bits, mode, True
        static = mode == "static"
        self.register_buffer("step", torch.ones(()) if static else None)
        self.register_buffer("zero", torch.zeros((), dtype=torch.int32) if static else None)

    def calibrate(self, low: Tensor, high: Tensor) -> None:
        """Cover ``low`` ≤ 0 … ``high`` ≥ 0, both (), from now on."""
        step, zero = grid(low.double(), high.double(), self.bits)
        self.step.copy_(step)
        self.zero.copy_(zero)
        self.enabled = True

    def grid_of(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Step and zero for ``x`` (n, …): () each, or (n, 1, …) each with a dynamic range."""
        if self.mode == "static":
            return self.step, self.zero
        dims = tuple(range(1, x.ndim))
        low, high = x.amin(dims, keepdim=True), x.amax(dims, keepdim=True)
        return grid(low.clamp(max=0), high.clamp(min=0), self.bits)

    def forward(self, x: Tensor) -> Tensor:
        if not self.enabled:
            return x
        step, zero = self.grid_of(x)
        return codes(x, step, zero, self.bits).sub_(zero).mul_(step)

    def extra_repr(self) -> str:
        return f"bits={self.bits}, mode={self.mode}"


def attach(network: nn.Module, specs: Mapping[str, Mapping[str, Any]]) -> None:
    """Quantize the inputs of layers from now on: layer name to ``bits`` and ``mode``.

    The quantizer becomes the layer's submodule ``input_quantizer``, on the layer's device, and so
    part of the state dict. Raises ``ConfigError`` for a layer that ``network`` does not have, or
    that has a quantizer.
    """
    modules = dict(network.named_modules())
    for name, fields in specs.items():
        if name not in modules:
            raise ConfigError(f"there is no layer {name} whose input could be quantized")
        layer = modules[name]
        if hasattr(layer, NAME):
            raise ConfigError(f"the input of layer {name} is quantized already")
        weight = next(layer.parameters(recurse=False), torch.empty(0))
        layer.add_module(NAME, InputQuantizer(**fields).to(weight.device))
        layer.register_forward_pre_hook(_with_quantized_input, with_kwargs=True)


def apply(network: nn.Module, layers: Mapping[str, Mapping[str, Any]]) -> nn.Module:
    """``attach`` as a kind of ``laq.checkpoints.graph_edits``."""
    attach(network, layers)
    return network


def _with_quantized_input(
    layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    quantizer = getattr(layer, NAME)
    if args:
        return (quantizer(args[0]), *args[1:]), kwargs
    return args, {**kwargs, "input": quantizer(kwargs["input"])}


# Ranges of layers' inputs, observed over the calibration images a chunk at a time.
#
# A histogram is kept of them, so that memory does not grow with the number of images.


# Bins between the smallest and the largest value.
BINS = 2 * observers.BINS

# Elements that are counted at once: float32 counts whole numbers up to here.
_PIECE = 2**24


@dataclass(frozen=True)
class InputSettings:
    """How inputs are quantized: ``compress.activations`` of a variant.

    bits, mode: as in ``InputQuantizer``. range, percentile: of ``laq.quantizers.observers``, for
    static grids.
    """

    bits: int = 8
    mode: Mode = "static"
    range: How = "minmax"
    percentile: float = 99.99


def calibrate(
    quantizer: InputQuantizer, inputs: Callable[[], Iterable[Tensor]], settings: InputSettings
) -> None:
    """Fit a static ``quantizer`` to its inputs, and let it quantize from now on.

    inputs: starts a pass over finite tensors of any shape, the same at each call. Ranges other than
    ``minmax`` take two passes. Values count there as the centres of ``BINS`` bins, so that such a
    range ends at least half a bin within that of all values. Exact zeros have a bin of their own.
    """
    if quantizer.mode == "dynamic":
        quantizer.enabled = True
        return
    low, high = _extremes(inputs())
    if settings.range != "minmax" and low < high:
        centres, counts = _histogram(inputs(), low, high)
        low, high = observers.choose(
            centres[None],
            settings.bits,
            settings.range,
            symmetric=False,
            counts=counts[None],
            quantile=settings.percentile / 100,
        )
    quantizer.calibrate(low.squeeze().clamp(max=0), high.squeeze().clamp(min=0))


def _extremes(chunks: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    lows, highs = zip(*(chunk.aminmax() for chunk in chunks), strict=True)
    return torch.stack(lows).min(), torch.stack(highs).max()


def _histogram(chunks: Iterable[Tensor], low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Centres of ``BINS`` bins from ``low`` to ``high`` and zero, with their counts, in float64."""
    counts = torch.zeros(BINS + 1, dtype=torch.float64, device=low.device)
    bounds = float(low), float(high)
    for chunk in chunks:
        for piece in chunk.reshape(-1).split(_PIECE):
            values = piece[piece != 0]
            counts[:-1] += torch.histc(values, BINS, *bounds)
            counts[-1] += len(piece) - len(values)
    width = (bounds[1] - bounds[0]) / BINS
    centres = bounds[0] + width * (torch.arange(BINS + 1, dtype=torch.float64) + 0.5)
    centres[-1] = 0
    return centres.to(counts.device), counts
