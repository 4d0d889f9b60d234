"""The optimizers: SGD with Nesterov momentum, and AdamW."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import nn

from laq.training.constraints import Group
from laq.training.recipe import Recipe


def create(network: nn.Module, recipe: Recipe, own: Sequence[Group] = ()) -> torch.optim.Optimizer:
    """The recipe's optimizer over all parameters.

    ``adamw``: Loshchilov and Hutter 2019, torch's betas and epsilon. ``own``: the groups of a
    constraint.
    """
    rate = recipe.learning_rate
    groups = _groups(network, recipe, {id(p) for group in own for p in group["params"]})
    for group in own:
        settings = {key: value for key, value in group.items() if key != "share"}
        groups.append({**settings, "lr": rate * group.get("share", 1.0)})
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=rate, weight_decay=recipe.weight_decay)
    return torch.optim.SGD(
        groups,
        lr=rate,
        momentum=recipe.momentum,
        nesterov=recipe.momentum > 0,
        weight_decay=recipe.weight_decay,
    )


def _groups(network: nn.Module, recipe: Recipe, apart: Collection[int]) -> list[Any]:
    parameters = [p for p in network.parameters() if id(p) not in apart]
    if apart and (recipe.decay_norms or not recipe.weight_decay):
        return [{"params": parameters}]
    if recipe.decay_norms or not recipe.weight_decay:
        return parameters
    # One number a channel: biases and the parameters of every kind of normalisation.
    undecayed = [parameter for parameter in parameters if parameter.ndim <= 1]
    decayed = [parameter for parameter in parameters if parameter.ndim > 1]
    groups = [{"params": decayed}, {"params": undecayed, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]
