"""Networks by name, built from plain arguments so that a checkpoint can say how to rebuild them.

Every network takes float images in [0, 1], shape (n, channels, h, w), and returns logits (n,
classes). Normalisation is part of the network, so that a loaded checkpoint always has it.
"""

from __future__ import annotations

import copy
import inspect
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from laq.models.architectures import ARCHITECTURES, Classifier
from laq.utils.errors import ConfigError


def create(name: str, classes: int, **arguments: Any) -> nn.Module:
    """Build the network called ``name`` with ``classes`` outputs and fresh weights.

    ``arguments`` go to the architecture: channels, and for ``small_resnet`` widths, for ``lenet5``
    side, for torchvision's (``resnet50``) and timm's (``timm/resnet50``) those of
    ``laq.models.architectures.Classifier``. Weights are drawn from torch's global generator.

    Raises:
        ConfigError: the name is unknown, or the architecture cannot be built with the arguments.
    """
    if name in ARCHITECTURES:
        return ARCHITECTURES[name](classes=classes, **arguments)
    return Classifier(name, classes, **arguments)


def specification(
    settings: Mapping[str, Any], weights: Mapping[str, Any] | None, classes: int, images: Tensor
) -> dict[str, Any]:
    """The arguments of ``create`` for the config's entry of a network, as a checkpoint holds them.

    ``settings``: name, and the architecture's own keys; ``weights``: the entry's weights, which may
    say how images are normalised; ``images``: uint8 (n, c, h, w), squares.
    """
    arguments = {"classes": classes, "channels": images.shape[1]}
    if settings["name"] in ARCHITECTURES:
        if "side" in inspect.signature(ARCHITECTURES[settings["name"]]).parameters:
            arguments["side"] = images.shape[-1]
        return {**settings, **arguments}
    from laq.config import architectures
    from laq.models import weight_sources

    normalisation = weight_sources.normalisation(weights, settings["name"]) if weights else {}
    defaults = {"mean": list(architectures.MEAN), "std": list(architectures.STD)}
    return {**defaults, **normalisation, **settings, **arguments, "side": images.shape[-1]}


@torch.no_grad()
def check_images(network: nn.Module, name: str, images: Tensor) -> None:
    """Raise ``ConfigError`` if ``network`` cannot take such ``images``, uint8 (n, c, h, w).

    Two images go through a copy in training mode, where some networks do more than in evaluation.
    """
    side = images.shape[-1]
    try:
        logits = copy.deepcopy(network).train()(to_input(images[:2]))
        network.eval()(to_input(images[:1]))
        if not isinstance(logits, Tensor):
            raise ValueError(f"in training it returns {type(logits).__name__}, not logits")
    except (RuntimeError, ValueError, AssertionError) as error:
        raise ConfigError(
            f"{name} cannot take images of {side} × {side} pixels ({error}): set "
            "networks.<id>.resize to what it was made for, such as 224"
        ) from error


