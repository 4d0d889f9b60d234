"""Compress a network as a variant's settings say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from laq import allocation, methods, seeds
from laq.allocation import Allocation, LayerSize
from laq.alphabets import Alphabet
from laq.layer import Solver
from laq.patches import Sampling
from laq.propagation import QuantizedNetwork, folded, layers_in_order, quantize_network
from laq.rounding import Rounding


def calibration_pool(
    labels: np.ndarray,
    classes: list[int] | None,
    subset: list[int],
    settings: dict[str, Any],
    seed: int,
) -> np.ndarray:
    """Positions of the images to calibrate on, or to draw each layer's batch from.

    Of all training images with ``labels``, those of ``classes``, or of every class where None.
    ``settings``: images (how many are drawn, without replacement; all where fewer, or ``all``)
    and batch (``fresh``: layers draw their own, so that here all are taken). The draw depends on
    the ``subset`` it is for, so that subsets do not share one batch. Sorted (k,) int64.
    """
    eligible = np.arange(len(labels))
    if classes is not None:
        eligible = eligible[np.isin(labels, classes)]
    whole = settings["images"] == "all" or settings["batch"] == "fresh"
    if whole or len(eligible) <= settings["images"]:
        return eligible
    generator = seeds.stream(seed, "calibration", *sorted(subset))
    return np.sort(generator.choice(eligible, settings["images"], replace=False))


def compress(
    network: nn.Module,
    images: Tensor,
    settings: dict[str, Any],
    patches: torch.Generator,
    noise: torch.Generator,
) -> QuantizedNetwork:
    """Quantize ``network`` with ``settings`` (a variant's ``compress`` entry).

    Args:
        images: calibration images uint8, or float as the network takes them, (n, c, h, w).
        patches: draws patches, and batches where each layer has its own.
        noise: draws for stochastic rounding.
    """
    solver = _solver(settings, noise)
    walk = partial(
        quantize_network,
        images=images,
        sampling=Sampling(settings["patches"], settings["fraction"]),
        keep=dict.fromkeys(settings["keep"], "kept in float by the config"),
        batch=settings["images"] if settings["batch"] == "fresh" else None,
        memory=settings["memory_mb"] * 2**20,
    )
    if settings["fold_batchnorm"]:
        network = folded(network, images)
    if "widths" in settings:
        runs = _best_widths(network, images, walk, solver, settings, patches)
    elif isinstance(settings["bits"], list):
        sizes = _sizes(network, images, settings["keep"])
        runs = allocation.equal_shares(sizes, settings["bits"])
    else:
        runs = {}
    return walk(
        network,
        solver=solver,
        alphabets=lambda name, weight: _alphabets(weight, settings, runs.get(name)),
        generator=patches,
    )


def _best_widths(
    network: nn.Module,
    images: Tensor,
    walk: Callable[..., QuantizedNetwork],
    solver: Solver,
    settings: dict[str, Any],
    patches: torch.Generator,
) -> Allocation:
    """The allocation of ``widths`` that keeps to ``bits`` in the mean and loses least."""
    sizes = _sizes(network, images, settings["keep"])
    state = patches.get_state()

    def quantize(bits: int) -> dict[str, Tensor]:
        alone = walk(
            network,
            solver=allocation.on_float_inputs(solver),
            alphabets=lambda _, weight: _alphabets(weight, settings, ((len(weight), bits),)),
            generator=torch.Generator().set_state(state),  # the same patches for every width
        )
        return {size.name: alone.network.get_submodule(size.name).weight for size in sizes}

    damage = allocation.sensitivity(network, images, quantize, sorted(settings["widths"]))
    return allocation.allocate(damage, sizes, settings["bits"])


def _sizes(network: nn.Module, images: Tensor, keep: Sequence[str]) -> list[LayerSize]:
    """The layers to quantize, in forward order."""
    layers = layers_in_order(network, images)
    return [LayerSize.of(name, layer) for name, layer in layers.items() if name not in keep]


def _solver(settings: dict[str, Any], noise: torch.Generator) -> Solver:
    method = methods.METHODS[settings["method"]]
    rounding = Rounding(
        method.rounding,
        threshold=settings["threshold"] if method.rounding == "soft" else 0.0,
        generator=noise if method.rounding == "stochastic" else None,
    )
    options = {name: settings[name] for name in method.options}
    return partial(methods.solver(settings["method"]), rounding=rounding, **options)


def _alphabets(
    weight: Tensor, settings: dict[str, Any], runs: Sequence[tuple[int, int]] | None
) -> list[tuple[int, Alphabet]]:
    """The alphabets of a layer's runs of (rows, bits), each fitted to the whole layer.

    Where ``runs`` is None, all rows have the bits of the settings.
    """
    alphabets, first = [], 0
    for rows, bits in runs or ((len(weight), settings["bits"]),):
        alphabet = Alphabet.from_weights(
            weight,
            bits,
            settings["alphabet"],
            settings["scale"],
            settings["quantile"],
            settings["per_channel"],
        )
        if methods.METHODS[settings["method"]].rounding == "hard":
            alphabet = alphabet.with_gap(settings["threshold"])
        alphabets.append((rows, alphabet.of_rows(slice(first, first + rows))))
        first += rows
    return alphabets
