"""Weights that are made of something else, in every layer that holds them."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize


def attach(network: nn.Module, name: str, module: nn.Module) -> None:
    """Have ``module`` make the weight of the layer ``name`` of the parameter that it was."""
    weight = network.get_submodule(name).weight
    for layer in _holding(network, weight):
        _register(layer, module.to(weight.device))


def replace(network: nn.Module, name: str, module: nn.Module) -> None:
    """Have ``module`` make the weight of the layer ``name``; the parameter that it was is gone."""
    weight = network.get_submodule(name).weight
    for layer in _holding(network, weight):
        del layer.weight
        layer.register_buffer("weight", torch.zeros((), device=weight.device))
        _register(layer, module.to(weight.device))


def detach(network: nn.Module, name: str, weight: Tensor) -> None:
    """Make ``weight`` the plain parameter of the layer ``name`` and of those that share with it."""
    module = network.get_submodule(name).parametrizations.weight[0]
    plain = nn.Parameter(weight.detach().clone())
    changed = [m for m in network.modules() if parametrize.is_parametrized(m, "weight")]
    for layer in [m for m in changed if m.parametrizations.weight[0] is module]:
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
        layer.weight = plain


def _holding(network: nn.Module, weight: nn.Parameter) -> Iterator[nn.Module]:
    return iter([m for m in network.modules() if m._parameters.get("weight") is weight])


def _register(layer: nn.Module, module: nn.Module) -> None:
    parametrize.register_parametrization(layer, "weight", module, unsafe=True)
