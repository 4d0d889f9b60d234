"""The project's own architectures by name: one line each.

An architecture is a class that takes ``classes``, ``channels``, where it needs it ``side`` (pixels
of a square image), and options of its own. ``laq.config.architectures`` has their names.
"""

from __future__ import annotations

from torch import nn

from laq.models.lenets import LeNet5, LeNet300100
from laq.models.small_resnet import SmallResNet
from laq.models.vit import SmallViT

ARCHITECTURES: dict[str, type[nn.Module]] = {
    "small_resnet": SmallResNet,
    "lenet_300_100": LeNet300100,
    "lenet5": LeNet5,
    "small_vit": SmallViT,
}
