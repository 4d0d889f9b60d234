"""Families of published networks by name, and what small images ask of them.

Names are torchvision's, or with "timm/" in front timm's. The workflow asks while it plans:
nothing heavy is imported here.
"""

from __future__ import annotations

import difflib
import itertools

# The project's own: ``laq.models.architectures`` has their classes.
OWN = ("small_resnet", "lenet_300_100", "lenet5", "small_vit")
# Function of laq.models.small_images to the networks of torchvision that it fits to small images.
STEMS = {
    "resnet": (
        *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
        *("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d"),
        *("wide_resnet50_2", "wide_resnet101_2"),
    ),
    "googlenet": ("googlenet",),
    "densenet": ("densenet121", "densenet161", "densenet169", "densenet201"),
    "mobilenet": ("mobilenet_v2",),
    "efficientnet": tuple(f"efficientnet_b{size}" for size in range(8)),
    "vgg": tuple(f"vgg{depth}{norm}" for depth in (11, 13, 16, 19) for norm in ("", "_bn")),
    "alexnet": ("alexnet",),
}
# timm has so many that their names' beginnings must do.
RESNETS = ("timm/resnet", "timm/resnext", "timm/wide_resnet")
# Vision transformers: no layer changes, their patches are an eighth of the image's side.
TRANSFORMERS = ("timm/vit_", "timm/deit_")

# How images from 0 to 1 are normalised where neither weights nor the config say.
MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)

# What the project's tests and pages speak of.
TESTED = (
    "resnet18",
    "resnet50",
    "vgg16_bn",
    "googlenet",
    "mobilenet_v2",
    "densenet121",
    "alexnet",
    "efficientnet_b0",
    "timm/vit_tiny_patch16_224",
)


def stem(architecture: str) -> str | None:
    """Name of the function of ``laq.models.small_images`` for this architecture, None if it has
    none.
    """
    if architecture.startswith(RESNETS):
        return "resnet"
    return next((stem for stem, names in STEMS.items() if architecture in names), None)


def for_small_images(architecture: str) -> bool:
    """Whether ``stem: small`` has a meaning for this architecture."""
    return stem(architecture) is not None or architecture.startswith(TRANSFORMERS)


def patch(side: int) -> int:
    """Pixels of a transformer's patch in images of ``side`` pixels: 4 in 32.

    An eighth of the side, or the next smaller number that divides it: no pixel is left out.
    """
    return next(pixels for pixels in range(max(1, side // 8), 0, -1) if side % pixels == 0)


def hint(architecture: str) -> str:
    """Names that may have been meant, as the end of a sentence."""
    names = [*OWN, *itertools.chain(*STEMS.values()), *TESTED]
    close = difflib.get_close_matches(architecture, dict.fromkeys(names), 3)
    return f"; did you mean {', '.join(close)}?" if close else ""
