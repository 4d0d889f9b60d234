"""Families of published networks by name, and the changes that small images need.

Names are torchvision's, or timm's with "timm/" in front. The workflow uses this module while it
plans, so nothing heavy is imported here.
"""

from __future__ import annotations

import difflib
import itertools

# The project's own: ``laq.models.architectures`` has their classes.
OWN = ("small_resnet", "lenet_300_100", "lenet5", "small_vit")
# Networks of torchvision, by the function of laq.models.small_images that fits them to small
# images.
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
# Beginnings of timm's names: timm has too many networks to list.
RESNETS = ("timm/resnet", "timm/resnext", "timm/wide_resnet")
# Vision transformers. No layer changes, but a patch is an eighth of the image's side.
TRANSFORMERS = ("timm/vit_", "timm/deit_")

# Normalisation of images from 0 to 1 where neither the weights nor the config give one.
MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)

# Networks that the project's tests and pages use.
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
    """Name of the function in ``laq.models.small_images`` for this architecture, or None."""
    if architecture.startswith(RESNETS):
        return "resnet"
    return next((stem for stem, names in STEMS.items() if architecture in names), None)


def for_small_images(architecture: str) -> bool:
    """Whether ``stem: small`` has a meaning for this architecture."""
    return stem(architecture) is not None or architecture.startswith(TRANSFORMERS)


def patch(side: int) -> int:
    """Pixels of a transformer's patch in images of ``side`` pixels: 4 in 32.

    It is an eighth of the side, or the next smaller number that divides the side, so that no pixel
    is left out.
    """
    return next(pixels for pixels in range(max(1, side // 8), 0, -1) if side % pixels == 0)


def hint(architecture: str) -> str:
    """Similar names, as the end of a sentence."""
    names = [*OWN, *itertools.chain(*STEMS.values()), *TESTED]
    matches = difflib.get_close_matches(architecture, dict.fromkeys(names), 3)
    return f"; did you mean {', '.join(matches)}?" if matches else ""
