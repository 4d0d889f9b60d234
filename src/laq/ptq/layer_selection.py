"""Which layers of a network are quantized, in which order, and why others are not."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

from laq.ptq import fidelity, fx_runner, hook_runner
from laq.ptq.activation_quantizer import InputQuantizer
from laq.ptq.calibration import CalibrationImages
from laq.ptq.fx_runner import QUANTIZABLE
from laq.ptq.layer import LANES
from laq.ptq.module_state import unchanged
from laq.utils.errors import ConfigError, DataError, LaqError
from laq.utils.runs import Run

# Estimates of the time and memory that a form of the solver takes on the CPU.
#
# The unit of time is a multiply-add of a large matrix product. Slower operations are weighted by
# how much slower they are. Weights were measured (``benchmarks/gpfq.py --table`` prints measured
# beside predicted times). Codes do not depend on them.


# Bytes a form may take beside the layer itself.
MEMORY = 2**27

# Bytes of a core's own cache. Where u of a tile of neurons takes more, multiply-adds of the direct
# recursion and of the blocks take longer by these factors.
_CACHE, _DIRECT_BEYOND, _BLOCKS_BEYOND = 2**19, 1.25, 1.35

# Times of a multiply-add inside a block; of rounding a weight, with all else that is done once a
# weight; of the calls for a block; and of the calls for a layer.
_INSIDE, _ROUNDING, _CALLS, _START = 26.0, 125.0, 9e6, 2.5e7


@dataclass(frozen=True)
class LayerShape:
    """Sizes of a layer: m samples, and in each of G groups n neurons of d columns.

    itemsize: bytes of a number. threads: of the compiled loops, and of matrix products. noise:
    whether rounding draws a number for each weight.
    """

    samples: int
    neurons: int
    columns: int
    groups: int = 1
    itemsize: int = 4
    threads: int = 1
    noise: bool = False


@dataclass(frozen=True)
class Cost:
    """work: in multiply-adds of a matrix product. memory: bytes."""

    work: float
    memory: float


def costs(layer: LayerShape, block: int) -> dict[str, Cost]:
    """The cost of each form, with blocks of ``block`` columns."""
    m, n, d, groups = layer.samples, layer.neurons, layer.columns, layer.groups
    tiles = -(-n // LANES)
    # Idle lanes of the last tile work as well, and so do threads that no tile is left for.
    loop = tiles * LANES * max(1.0, layer.threads / (tiles * groups))
    width = min(block, d)
    rounding = _ROUNDING * loop * d
    inside = _INSIDE * loop * d * width / 2 + rounding + _CALLS * -(-d // block) / groups
    fits = m * LANES * layer.itemsize <= _CACHE
    direct = 3 * m * loop * d * (1 if fits else _DIRECT_BEYOND) + m * n * d + rounding
    blocks = 4 * m * n * d * (1 if fits else _BLOCKS_BEYOND) + 2 * m * width * d + inside
    gram = 3 * m * d * d + 6 * n * d * d + inside
    matrices = 2 * m * d
    estimates = {
        "direct": (direct, 2 * matrices + m * n + layer.noise * n * d),
        "blocks": (blocks, matrices + 2 * m * n),
        "gram": (gram, 3 * d * d + 5 * n * d),
    }
    return {
        form: Cost(groups * work + _START, groups * layer.itemsize * size)
        for form, (work, size) in estimates.items()
    }


def cheapest(layer: LayerShape, block: int, memory: float, forms: tuple[str, ...]) -> str:
    """The fastest of ``forms`` within ``memory`` bytes, or the smallest where none is within."""
    candidates = costs(layer, block)
    affordable = [form for form in forms if candidates[form].memory <= memory]
    if affordable:
        return min(affordable, key=lambda form: candidates[form].work)
    return min(forms, key=lambda form: candidates[form].memory)


logger = logging.getLogger(__name__)


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Put ``network`` into evaluation mode, and restore its modules at the end.

    Raises ``LaqError`` unless it is made of modules that run their own code.
    """
    fidelity.check_eager(network)
    with unchanged(network):
        network.eval()
        yield


def check_kept(network: nn.Module, skip_layers: Mapping[str, str]) -> None:
    """Raise ``ConfigError`` where ``skip_layers`` names no convolution or linear layer."""
    names = _names(network, QUANTIZABLE)
    if unknown := sorted(set(skip_layers) - set(names)):
        raise ConfigError(
            f"no convolution or linear layer is called {', '.join(unknown)}, so it cannot be kept "
            f"in float (compress.skip_layers); there are: {', '.join(names)}"
        )


def graph_of(network: nn.Module, pool: CalibrationImages) -> tuple[fx.Graph | None, Run]:
    """The traced graph, None where it is not what the network runs; and a run on two images.

    The layers of the run include quantizers of inputs that are modules of the network.

    Raises ``LaqError`` as ``traced`` does.
    """
    run = _run(network, pool)
    try:
        return _graph(network, pool, run), run
    except fx_runner.UntraceableError as error:
        reason = str(error)
    logger.warning("%s; it is rerun from the images for each layer, which is slower", reason)
    return None, run


