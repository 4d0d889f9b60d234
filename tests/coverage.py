"""Which layers of the published networks are quantized, measured; `python -m tests.coverage` prints
the table that docs/networks.md holds."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))

from laq.config import architectures
from laq.data import glyphs
from laq.experiments.compression import compress
from laq.models import networks
from laq.ptq.sequential import QuantizedNetwork
from tests.configs import compression

torch.set_num_threads(1)  # sums as in the table, and no waiting for busy cores

BITS = 8
HEAD = (
    "| architecture | parameters | Conv2d | Linear | quantized | left in float, and why | error |\n"
    "|---|--:|--:|--:|--:|---|--:|"
)


@dataclass(frozen=True)
class Measured:
    """A network with 100 classes and 32 × 32 images before and after it is quantized to 8 bits."""

    network: nn.Module
    result: QuantizedNetwork
    images: Tensor

    @property
    def error(self) -> float:
        """‖quantized logits − logits‖ / ‖logits‖ on the images it was calibrated on."""
        with torch.no_grad():
            logits, quantized = self.network(self.images), self.result.network(self.images)
        return float((quantized - logits).norm() / logits.norm())

    def row(self, architecture: str) -> str:
        kinds = Counter(type(module).__name__ for module in self.network.modules())
        parameters = sum(parameter.numel() for parameter in self.network.parameters())
        done = sum(not layer.reason for layer in self.result.layers)
        left = [f"`{x.layer}`: {x.reason}" for x in self.result.layers if x.reason] or ["none"]
        cells = (f"`{architecture}`", f"{parameters:,}", kinds["Conv2d"], kinds["Linear"], done)
        return f"| {' | '.join(map(str, cells))} | {'; '.join(left)} | {self.error:.2g} |"


@cache
def measured(architecture: str) -> Measured:
    """The network with fresh weights, its BatchNorm having seen the images."""
    torch.manual_seed(0)
    settings = {"classes": 8, "train_per_class": 4, "test_per_class": 1}
    images = torch.from_numpy(glyphs.make(settings, 0)[0].images) / 255
    network = networks.create(architecture, 100)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the mean over what it has seen
    with torch.no_grad():
        network.train()(images)
    generator = torch.Generator().manual_seed(0)
    result = compress(network.eval(), images, compression(bits=BITS), generator, generator)
    return Measured(network, result, images)


if __name__ == "__main__":
    print(HEAD)
    for name in architectures.TESTED:
        print(measured(name).row(name), flush=True)
