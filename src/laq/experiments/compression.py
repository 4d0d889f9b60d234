"""Compress a network as a variant's settings say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from laq.config import methods
from laq.data import Dataset
from laq.integer import compilation, placement
from laq.ptq import mixed_precision, sweeps
from laq.ptq.activation_cache import MEMORY
from laq.ptq.activation_quantizer import InputSettings
from laq.ptq.calibration import calibration_pool, spread
from laq.ptq.corrections import Corrections
from laq.ptq.hook_runner import FloatInputs
from laq.ptq.layer import Solver
from laq.ptq.mixed_precision import Allocation, LayerSize
from laq.ptq.module_state import copied
from laq.ptq.patches import Sampling
from laq.ptq.registry import SOLVERS
from laq.ptq.sequential import QuantizedNetwork, folded, layers_in_order, quantize_network
from laq.quantizers.granularity import Blocks
from laq.quantizers.grids import Grid
from laq.quantizers.registry import ALPHABETS
from laq.quantizers.rounding import Rounding
from laq.utils import devices


def for_subset(
    network: nn.Module,
    train: Dataset,
    members: list[int],
    classes: list[int] | None,
    settings: dict[str, Any],
    seed: int,
    memory: int = MEMORY,
    float_inputs: FloatInputs | None = None,
) -> tuple[QuantizedNetwork, int]:
    """``network`` compressed for a subset, and the number of images that calibrate a layer.

    ``train``: all images, of the training set or made without data. ``members``: the subset's
    classes, on which every draw depends. ``classes``: those whose images calibrate, all where None.
    ``settings``: a variant's ``compress`` entry. The network is left as it was.
    ``float_inputs``: as in ``quantize_network``.
    """
    pool, count = calibration_pool(train.labels, classes, members, settings, seed)
    result = compress(
        network,
        torch.as_tensor(train.images[pool]),
        settings,
        patches=devices.generator(seed, "patches", *members),
        noise=devices.generator(seed, "rounding", *members),
        batch=count if settings["batch"] == "fresh" else None,
        memory=memory,
        float_inputs=float_inputs,
    )
    return result, count


def compress(
    network: nn.Module,
    images: Tensor,
    settings: dict[str, Any],
    patches: torch.Generator,
    noise: torch.Generator,
    batch: int | None = None,
    memory: int = MEMORY,
    float_inputs: FloatInputs | None = None,
) -> QuantizedNetwork:
    """Quantize ``network`` with ``settings`` (a variant's ``compress`` entry).

    Args:
        images: calibration images uint8, or float as the network takes them, (n, c, h, w).
        patches: draws patches, and batches where each layer has its own.
        noise: draws for stochastic rounding.
        batch, memory, float_inputs: as in ``quantize_network``.
    """
    solver = _solver(settings, noise)
    integer = settings.get("inference") == "integer"
    skip_layers = dict.fromkeys(settings["skip_layers"], "kept in float by the config")
    transforms: list[dict[str, Any]] = []
    quantize = partial(
        quantize_network,
        images=images,
        sampling=Sampling(settings["patches"], settings.get("fraction", 1.0)),
        skip_layers=skip_layers,
        batch=batch,
        memory=memory,
        # Where the network is rewritten first, other quantizations have another one.
        float_inputs=None if settings["fold_batchnorm"] or integer else float_inputs,
    )
    inputs = InputSettings(**settings["activations"]) if settings.get("activations") else None
    if settings["fold_batchnorm"]:
        network, transforms = folded(network, images)
    if integer:
        network, entry = _on_grids(network, inputs.bits)
        transforms.append(entry)
    if "widths" in settings:
        sample = images if batch is None else spread(images, batch)
        sizes = _sizes(network, images, skip_layers)
        runs = _best_widths(network, sample, quantize, solver, sizes, settings, patches)
    elif isinstance(settings["bits"], list):
        runs = mixed_precision.equal_shares(_sizes(network, images, skip_layers), settings["bits"])
    else:
        runs = {}
    result = quantize(
        network,
        solver=solver,
        alphabets=lambda name, weight: _grids(weight, settings, runs.get(name)),
        generator=patches,
        inputs=inputs,
        corrected=Corrections(
            bias=settings.get("bias_correction", False),
            batchnorm=settings.get("batchnorm") == "reestimated",
        ),
    )
    if integer:
        _check_integer(result)
    return replace(result, transforms=[*transforms, *result.transforms])


def _on_grids(network: nn.Module, bits: int) -> tuple[nn.Module, dict[str, Any]]:
    """A copy of ``network`` that simulates integer inference, not yet calibrated, and the entry of
    ``transforms`` that builds it."""
    simulated = placement.apply(copied(network), bits)
    placement.in_float(simulated)
    return simulated, {"kind": "integer", "bits": bits}


def _check_integer(result: QuantizedNetwork) -> None:
    """Round biases as in the integer network, and check that this network can be compiled."""
    placement.round_biases(result.network, result.packed)
    compilation.compile(result.network, result.packed)


def _best_widths(
    network: nn.Module,
    images: Tensor,
    walk: Callable[..., QuantizedNetwork],
    solver: Solver,
    sizes: Sequence[LayerSize],
    settings: dict[str, Any],
    patches: torch.Generator,
) -> Allocation:
    """The allocation of ``widths`` with ``bits`` in the mean and the least damage on ``images``."""
    state = patches.get_state()

    def quantize(bits: int) -> dict[str, Tensor]:
        result = walk(
            network,
            solver=mixed_precision.on_float_inputs(solver),
            alphabets=lambda _, weight: _grids(weight, settings, ((len(weight), bits),)),
            generator=torch.Generator().set_state(state),  # the same patches for every width
        )
        return {size.name: result.network.get_submodule(size.name).weight for size in sizes}

    sensitivities = mixed_precision.sensitivity(
        network, images, quantize, sorted(settings["widths"])
    )
    return mixed_precision.allocate(sensitivities, sizes, settings["bits"])


def _sizes(network: nn.Module, images: Tensor, skip_layers: Mapping[str, str]) -> list[LayerSize]:
    """The layers to quantize, in forward order."""
    layers = layers_in_order(network, images, skip_layers)
    return [LayerSize.of(name, layer) for name, layer in layers.items()]


def _solver(settings: dict[str, Any], noise: torch.Generator) -> Solver:
    method = methods.METHODS[settings["method"]]
    rounding = Rounding(
        method.rounding,
        threshold=settings["threshold"] if method.rounding == "soft" else 0.0,
        generator=noise if method.rounding == "stochastic" else None,
    )
    options = {name: settings[name] for name in method.options if name in settings}
    solve = partial(SOLVERS[settings["method"]], rounding=rounding, **options)
    if not settings.get("sweeps"):
        return solve
    return partial(sweeps.swept, solve, settings["sweeps"], settings["ridge"])


def _grids(
    weight: Tensor, settings: dict[str, Any], runs: Sequence[tuple[int, int]] | None
) -> list[tuple[int, Grid]]:
    """The grids of a layer's runs of (rows, bits), each fitted to the whole layer.

    Where ``runs`` is None, all rows have the bits of the settings.
    """
    fit = ALPHABETS[settings["alphabet"]]
    names = methods.ALPHABETS[settings["alphabet"]].settings
    options = {name: settings[name] for name in names if name in settings}
    blocks = Blocks.of(settings["granularity"], settings.get("group"))
    grids, start = [], 0
    for rows, bits in runs or ((len(weight), settings["bits"]),):
        grid = fit(weight, bits, blocks, **options)
        if methods.METHODS[settings["method"]].rounding == "hard":
            grid = grid.with_gap(settings["threshold"])
        grids.append((rows, grid.of_rows(slice(start, start + rows))))
        start += rows
    return grids
