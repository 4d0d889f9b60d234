"""How far batches of a network's activations are from the running statistics of its BatchNorms.

A BatchNorm keeps mean and variance that its inputs had in training, channel by channel: all that
a trained network says of its data. Images whose activations have them as well stand in for that
data (Cai et al., "ZeroQ", CVPR 2020; Yin et al., "Dreaming to Distill", CVPR 2020).
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from laq.utils.errors import ConfigError


def distance(inputs: Tensor, mean: Tensor, variance: Tensor, eps: float) -> Tensor:
    """Of a BatchNorm's ``inputs`` (n, c, …) from its running ``mean`` and ``variance`` (c,): ().

    The squared 2-Wasserstein distance between normal distributions of these moments,
    (μ − m)² + (σ − s)², in units of the channel's variance, averaged over channels: channels
    differ in scale by decades, and what follows sees them divided by it. ``eps``, BatchNorm's own,
    is added to both variances, so that silent channels count as they do there.
    """
    over = [axis for axis in range(inputs.ndim) if axis != 1]
    found, centre = torch.var_mean(inputs, over, correction=0)  # (c,) each
    shift = (centre - mean).square() / (variance + eps)
    spread = ((found + eps) / (variance + eps)).sqrt() - 1
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
        measured = norms(network)
        if not measured:
            raise ConfigError(
                f"networks.{name}: it has no BatchNorm ({type(network).__name__}), and images are "
                "made from its statistics: calibrate on training images "
                "(compress.images_from: training)"
            )
        for place, norm in measured.items():
            norm.register_forward_pre_hook(partial(self._measure, place))

    def _measure(self, place: str, norm: _BatchNorm, args: tuple[Tensor, ...]) -> None:
        self._found[place] = distance(args[0], norm.running_mean, norm.running_var, norm.eps)

    def loss(self) -> Tensor:
        """Of the last forward pass: (), the mean over the BatchNorms that it came to."""
        found = torch.stack(list(self._found.values())).mean()
        self._found.clear()
        return found
