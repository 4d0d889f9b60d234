"""BatchNorm folded into the layer before it.

In evaluation mode BatchNorm is affine, y = s (z − μ) + β with s = γ / √(σ² + ε) a channel
(Ioffe & Szegedy 2015, section 3.1). The scale s moves into the layer's weight, the shift
β − s μ into its bias, which is added where there is none. Nothing is left of the BatchNorm
(Jacob et al., CVPR 2018, section 3.2).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, fx, nn

from laq.ptq import fidelity
from laq.ptq.fidelity import alterations
from laq.ptq.hook_runner import capture
from laq.ptq.module_state import copied
from laq.utils.errors import LaqError

Pair = tuple[str, str]

_PAIRS = ((nn.Conv2d, nn.BatchNorm2d), (nn.Linear, nn.BatchNorm1d))


@torch.no_grad()
def fold(network: nn.Module, graph: fx.Graph, image: Tensor) -> tuple[nn.Module, list[Pair]]:
    """A copy of ``network`` with BatchNorm folded, and the names of layers and their BatchNorms.

    The copy gives the same outputs in evaluation mode. A pair is a convolution or linear layer that
    computes what torch's does, and a BatchNorm that alone uses its output. Each is called once and
    shares no parameter with another module.

    Args:
        network: in evaluation mode.
        graph: its traced graph.
        image: one image (1, c, h, w), to see which linear layers take vectors: on tokens
            BatchNorm1d works over another dimension than the layer's outputs.
    """
    pairs, folded = pairs_of(network, graph, image), copied(network)
    shifts = {}
    for layer_name, norm_name in pairs:
        layer, norm = folded.get_submodule(layer_name), folded.get_submodule(norm_name)
        scale, shift = _affine(norm)
        layer.weight.mul_(scale.view(-1, *[1] * (layer.weight.ndim - 1)))
        shifts[layer_name] = shift if layer.bias is None else layer.bias * scale + shift
    apply(folded, pairs)
    for name, shift in shifts.items():
        folded.get_submodule(name).bias.copy_(shift)
    return folded, pairs


def pairs_of(network: nn.Module, graph: fx.Graph, image: Tensor) -> list[Pair]:
    """The names of layers and of the BatchNorms that can be folded into them, as in ``fold``."""
    return [
        (layer, norm)
        for layer, norm in _pairs(network, graph)
        if isinstance(network.get_submodule(layer), nn.Conv2d)
        or capture(network, norm, image.clone()).ndim == 2
    ]


def apply(network: nn.Module, pairs: Sequence[Pair]) -> nn.Module:
    """Give ``network`` the modules of one with folded ``pairs``, in place.

    Each layer gets a bias, and its BatchNorm becomes an identity. It is a kind of
    ``laq.checkpoints.graph_edits``.
    """
    modules = dict(network.named_modules())
    for layer_name, norm_name in pairs:
        layer, norm = modules.get(layer_name), modules.get(norm_name)
        if not any(isinstance(layer, a) and isinstance(norm, b) for a, b in _PAIRS):
            raise LaqError(f"{norm_name} is no BatchNorm behind a layer {layer_name}")
        if layer.bias is None:
            layer.bias = nn.Parameter(layer.weight.detach().new_zeros(len(layer.weight)))
        owner, _, attribute = norm_name.rpartition(".")
        setattr(modules[owner], attribute, nn.Identity())
    return network


def _pairs(network: nn.Module, graph: fx.Graph) -> Iterator[Pair]:
    """Names of (layer, BatchNorm) where the layer's output goes to the BatchNorm alone."""
    modules = dict(network.named_modules())
    owners = Counter(p for module in modules.values() for p in module._parameters.values())
    calls = Counter(node.target for node in graph.nodes if node.op == "call_module")
    accessed = {node.target.rpartition(".")[0] for node in graph.nodes if node.op == "get_attr"}

    def alone(name: str) -> bool:
        parameters = [p for p in modules[name]._parameters.values() if p is not None]
        shared = any(owners[parameter] > 1 for parameter in parameters)
        return calls[name] == 1 and name not in accessed and not shared

    for node in graph.nodes:
        users = list(node.users)
        if node.op != "call_module" or [user.op for user in users] != ["call_module"]:
            continue
        layer, norm = modules[node.target], modules[users[0].target]
        if (
            # A subclass of BatchNorm may do more than normalise.
            any(isinstance(layer, a) and type(norm) is b for a, b in _PAIRS)
            and "weight" in layer._parameters
            and fidelity.as_parent(layer, biased=True)
            and norm.running_mean is not None
            and not (alterations(layer) or alterations(norm))
            and alone(node.target)
            and alone(users[0].target)
        ):
            yield node.target, users[0].target


def _affine(norm: nn.BatchNorm1d | nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Scale and shift by channel."""
    scale = (norm.running_var + norm.eps).rsqrt()
    shift = -norm.running_mean * scale
    if norm.affine:
        scale, shift = scale * norm.weight, shift * norm.weight + norm.bias
    return scale, shift
