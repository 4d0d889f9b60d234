"""A published network as it was trained, for the features of images it never saw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from laq import pretrained
from laq.architectures import build


class Extractor(nn.Module):
    """torchvision's network with its weights; takes float images in [0, 1], (n, 1 or 3, h, w).

    Images are resized, cropped to the centre and normalised as the weights ask (antialiased
    bilinear, 224 pixels and ImageNet's mean and std, most often); grey ones become RGB.
    """

    origin: dict[str, Any]  # what says of where the weights are from

    def __init__(self, architecture: str, weights: Mapping[str, Any]) -> None:
        """``weights``: name, download, and file where it is not torch's cache.

        Raises ``ConfigError`` for weights that torchvision does not have, ``DataError`` for a file
        that is missing, damaged or of other weights.
        """
        super().__init__()
        settings = {"source": "torchvision", **weights}
        published = pretrained.torchvision_weights(architecture, settings["name"])
        self.transforms = published.transforms()
        path, self.origin = pretrained.find(settings, architecture)
        classes, side = len(published.meta["categories"]), self.transforms.crop_size[0]
        self.body = build(architecture, classes, side, "standard")
        pretrained.load_into(self.body, pretrained.read(path), f"the weights in {path}", False)
        # GoogLeNet and Inception normalise anew, where they have published weights.
        if hasattr(self.body, "transform_input"):
            self.body.transform_input = True

    def forward(self, x: Tensor) -> Tensor:
        return self.body(self.transforms(x.expand(-1, 3, -1, -1)))


def create(architecture: str, weights: Mapping[str, Any]) -> Extractor:
    """The extractor in evaluation mode, in the channels-last layout, twice as fast on a CPU."""
    return Extractor(architecture, weights).to(memory_format=torch.channels_last).eval()
