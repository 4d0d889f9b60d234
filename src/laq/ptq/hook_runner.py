"""A layer's inputs by rerunning both networks from the images: no graph is needed.

The published code does so for every network. It costs a run of both networks up to each layer. It
takes networks that torch.fx cannot trace, and allows a fresh batch of images for each layer.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from laq.ptq.activation_cache import Activations, Frame, LayerInputs
from laq.ptq.calibration import CalibrationImages
from laq.ptq.fx_runner import check_finite
from laq.utils.errors import LaqError
from laq.utils.runs import Run


class _ReachedError(Exception):
    """Ends a forward pass; carries the input of the layer it was to end at."""


def run(network: nn.Module, images: Tensor, layers: Collection[str]) -> Run:
    """Run ``network``, and record the inputs of those ``layers`` that it calls."""
    inputs: dict[str, Tensor] = {}
    calls: Counter[str] = Counter()

    def note(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        calls[name] += 1
        if name not in inputs:
            value = _input(args, kwargs)
            inputs[name] = value.clone() if isinstance(value, Tensor) else value

    with ExitStack() as hooks:
        for name, module in network.named_modules():
            if name in layers:
                hook = module.register_forward_pre_hook(
                    lambda _, args, kwargs, name=name: note(name, args, kwargs), with_kwargs=True
                )
                hooks.callback(hook.remove)
        output = network(images)
    return Run(inputs, calls, output)


def call_order(network: nn.Module, images: Tensor, layers: Collection[str]) -> list[str]:
    """The ``layers`` that a run over ``images`` calls, in the order of their first calls."""
    return list(run(network, images, layers).inputs)


def later_inputs(network: nn.Module, layer: str, images: Tensor) -> list[Tensor]:
    """The inputs of ``layer`` at all calls but the first, in a run over ``images``."""
    inputs: list[Tensor] = []

    def note(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        inputs.append(_input(args, kwargs).clone() if inputs else torch.empty(0))

    hook = network.get_submodule(layer).register_forward_pre_hook(note, with_kwargs=True)
    try:
        network(images)
    finally:
        hook.remove()
    return inputs[1:]


def every_input(network: nn.Module, layer: str, first: LayerInputs, calls: int) -> Iterator[Tensor]:
    """The inputs of ``layer`` in ``network`` as it is now, at all of its ``calls``.

    first: those of its first call, the second of each pair being of ``network``.
    """
    for _, value in first.chunks():
        yield value
    if calls > 1:
        for chunk in first.images:
            yield from later_inputs(network, layer, chunk)


def _input(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return args[0] if args else kwargs["input"]


def capture(network: nn.Module, layer: str, images: Tensor) -> Tensor:
    """The input of ``layer`` at its first call, where the forward pass of ``network`` ends.

    Raises ``LaqError`` if the pass does not reach the layer.
    """

    def stop(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        raise _ReachedError(_input(args, kwargs))

    hook = network.get_submodule(layer).register_forward_pre_hook(stop, with_kwargs=True)
    try:
        network(images)
    except _ReachedError as error:
        return error.args[0]
    finally:
        hook.remove()
    raise LaqError(
        f"layer {layer}: {type(network).__name__} calls it for some images and not for others, so "
        "it cannot be calibrated: leave it in float (compress.skip_layers)"
    )


class FloatInputs:
    """Inputs of one float network's layers, kept for all quantizations of it.

    Trials of a sweep draw the same images for a layer, and half of their time is the float network.
    """

    def __init__(self, memory: int) -> None:
        """memory: bytes that are kept at most; later inputs are computed each time."""
        self._memory, self._inputs = memory, dict[tuple[str, bytes], Tensor]()

    def capture(self, network: nn.Module, layer: str, images: Tensor) -> Tensor:
        """As ``capture``; ``network`` is the same at every call."""
        content = images.cpu().contiguous().view(torch.uint8).numpy()
        key = layer, hashlib.blake2b(content).digest()
        if key in self._inputs:
            return self._inputs[key]
        value = capture(network, layer, images)
        if value.nbytes <= self._memory:
            self._inputs[key], self._memory = value, self._memory - value.nbytes
        return value


def rerun(
    networks: tuple[nn.Module, nn.Module],
    batch: Callable[[], CalibrationImages],
    layers: Sequence[str],
    diverged: Callable[[], bool],
    activations: Activations,
    float_inputs: FloatInputs | None = None,
) -> Iterator[tuple[str, LayerInputs]]:
    """Run both networks from the images up to each of ``layers`` in turn.

    ``batch`` gives the images, once for each layer. ``float_inputs``: of the first network. All
    else is as in ``laq.ptq.fx_runner.walk``.
    """

    def frame(network: nn.Module, name: str, images: Tensor) -> Frame:
        shares = float_inputs is not None and network is networks[0]
        value = (float_inputs.capture if shares else capture)(network, name, images)
        check_finite(value, name, networks.index(network))
        return activations.put({"input": value})

    for name in layers:
        running = networks if diverged() else networks[:1]
        images = batch()
        frames = [
            [frame(network, name, images.chunk(chunk)) for network in running]
            for chunk in range(len(images))
        ]
        yield name, LayerInputs(activations, frames, "input", images)
        for chunk_frames in frames:
            for stored in chunk_frames:
                activations.drop(stored)
