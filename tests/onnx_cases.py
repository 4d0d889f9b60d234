"""A small network with quantized weights in a checkpoint, to be exported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from laq.checkpoints import packing
from laq.quantizers.packed_weight import PackedWeight
from laq.quantizers.uniform import Alphabet

SHAPE = (3, 8, 8)
CLASSES = ["é", "b", "c", "d"]


class Tiny(nn.Module):
    """Convolutions, one of them depthwise, BatchNorm with statistics, and a linear layer."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, bias=False)
        self.bn = nn.BatchNorm2d(6)
        self.depthwise = nn.Conv2d(6, 6, 3, groups=6)
        self.fc = nn.Linear(6, classes)
        self.bn.running_mean.normal_()
        self.bn.running_var.uniform_(0.5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.depthwise(self.bn(self.conv(x)).relu()).relu().mean((2, 3)))


def pack(rows: Tensor, shape: torch.Size, bits: int, scheme: str, **how: Any) -> PackedWeight:
    """Rows of a weight rounded to the nearest level; ``gap``: a threshold in steps."""
    gap, double = how.pop("gap", None), how.pop("double", False)
    alphabet = Alphabet.from_weights(rows.double() if double else rows, bits, scheme, **how)
    codes = alphabet.nearest(rows.to(alphabet.step.dtype))
    if gap is not None:
        alphabet = alphabet.with_gap(gap)
        codes = codes.clamp(-alphabet.largest, alphabet.largest)
    return PackedWeight(codes.view(-1, *shape[1:]), alphabet)


def quantize(
    network: nn.Module, bits: int | list[int] = 4, scheme: str = "packed", **how: Any
) -> dict[str, tuple[PackedWeight, ...]]:
    """Round every convolution and linear layer in place; a list of bits gives as many runs."""
    packed = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            widths = bits if isinstance(bits, list) else [bits]
            parts = module.weight.detach().flatten(1).tensor_split(len(widths))
            runs = tuple(
                pack(rows, module.weight.shape, width, scheme, **how)
                for rows, width in zip(parts, widths, strict=True)
            )
            module.weight.data = torch.cat([run.values for run in runs]).float()
            packed[f"{name}.weight"] = runs
    return packed


def save(path: Path, name: str, module: nn.Module, packed: dict[str, Any], **facts: Any) -> Path:
    """Write the checkpoint of a network that ``networks.create`` makes under this name."""
    description = {
        "network": {"name": name, "classes": len(CLASSES)},
        "classes": CLASSES,
        "variant": "quant",
        "bits": 4,
        "subset": [0, 2],
        **facts,
    }
    packing.save(path, module.state_dict(), description, packed)
    return path
