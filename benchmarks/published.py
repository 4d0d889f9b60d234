"""GPFQ computed the way it was published (Zhang, Zhou & Saab 2023), as what to compare with.

For every layer both networks run from the images up to it and through it, patches of its input are
unfolded at stride = kernel size and a share of each image's drawn with replacement, the radius of
the alphabet is a quantile of the weights, the columns are walked one by one over the errors
U (N, m) of all neurons, and these are compared with the outputs. Garbage is collected three times
a layer.
"""

from __future__ import annotations

import copy
import gc
import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

SCALE = 1.16


@dataclass(frozen=True)
class Published:
    """codes: (N, d) by name of layer, in the order of modules. collecting: seconds of garbage."""

    codes: dict[str, Tensor]
    collecting: float


class _Reached(Exception):
    """The layer has been reached; nothing behind it needs to run."""


@torch.no_grad()
def quantize_network(
    network: nn.Module,
    images: Tensor,
    bits: int,
    fraction: float,
    generator: torch.Generator,
    followed: Mapping[str, Tensor],
) -> Published:
    """Codes of every convolution and linear layer.

    The quantized network gets the weights ``followed``, by name, not these: a single value on the
    border of two levels would part two networks for good, and nothing behind it could be compared.
    """
    quantized, largest = copy.deepcopy(network), 2 ** (bits - 1)
    codes, collecting = {}, 0.0
    for name, layer in network.named_modules():
        if not isinstance(layer, nn.Conv2d | nn.Linear):
            continue
        collecting += _collect()
        twin = quantized.get_submodule(name)
        x, xq = _input(network, layer, images), _input(quantized, twin, images)
        if isinstance(layer, nn.Conv2d):
            x, xq = _unfold(layer, x), _unfold(layer, xq)
            drawn = _draw(len(images), len(x) // len(images), fraction, generator).to(x.device)
            x, xq = x[drawn], xq[drawn]
        collecting += _collect()
        weight = layer.weight.flatten(1)
        step = SCALE / largest * torch.quantile(weight.abs(), 1.0, dim=1).mean()
        codes[name] = walk_columns(weight, x, xq, step, largest)
        twin.weight.copy_(followed[name])
        collecting += _collect()
    return Published(codes, collecting)


def _collect() -> float:
    start = time.perf_counter()
    gc.collect()
    return time.perf_counter() - start


def walk_columns(weight: Tensor, x: Tensor, xq: Tensor, step: Tensor, largest: int) -> Tensor:
    """Codes (N, d) of ``weight`` (N, d) on inputs (m, d) of both networks."""
    u = weight.new_zeros(len(weight), len(x))
    quantized = torch.zeros_like(weight)
    for t in range(weight.shape[1]):
        u += weight[:, t].unsqueeze(1) * x[:, t].unsqueeze(0)
        norm = torch.linalg.norm(xq[:, t], 2) ** 2
        a = u.matmul(xq[:, t]) / norm if norm > 0 else torch.zeros_like(u[:, 0])
        quantized[:, t] = _nearest(a, step, largest)
        u -= quantized[:, t].unsqueeze(1) * xq[:, t].unsqueeze(0)
    # The errors it reports, of neurons and in all.
    torch.linalg.norm(u.T, dim=0) / (torch.linalg.norm(x @ weight.T, dim=0) + 1e-5)
    torch.linalg.norm(u) / torch.linalg.norm(x @ weight.T)
    return (quantized / step).round()


def _nearest(a: Tensor, step: Tensor, largest: int) -> Tensor:
    """The nearest level, halves up."""
    index = torch.abs(torch.floor(a / step + 0.5))
    return torch.sign(a) * step * torch.minimum(index, torch.ones_like(a) * largest)


def _input(network: nn.Module, layer: nn.Module, images: Tensor) -> Tensor:
    """What ``layer`` takes; it has run as well when that is seen."""
    seen = []

    def keep(module: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append(arguments[0])
        raise _Reached

    hook = layer.register_forward_hook(keep)
    try:
        network(images)
    except _Reached:
        pass
    finally:
        hook.remove()
    return seen[0]


def _unfold(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """Patches (m, d) of ``x``, none overlapping another."""
    kernel = layer.kernel_size
    patches = nn.functional.unfold(x, kernel, layer.dilation, layer.padding, stride=kernel)
    return patches.transpose(1, 2).flatten(0, 1)


def _draw(images: int, patches: int, fraction: float, generator: torch.Generator) -> Tensor:
    """Which patches become samples: of each image its share, drawn as ``laq.ptq.patches`` draws, so
    that codes can be compared."""
    drawn = torch.randint(patches, (images, int(fraction * patches) + 1), generator=generator)
    return (drawn.sort(dim=1).values + patches * torch.arange(images)[:, None]).flatten()
