"""Which layers of a network are quantized, in which order they are met, and why others are not."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, fx, nn

from laq import equivalence, hooks, tracing
from laq.calibration import CalibrationImages
from laq.errors import ConfigError, DataError, LaqError
from laq.input_quantization import InputQuantizer
from laq.tracing import QUANTIZABLE

logger = logging.getLogger(__name__)


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Put ``network`` into evaluation mode, and its modules back into their own."""
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def check_kept(network: nn.Module, keep: Mapping[str, str]) -> None:
    """Raise ``ConfigError`` where ``keep`` names no convolution or linear layer."""
    names = _names(network, QUANTIZABLE)
    if unknown := sorted(set(keep) - set(names)):
        raise ConfigError(
            f"no convolution or linear layer is called {', '.join(unknown)}, so it cannot be kept "
            f"in float (compress.keep); there are: {', '.join(names)}"
        )


def graph_of(network: nn.Module, pool: CalibrationImages) -> tuple[fx.Graph | None, list[str]]:
    """The traced graph, None where it is not what the network runs; its layers in call order.

    Among the layers are quantizers of inputs that are modules of the network by themselves.
    """
    names = _names(network, (*QUANTIZABLE, InputQuantizer))
    if "" in names:
        raise LaqError(
            f"the network is a single {type(network).__name__} layer: wrap it in nn.Sequential"
        )
    called = hooks.call_order(network, pool.chunk(0)[:1], names)
    try:
        graph = tracing.trace(network)
        if called == tracing.call_order(graph, names):
            return graph, called
        reason = f"{type(network).__name__} runs other layers than torch.fx traces"
    except tracing.UntraceableError as error:
        reason = str(error)
    logger.warning("%s; it is rerun from the images for each layer, which is slower", reason)
    return None, called


@torch.no_grad()
def met_with_reasons(
    network: nn.Module, images: Tensor, keep: Mapping[str, str]
) -> tuple[list[str], dict[str, str]]:
    """The convolution and linear layers in the order of their first calls on one of ``images``, and
    why some of them stay in float or share the codes of another."""
    with evaluating(network):
        _, met = graph_of(network, CalibrationImages.of(images[:1], network))
    modules = dict(network.named_modules())
    met = [name for name in met if isinstance(modules[name], QUANTIZABLE)]
    return met, reasons_of(modules, met, keep)


def reasons_of(
    modules: Mapping[str, nn.Module], met: Sequence[str], keep: Mapping[str, str]
) -> dict[str, str]:
    """Why layers that are met stay in float, or share the codes of another, by name."""
    holders: dict[Tensor, list[str]] = {}
    for name, module in modules.items():
        for weight in module._parameters.values():
            holders.setdefault(weight, []).append(name)
    reasons: dict[str, str] = {}
    for name in met:
        layer = modules[name]
        if name in keep:
            reasons[name] = keep[name]
        elif not equivalence.as_parent(layer):
            reasons[name] = f"{type(layer).__name__} computes with its weight in a way of its own"
        elif "weight" not in layer._parameters:
            raise DataError(
                f"layer {name}: its weight is computed from other parameters (weight norm, "
                "pruning), so codes cannot replace it: make it a plain parameter first "
                "(torch.nn.utils.parametrize.remove_parametrizations, prune.remove), or leave the "
                "layer in float (compress.keep)"
            )
        else:
            others = [other for other in holders[layer.weight] if other != name]
            if floats := [other for other in others if other in keep or other not in met]:
                reasons[name] = f"shares the weight of {floats[0]}, which stays in float"
            elif first := [other for other in met[: met.index(name)] if other in others]:
                reasons[name] = f"shares the codes of {first[0]}"
    return reasons


def _names(network: nn.Module, kinds: tuple[type[nn.Module], ...]) -> list[str]:
    return [name for name, module in network.named_modules() if isinstance(module, kinds)]
