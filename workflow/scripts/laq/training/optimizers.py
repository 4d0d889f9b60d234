"""What makes a step of the gradients: SGD with Nesterov momentum, AdamW."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from laq.training.recipe import Recipe


def create(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer over all parameters.

    ``adamw``: Loshchilov and Hutter 2019, torch's betas and epsilon.
    """
    groups, rate = _groups(network, recipe), recipe.learning_rate
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=rate, weight_decay=recipe.weight_decay)
    return torch.optim.SGD(
        groups,
        lr=rate,
        momentum=recipe.momentum,
        nesterov=recipe.momentum > 0,
        weight_decay=recipe.weight_decay,
    )


def _groups(network: nn.Module, recipe: Recipe) -> list[Any]:
    parameters = list(network.parameters())
    if recipe.decay_norms or not recipe.weight_decay:
        return parameters
    # One number a channel: biases and the parameters of every kind of normalisation.
    spared = [parameter for parameter in parameters if parameter.ndim <= 1]
    decayed = [parameter for parameter in parameters if parameter.ndim > 1]
    groups = [{"params": decayed}, {"params": spared, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]
