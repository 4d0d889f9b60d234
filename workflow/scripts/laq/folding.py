"""BatchNorm folded into the convolution before it.

In evaluation mode BatchNorm is affine, y = s (z − μ) + β with s = γ / √(σ² + ε) a channel
(Ioffe & Szegedy 2015, section 3.1). The scale s moves into the weight; the BatchNorm keeps the
shift, so that the state dict has the names and shapes it had.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator

import torch
from torch import Tensor, fx, nn

from laq.hooks import capture

_PAIRS = ((nn.Conv2d, nn.BatchNorm2d), (nn.Linear, nn.BatchNorm1d))


@torch.no_grad()
def fold(network: nn.Module, graph: fx.Graph, image: Tensor) -> tuple[nn.Module, list[str]]:
    """A copy of ``network`` with BatchNorm folded, and the names of the layers it went into.

    The copy gives the same outputs in evaluation mode; statistics of its folded BatchNorms must
    not be updated any more. Folded are pairs of a convolution or linear layer and the BatchNorm
    that alone uses its output, each called once and sharing no parameter with another module.

    Args:
        network: in evaluation mode.
        graph: its traced graph.
        image: one image (1, c, h, w), to see which linear layers take vectors: on tokens
            BatchNorm1d works over another dimension than the layer's outputs.
    """
    folded = copy.deepcopy(network)
    names = []
    for layer_name, norm_name in _pairs(network, graph):
        layer, norm = folded.get_submodule(layer_name), folded.get_submodule(norm_name)
        vectors = (
            isinstance(layer, nn.Conv2d) or capture(network, norm_name, image.clone()).ndim == 2
        )
        if vectors:
            _fold_pair(layer, norm)
            names.append(layer_name)
    return folded, names


def _pairs(network: nn.Module, graph: fx.Graph) -> Iterator[tuple[str, str]]:
    """Names of (layer, BatchNorm) where the one alone feeds the other."""
    modules = dict(network.named_modules())
    owners = Counter(p for module in modules.values() for p in module._parameters.values())
    calls = Counter(node.target for node in graph.nodes if node.op == "call_module")
    read = {node.target.rpartition(".")[0] for node in graph.nodes if node.op == "get_attr"}

    def alone(name: str) -> bool:
        parameters = [p for p in modules[name]._parameters.values() if p is not None]
        shared = any(owners[parameter] > 1 for parameter in parameters)
        return calls[name] == 1 and name not in read and not shared

    for node in graph.nodes:
        users = list(node.users)
        if node.op != "call_module" or [user.op for user in users] != ["call_module"]:
            continue
        layer, norm = modules[node.target], modules[users[0].target]
        if (
            any(isinstance(layer, a) and isinstance(norm, b) for a, b in _PAIRS)
            and "weight" in layer._parameters
            and norm.running_mean is not None
            and alone(node.target)
            and alone(users[0].target)
        ):
            yield node.target, users[0].target


def _fold_pair(layer: nn.Conv2d | nn.Linear, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> None:
    scale = (norm.running_var + norm.eps).rsqrt()
    shift = -norm.running_mean * scale
    if norm.affine:
        scale, shift = scale * norm.weight, shift * norm.weight + norm.bias
        norm.weight.fill_(1)
        norm.bias.fill_(0)
    layer.weight.mul_(scale.view(-1, *[1] * (layer.weight.ndim - 1)))
    if layer.bias is not None:
        layer.bias.mul_(scale)
    norm.running_mean.copy_(-shift)
    norm.running_var.fill_(1 - norm.eps)