def traced(network: nn.Module, pool: CalibrationImages) -> fx.Graph:
    """The traced graph of ``network``, which does what the network does.

    Raises ``UntraceableError`` where there is none, and ``LaqError`` for a network that is a layer
    by itself, is in half precision, or calls no layer that it has.
    """
    return _graph(network, pool, _run(network, pool))


def _graph(network: nn.Module, pool: CalibrationImages, run: Run) -> fx.Graph:
    with unchanged(network):
        graph = fx_runner.trace(network)
        fx_runner.check_runs(graph, network, sample(pool), run)
    return graph


def _run(network: nn.Module, pool: CalibrationImages) -> Run:
    fidelity.check_precision(network)
    names = _names(network, (*QUANTIZABLE, InputQuantizer))
    if "" in names:
        raise LaqError(
            f"the network is a single {type(network).__name__} layer: wrap it in nn.Sequential"
        )
    with unchanged(network):
        run = hook_runner.run(network, sample(pool), names)
    if names and not run.inputs:
        raise LaqError(
            f"{type(network).__name__} calls none of its {len(names)} convolution and linear "
            f"layers ({names[0]}, …) as a module, so none can be quantized: its forward must call "
            "the layers that it has"
        )
    for name, value in run.inputs.items():
        weight = network.get_submodule(name)._parameters.get("weight")
        if isinstance(value, Tensor) and weight is not None and value.dtype != weight.dtype:
            raise LaqError(
                f"layer {name} gets {value.dtype} and has weights of {weight.dtype}: run the "
                "network without torch.autocast, and hand over network.float()"
            )
    return run


def sample(pool: CalibrationImages) -> Tensor:
    """Two images, or one where there is only one, on which a network is tried."""
    return pool.chunk(0)[:2]


@torch.no_grad()
def met_with_reasons(
    network: nn.Module, images: Tensor, skip_layers: Mapping[str, str]
) -> tuple[list[str], dict[str, str]]:
    """The convolution and linear layers in the order of their first calls on two of ``images``.

    Also the reasons why some of them stay in float, or share the codes of another.
    """
    with evaluating(network):
        _, run = graph_of(network, CalibrationImages.of(images[:2], network))
    modules = dict(network.named_modules())
    met = [name for name in run.inputs if isinstance(modules[name], QUANTIZABLE)]
    return met, reasons_of(modules, met, skip_layers)


def reasons_of(
    modules: Mapping[str, nn.Module], met: Sequence[str], skip_layers: Mapping[str, str]
) -> dict[str, str]:
    """Why layers that are called stay in float, or share the codes of another, by name."""
    holders: dict[Tensor, list[str]] = {}
    for name, module in modules.items():
        for weight in module._parameters.values():
            holders.setdefault(weight, []).append(name)
    reasons: dict[str, str] = {}
    for name in met:
        layer = modules[name]
        if name in skip_layers:
            reasons[name] = skip_layers[name]
        elif not fidelity.as_parent(layer):
            reasons[name] = f"{type(layer).__name__} computes with its weight in a way of its own"
        elif "weight" not in layer._parameters:
            raise DataError(
                f"layer {name}: its weight is computed from other parameters, so codes cannot "
                f"replace it: make it a plain parameter first, {_plain_weight(name, layer)}, or "
                "leave the layer in float (compress.skip_layers)"
            )
        else:
            others = [other for other in holders[layer.weight] if other != name]
            if floats := [other for other in others if other in skip_layers or other not in met]:
                reasons[name] = f"shares the weight of {floats[0]}, which stays in float"
            elif first := [other for other in met[: met.index(name)] if other in others]:
                reasons[name] = f"shares the codes of {first[0]}"
    return reasons


def _plain_weight(name: str, layer: nn.Module) -> str:
    """The call that makes a weight a plain parameter, where it is computed from others."""
    calls = {
        "WeightNorm": "torch.nn.utils.remove_weight_norm({})",
        "SpectralNorm": "torch.nn.utils.remove_spectral_norm({})",
    }
    from torch.nn.utils import prune

    module = f"network.get_submodule({name!r})"
    for hook in layer._forward_pre_hooks.values():
        if isinstance(hook, prune.BasePruningMethod):
            return f'torch.nn.utils.prune.remove({module}, "weight")'
        if call := calls.get(type(hook).__name__):
            return call.format(module)
    return f'torch.nn.utils.parametrize.remove_parametrizations({module}, "weight")'


def _names(network: nn.Module, kinds: tuple[type[nn.Module], ...]) -> list[str]:
    return [name for name, module in network.named_modules() if isinstance(module, kinds)]
