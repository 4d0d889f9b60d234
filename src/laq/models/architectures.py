"""Published architectures by their torchvision or timm names, as networks of images in [0, 1]."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from laq.config import architectures
from laq.config.architectures import MEAN, STD
from laq.models import small_images
from laq.models.lenets import LeNet5, LeNet300100
from laq.models.small_resnet import SmallResNet
from laq.models.vit import SmallViT
from laq.utils.errors import ConfigError

# The project's own architectures by name: one line each.
#
# An architecture is a class that takes ``classes``, ``channels``, where it needs it ``side``
# (pixels of a square image), and options of its own. ``laq.config.architectures`` has their names.


ARCHITECTURES: dict[str, type[nn.Module]] = {
    "small_resnet": SmallResNet,
    "lenet_300_100": LeNet300100,
    "lenet5": LeNet5,
    "small_vit": SmallViT,
}


TIMM = "timm/"


class Classifier(nn.Module):
    """A published network behind the preparation of its images: ``body(prepare(x))``.

    Takes float images in [0, 1], (n, channels, h, w); grey ones enter as three equal channels.
    Returns logits (n, classes).
    """

    def __init__(
        self,
        architecture: str,
        classes: int,
        channels: int = 3,
        side: int = 32,
        stem: Literal["small", "standard"] = "small",
        resize: int | None = None,
        crop: int | None = None,
        mean: Sequence[float] = MEAN,
        std: Sequence[float] = STD,
    ) -> None:
        """``side``: pixels of the images; ``resize``, ``crop``, ``mean``, ``std``: of ``Prepare``.

        Raises ``ConfigError`` for a crop that is larger than the images.
        """
        super().__init__()
        if channels not in (1, 3):
            raise ConfigError(
                f"{architecture} takes grey or RGB images, not images of {channels} channels"
            )
        if crop and crop > (resize or side):
            raise ConfigError(
                f"{architecture}: crop {crop} is more than the {resize or side} pixels of the "
                "images: set networks.<id>.resize to as many or more, or a smaller crop"
            )
        self.prepare = Prepare(channels, resize, crop, mean, std)
        self.body = build(architecture, classes, crop or resize or side, stem)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(self.prepare(x))


class Prepare(nn.Module):
    """Grey to RGB, ``Resize(resize)``, ``CenterCrop(crop)`` and ``Normalize(mean, std)``.

    These are torchvision's transforms of float images (bilinear, antialiased), for squares. For a
    PIL image torchvision's ``Resize`` rounds to whole grey levels, so a pixel may differ by one
    level of 255.
    """

    def __init__(
        self,
        channels: int,
        resize: int | None,
        crop: int | None,
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        super().__init__()
        self.channels, self.resize, self.crop = channels, resize, crop
        # Settings, not weights: they are in a checkpoint's description.
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, _by_channel(values), persistent=False)

    def extra_repr(self) -> str:
        return f"channels={self.channels}, resize={self.resize}, crop={self.crop}"

    def forward(self, x: Tensor) -> Tensor:
        if self.channels == 1:
            x = x.expand(-1, 3, -1, -1)
        if self.resize is not None:
            size = (self.resize, self.resize)
            x = nn.functional.interpolate(x, size, mode="bilinear", antialias=True)
        if self.crop is not None:
            offset = round((x.shape[-1] - self.crop) / 2)
            x = x[..., offset : offset + self.crop, offset : offset + self.crop]
        return (x - self.mean) / self.std


def build(architecture: str, classes: int, side: int, stem: str) -> nn.Module:
    """The network as its library makes it, with fresh weights, for RGB images of ``side`` pixels.

    ``stem``: small, see ``laq.models.small_images``, or standard. Raises ``ConfigError`` for a name
    that its library does not have.
    """
    try:
        if architecture.startswith(TIMM):
            network = _timm(architecture.removeprefix(TIMM), classes, side, stem)
        else:
            network = _torchvision(architecture, classes, side)
    except (RuntimeError, AssertionError, TypeError, ValueError) as error:
        raise ConfigError(
            f"{architecture} cannot be built for images of {side} pixels and {classes} classes "
            f"({str(error) or type(error).__name__}): set stem: standard, and resize to the size "
            "it was made for, or take another network"
        ) from error
    if stem == "small" and not architecture.startswith(architectures.TRANSFORMERS):
        network = small_images.small(network, architecture, side)
    return network


def _torchvision(name: str, classes: int, side: int) -> nn.Module:
    from torchvision import models

    names = models.list_models(module=models)
    if name not in names:
        raise ConfigError(
            f"no network is called {name!r}: names are {', '.join(ARCHITECTURES)}, those of "
            f"torchvision, and timm/ with those of timm{_hint(name, [*ARCHITECTURES, *names])}"
        )
    options = {}
    if name in ("googlenet", "inception_v3"):  # no auxiliary heads, no warning
        options = {"aux_logits": False, "init_weights": True}
    if name.startswith("vit_"):
        options = {"image_size": side}
    return models.get_model(name, weights=None, num_classes=classes, **options)


def _timm(name: str, classes: int, side: int, stem: str) -> nn.Module:
    import timm

    if not timm.is_model(name):
        raise ConfigError(f"timm has no network {name!r}{_hint(name, timm.list_models())}")
    options = {}
    if f"{TIMM}{name}".startswith(architectures.TRANSFORMERS):
        options["img_size"] = side
        if stem == "small":
            options["patch_size"] = architectures.patch(side)
    return timm.create_model(name, pretrained=False, num_classes=classes, **options)


def _by_channel(values: Sequence[float]) -> Tensor:
    if len(values) != 3:
        raise ConfigError(f"mean and std are three numbers, one a channel, not {list(values)}")
    return torch.tensor(values, dtype=torch.float32).view(3, 1, 1)


def _hint(name: str, known: Sequence[str]) -> str:
    matches = difflib.get_close_matches(name, known, 3)
    return f"; did you mean {', '.join(matches)}?" if matches else ""
