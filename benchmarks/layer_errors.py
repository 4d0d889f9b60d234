"""Relative output error of GPFQ and of plain rounding (RTN) on the same inputs of every layer."""

from __future__ import annotations

from pathlib import Path

import torch
import workload
from torch import Tensor, nn

from laq import data
from laq.checkpoints import packing
from laq.ptq import gpfq, rtn, sequential
from laq.ptq.layer import QuantizedLayer, Samples
from laq.quantizers.uniform import Alphabet

BITS, IMAGES = (2, 3, 4), 64


def compare(*files: str) -> None:
    """Print the share of layers where GPFQ's error is the smaller one, and list the others.

    For ResNet-50, or for a network on images of a study: ``files`` are its checkpoint, images
    (train.npz) and classes (classes.json).
    """
    if not files:
        _compare("ResNet-50", workload.resnet50(), workload.images(IMAGES))
    else:
        checkpoint, images, classes = files
        network = packing.load(checkpoint)
        pool = torch.as_tensor(data.load(images, classes).images)
        drawn = torch.randperm(len(pool), generator=torch.Generator().manual_seed(0))[:IMAGES]
        _compare(Path(checkpoint).stem, network, pool[drawn])


def _compare(title: str, network: nn.Module, images: Tensor) -> None:
    for bits in BITS:
        errors = _errors(network, images, bits)
        others = {name: pair for name, pair in errors.items() if pair[0] >= pair[1]}
        below = len(errors) - len(others)
        print(
            f"{title}, {bits} bits: GPFQ below RTN in {below} of {len(errors)} layers "
            f"({below / len(errors):.1%})"
        )
        for name, (ours, rounded) in others.items():
            print(f"    not in {name}: {ours:.4f} against {rounded:.4f}")


def _errors(network: nn.Module, images: Tensor, bits: int) -> dict[str, tuple[float, float]]:
    """Errors of GPFQ and RTN by layer, in a network that GPFQ has quantized so far."""
    errors: list[tuple[float, float]] = []

    def solve(weight: Tensor, samples: Samples, alphabet: Alphabet) -> QuantizedLayer:
        solution = gpfq.solve(weight, samples, alphabet)
        errors.append((solution.error, rtn.solve(weight, samples, alphabet).error))
        return solution

    alphabets = workload.paper_alphabets(bits)
    result = sequential.quantize_network(network, images, solver=solve, alphabets=alphabets)
    names = (layer.layer for layer in result.layers if layer.error is not None)
    return dict(zip(names, errors, strict=True))
