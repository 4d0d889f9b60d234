"""What made images are to be: to BatchNorm like the training data, of a class, and images."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from laq.data_free import priors
from laq.data_free.statistics import Statistics


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
        # Channels last, the faster layout of convolutions.
        own = copy.deepcopy(network).to(memory_format=torch.channels_last)
        self._network = own.eval().requires_grad_(False)
        self._statistics = Statistics(self._network, name)
        self._settings = settings

    def __call__(self, images: Tensor, labels: Tensor | None) -> Terms:
        """Of ``images`` in [0, 1] (n, c, h, w), asked to be of ``labels`` (n,) unless None."""
        logits = self._network(images.contiguous(memory_format=torch.channels_last))
        statistics = self._statistics.loss()
        variation, norm = priors.variation(images), priors.norm(images)
        loss = statistics + self._settings["variation"] * variation
        loss = loss + self._settings["norm"] * norm
        entropy = None
        if labels is not None:
            entropy = functional.cross_entropy(logits, labels)
            loss = loss + self._settings["class_weight"] * entropy
        return Terms(loss, statistics, entropy, variation, norm, logits)
