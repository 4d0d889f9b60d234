"""A network with published weights, for the features of images it was not trained on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from laq.checkpoints import pretrained
from laq.models.architectures import Prepare, build

IMAGENET = 1000  # classes; a head for others stays, since features come before it


class Extractor(nn.Module):
    """A network with its weights; takes float images in [0, 1], (n, 1 or 3, h, w).

    Images are resized, cropped to the centre and normalised, antialiased. torchvision's weights say
    how; for other weights the settings do. Grey images become RGB.
    """

    origin: dict[str, Any]  # record of where the weights are from

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """``settings``: ``features`` of the config.

        Raises ``ConfigError`` for weights that torchvision does not have, ``DataError`` for a file
        that is missing, damaged or of other weights.
        """
        super().__init__()
        architecture, weights = settings["architecture"], settings["weights"]
        self.transforms: nn.Module
        if weights["source"] == "torchvision":
            published = pretrained.torchvision_weights(architecture, weights["name"])
            self.transforms = published.transforms()
            classes, side = len(published.meta["categories"]), self.transforms.crop_size[0]
        else:
            resize, crop = settings["resize"], settings["crop"]
            self.transforms = Prepare(3, resize, crop, settings["mean"], settings["std"])
            classes, side = IMAGENET, crop
        path, self.origin = pretrained.find(weights, architecture)
        self.body = build(architecture, classes, side, "standard")
        new_head = weights["source"] != "torchvision"
        pretrained.put_into(self.body, path, weights, new_head, classes)
        # GoogLeNet and Inception normalise anew, where they have published weights.
        if not new_head and hasattr(self.body, "transform_input"):
            self.body.transform_input = True

    def forward(self, x: Tensor) -> Tensor:
        return self.body(self.transforms(x.expand(-1, 3, -1, -1)))


def create(settings: Mapping[str, Any]) -> Extractor:
    """The extractor in evaluation mode."""
    return Extractor(settings).eval()
