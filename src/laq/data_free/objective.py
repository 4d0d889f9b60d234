"""The loss of made images: statistics of BatchNorm, cross-entropy of classes, image priors."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from laq.models.networks import to_fastest_layout
from laq.utils.errors import ConfigError

# Image priors beside the statistics: images are smooth, and not far from grey.
#
# Both are those of Mahendran and Vedaldi, "Understanding Deep Image Representations by Inverting
# Them", CVPR 2015, as DeepInversion (Yin et al., CVPR 2020) uses them.


def variation(images: Tensor) -> Tensor:
    """Total variation of ``images`` (n, c, h, w): mean squared step to the next pixel, ()."""
    horizontal = (images[..., 1:] - images[..., :-1]).square().mean()
    vertical = (images[..., 1:, :] - images[..., :-1, :]).square().mean()
    return horizontal + vertical


def norm(images: Tensor) -> Tensor:
    """Mean squared distance of ``images`` in [0, 1] from middle grey, ()."""
    return (images - 0.5).square().mean()


# How far batches of a network's activations are from the running statistics of its BatchNorms.
#
# A BatchNorm keeps the mean and the variance of its inputs in training, channel by channel. They
# are all that a trained network says of its data. Images whose activations have the same statistics
# stand in for that data (Cai et al., "ZeroQ", CVPR 2020; Yin et al., "Dreaming to Distill", CVPR
# 2020).


def distance(inputs: Tensor, mean: Tensor, variance: Tensor, eps: float) -> Tensor:
    """Of a BatchNorm's ``inputs`` (n, c, …) from its running ``mean`` and ``variance`` (c,): ().

    The squared 2-Wasserstein distance between normal distributions of these moments,
    (μ − m)² + (σ − s)², in units of the channel's variance, averaged over channels. Channels differ
    in scale by decades, and the layers behind see them divided by it. ``eps``, BatchNorm's own, is
    added to both variances, so that silent channels count as they do in BatchNorm.
    """
    axes = [axis for axis in range(inputs.ndim) if axis != 1]
    batch_variance, batch_mean = torch.var_mean(inputs, axes, correction=0)  # (c,) each
    shift = (batch_mean - mean).square() / (variance + eps)
    spread = ((batch_variance + eps) / (variance + eps)).sqrt() - 1
    return (shift + spread.square()).mean()


def norms(network: nn.Module) -> dict[str, _BatchNorm]:
    """The BatchNorms of ``network`` that keep running statistics, by name."""
    return {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, _BatchNorm) and module.running_mean is not None
    }


class Statistics:
    """The mean ``distance`` over a network's BatchNorms, for what goes through it from now on."""

    def __init__(self, network: nn.Module, name: str) -> None:
        """Hooks are left on ``network``: give it a copy. Raises ``ConfigError``, which calls it
        ``name``, where it has no BatchNorm."""
        self._found: dict[str, Tensor] = {}
        batchnorms = norms(network)
        if not batchnorms:
            raise ConfigError(
                f"networks.{name}: it has no BatchNorm ({type(network).__name__}), and images are "
                "made from its statistics: calibrate on training images "
                "(compress.images_from: training)"
            )
        for layer, batchnorm in batchnorms.items():
            batchnorm.register_forward_pre_hook(partial(self._measure, layer))

    def _measure(self, place: str, norm: _BatchNorm, args: tuple[Tensor, ...]) -> None:
        self._found[place] = distance(args[0], norm.running_mean, norm.running_var, norm.eps)

    def loss(self) -> Tensor:
        """Of the last forward pass: (), the mean over the BatchNorms that it called."""
        mean = torch.stack(list(self._found.values())).mean()
        self._found.clear()
        return mean


@dataclass(frozen=True, eq=False)
class Terms:
    """The loss of a batch, (), and what it is made of; logits (n, classes).

    statistics: mean distance from the running statistics. cross_entropy: towards the classes
    asked for, in nats; None where none were. variation, norm: of the images.
    """

    loss: Tensor
    statistics: Tensor
    cross_entropy: Tensor | None
    variation: Tensor
    norm: Tensor
    logits: Tensor

    def row(self, labels: Tensor | None) -> dict[str, float | None]:
        """The terms as numbers, and the share of images that the network gives their labels."""
        numbers = {
            key: None if term is None else term.item()
            for key, term in vars(self).items()
            if key != "logits"
        }
        if labels is None:
            return {**numbers, "as_asked": None}
        hits = self.logits.argmax(1) == labels
        return {**numbers, "as_asked": hits.float().mean().item()}


class Objective:
    """The loss of images under a copy of a network, in evaluation mode.

    Statistics have the weight 1, the other terms those of ``settings``: ``class_weight``,
    ``variation``, ``norm``.
    """

    def __init__(self, network: nn.Module, name: str, settings: Mapping[str, Any]) -> None:
        """Raises ``ConfigError``, which calls the network ``name``, where it has no BatchNorm."""
        self._network = copy.deepcopy(network).eval().requires_grad_(False)
        self._layout: torch.memory_format | None = None  # asked of the first images
        self._statistics = Statistics(self._network, name)
        self._settings = settings

    def __call__(self, images: Tensor, labels: Tensor | None) -> Terms:
        """Of ``images`` in [0, 1] (n, c, h, w), asked to be of ``labels`` (n,) unless None."""
        if self._layout is None:
            self._layout = to_fastest_layout(self._network, images.detach())
        logits = self._network(images.contiguous(memory_format=self._layout))
        statistics = self._statistics.loss()
        total_variation, grey_distance = variation(images), norm(images)
        loss = statistics + self._settings["variation"] * total_variation
        loss = loss + self._settings["norm"] * grey_distance
        cross_entropy = None
        if labels is not None:
            cross_entropy = functional.cross_entropy(logits, labels)
            loss = loss + self._settings["class_weight"] * cross_entropy
        return Terms(loss, statistics, cross_entropy, total_variation, grey_distance, logits)
