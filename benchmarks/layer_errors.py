"""Relative output errors of methods on the same inputs of every layer.

GPFQ against plain rounding (RTN), and Qronos against GPFQ and GPTQ. The network so far is quantized
by the first of each comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
import workload
from torch import Tensor, nn

from laq import data
from laq.checkpoints import packing
from laq.ptq import gpfq, gptq, qronos, rtn, sequential
from laq.ptq.layer import QuantizedLayer, Samples
from laq.quantizers.uniform import Alphabet

BITS, IMAGES = (2, 3, 4), 64
METHODS: dict[str, Callable[..., QuantizedLayer]] = {
    "RTN": rtn.solve,
    "GPFQ": gpfq.solve,
    "GPTQ": partial(gptq.solve, damping=0.01),
    "Qronos": partial(qronos.solve, damping=0.01),
}
COMPARED = {"GPFQ": ("RTN",), "Qronos": ("GPFQ", "GPTQ")}


def compare(*files: str) -> None:
    """Print the share of layers where the first one's error is the smaller, and list the others.

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
    for method, others in COMPARED.items():
        for bits in BITS:
            errors = _errors(network, images, bits, (method, *others))
            for place, other in enumerate(others, start=1):
                worse = {name: row for name, row in errors.items() if row[0] > row[place]}
                below = len(errors) - len(worse)
                print(
                    f"{title}, {bits} bits: {method} not above {other} in {below} of "
                    f"{len(errors)} layers ({below / len(errors):.1%})"
                )
                for name, row in worse.items():
                    print(f"    not in {name}: {row[0]:.4f} against {row[place]:.4f}")


def _errors(
    network: nn.Module, images: Tensor, bits: int, methods: Sequence[str]
) -> dict[str, tuple[float, ...]]:
    """Errors of ``methods`` by layer, in a network that the first of them has quantized so far."""
    errors: list[tuple[float, ...]] = []

    def solve(weight: Tensor, samples: Samples, alphabet: Alphabet) -> QuantizedLayer:
        solutions = [METHODS[method](weight, samples, alphabet) for method in methods]
        errors.append(tuple(solution.error for solution in solutions))
        return solutions[0]

    alphabets = workload.paper_alphabets(bits)
    result = sequential.quantize_network(network, images, solver=solve, alphabets=alphabets)
    names = (layer.layer for layer in result.layers if layer.error is not None)
    return dict(zip(names, errors, strict=True))