def head(network: nn.Module) -> nn.Conv2d | nn.Linear:
    """The last convolution or linear layer in the order of the network's modules.

    It need not give the logits: ``output_layers`` finds the layers that do.
    """
    layers = [module for module in network.modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
    if not layers:
        raise ConfigError(
            f"{type(network).__name__} has no convolution and no linear layer, so no features "
            "either: take another network"
        )
    return layers[-1]


def output_layers(network: nn.Module, images: Tensor) -> list[str]:
    """The convolutions and linear layers that give the logits, in the order of their calls.

    No other such layer is between them and the logits. Most networks have one. ``network``: in
    evaluation mode; it runs on its device. ``images``: uint8 (n, c, h, w). Raises ``ConfigError``
    for a network that has none.
    """
    values: dict[str, list[Tensor]] = {}

    def cut(name: str, value: Tensor) -> Tensor:
        """The output of a layer as a leaf of the graph: gradients end there."""
        leaf = value.detach().requires_grad_()
        values.setdefault(name, []).append(leaf)
        return leaf.clone()  # a clone may be changed in place

    device = next(network.parameters(), torch.empty(0)).device
    with ExitStack() as hooks, torch.enable_grad():
        for name, module in network.named_modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                hook = module.register_forward_hook(lambda _, __, x, name=name: cut(name, x))
                hooks.callback(hook.remove)
        logits = network(to_input(images, device))
        leaves = [(name, leaf) for name, outputs in values.items() for leaf in outputs]
        gradients = ()
        if leaves and logits.requires_grad:
            tensors = [leaf for _, leaf in leaves]
            gradients = torch.autograd.grad(logits.sum(), tensors, allow_unused=True)
    layers = [
        name for (name, _), gradient in zip(leaves, gradients, strict=False) if gradient is not None
    ]
    if not layers:
        raise ConfigError(
            f"{type(network).__name__} computes its logits with no convolution and no linear "
            "layer, so it has no features: take another network, or features.source: pixels"
        )
    return list(dict.fromkeys(layers))


def load_state(
    network: nn.Module,
    state: Mapping[str, Tensor],
    versions: Mapping[str, Any] | None = None,
    strict: bool = True,
) -> Any:
    """``network.load_state_dict`` of tensors by name, with the network's versions of modules.

    Tensors in a file have no ``_metadata``, which some networks use while they load (torchvision's
    MNASNet). versions: used in place of the network's own.
    """
    tensors = OrderedDict(state)
    tensors._metadata = network.state_dict()._metadata if versions is None else versions
    return network.load_state_dict(tensors, strict=strict)


def to_input(
    images: Tensor | Any,
    device: torch.device | str = "cpu",
    layout: torch.memory_format = torch.preserve_format,
) -> Tensor:
    """uint8 images (n, c, h, w), array or tensor, as float32 in [0, 1] on ``device``.

    ``layout`` holds for images of one channel too, whose strides ``contiguous`` leaves as they are.
    """
    return torch.as_tensor(images).to(device).to(torch.float32, memory_format=layout) / 255


@torch.no_grad()
def memory_format(network: nn.Module, images: Tensor) -> torch.memory_format:
    """Channels last, in which convolutions are faster, if ``network`` takes it.

    A network that flattens images by ``view`` takes contiguous ones alone. A copy runs one of
    ``images``, (n, c, h, w) as it takes them, in evaluation mode.
    """
    layout = torch.channels_last
    try:
        clone = copy.deepcopy(network).to(memory_format=layout)
        clone.eval()(images[:1].contiguous(memory_format=layout))
    except Exception:  # whatever else is wrong is said where the network is run
        return torch.contiguous_format
    return layout


def to_fastest_layout(network: nn.Module, images: Tensor) -> torch.memory_format:
    """Put ``network`` into its ``memory_format``, which its inputs should have too."""
    layout = memory_format(network, images)
    if layout == torch.channels_last:
        network.to(memory_format=layout)
    return layout


def safe_kernels(network: nn.Module) -> AbstractContextManager[None]:
    """A context in which ``network`` can be trained on any CPU.

    Without AVX-512, the backward pass of oneDNN in torch 2.15 writes out of bounds for a 1 × 1
    convolution of stride 2 with 2 to 7 input channels in channels-last layout. Networks that have
    one are trained without oneDNN.
    """
    is_affected = any(
        isinstance(layer, nn.Conv2d)
        and 1 < layer.in_channels < 8
        and layer.kernel_size == (1, 1)
        and max(layer.stride) > 1
        for layer in network.modules()
    )
    return torch.backends.mkldnn.flags(enabled=False) if is_affected else nullcontext()


@torch.no_grad()  # not inference_mode: parameters in another layout could not be trained again
def predict(
    network: nn.Module, images: Tensor, device: torch.device, batch_size: int = 64
) -> Tensor:
    """Logits (n, classes), float32 on the CPU, of uint8 images (n, c, h, w).

    ``network`` is moved to ``device`` and put into evaluation mode and the layout in which it is
    fastest, and stays so.
    """
    layout = to_fastest_layout(network.to(device).eval(), to_input(images[:1], device))
    inputs = (to_input(batch, device, layout) for batch in images.split(batch_size))
    return torch.cat([network(x).cpu() for x in inputs])
