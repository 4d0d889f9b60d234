"""Compress a network by a method named in the config."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from laq import seeds
from laq.alphabets import Alphabet
from laq.methods import METHODS
from laq.patches import Sampling
from laq.propagation import QuantizedNetwork, quantize_network


def calibration_indices(
    labels: np.ndarray, subset: list[int], settings: dict[str, Any], seed: int
) -> np.ndarray:
    """Positions of the calibration images among all training images.

    ``settings``: classes (``subset``: the subset's own, label-aware; ``all``: every class,
    label-agnostic) and images (how many are drawn, without replacement; all where fewer).
    The draw depends on the subset, so that subsets do not share one batch. Sorted (k,) int64.
    """
    eligible = np.arange(len(labels))
    if settings["classes"] == "subset":
        eligible = eligible[np.isin(labels, subset)]
    if len(eligible) <= settings["images"]:
        return eligible
    generator = seeds.stream(seed, "calibration", *sorted(subset))
    return np.sort(generator.choice(eligible, settings["images"], replace=False))


def compress(
    network: nn.Module,
    images: Tensor,
    settings: dict[str, Any],
    generator: torch.Generator,
) -> QuantizedNetwork:
    """Quantize ``network`` with ``settings`` (a variant's ``compress`` entry).

    ``images``: calibration images as the network takes them, float (n, c, h, w).
    """

    def alphabet(weight: Tensor) -> Alphabet:
        return Alphabet.from_weights(
            weight,
            settings["bits"],
            settings["alphabet"],
            settings["scale"],
            settings["quantile"],
            settings["per_channel"],
        )

    return quantize_network(
        network,
        images,
        solver=importlib.import_module(METHODS[settings["method"]]).quantize_layer,
        alphabet=alphabet,
        sampling=Sampling(settings["patches"], settings["fraction"]),
        generator=generator,
        keep=dict.fromkeys(settings["keep"], "kept in float by the config"),
    )
