"""Random augmentation of training images, each image by itself.

Draws are made for a whole batch at once, from one generator, and applied to the part of it that a
process has. So any number of processes see the same images. Images stay uint8.
"""

from __future__ import annotations

import torch
from torch import Tensor

from laq.training.recipe import Recipe
from laq.utils.errors import ConfigError

# What a square cut out is filled with: the middle of the range, near 0 once normalised.
GREY = 128

# Policies by their names in torchvision.transforms.v2.
POLICIES = {"none": None, "randaugment": "RandAugment", "trivial": "TrivialAugmentWide"}


class Augmentation:
    """The recipe's augmentations, in the order shift, flip, policy, erase."""

    def __init__(self, recipe: Recipe, generator: torch.Generator) -> None:
        self.recipe, self.generator = recipe, generator

    def __call__(self, images: Tensor, count: int, part: slice) -> Tensor:
        """``images``, uint8 (k, c, h, w), are the ``part`` of a batch of ``count``; the same shape.

        The generator advances as far as ``count`` says, whatever the part.
        """
        recipe, (h, w) = self.recipe, images.shape[-2:]
        if recipe.shift:
            pixels = self._draw(2 * recipe.shift + 1, (2, count))[:, part] - recipe.shift
            images = shift(images, *pixels)
        if recipe.flip:
            images = flip(images, self._draw(2, (count,))[part] == 1)
        if recipe.policy != "none":
            images = policy(images, recipe.policy, self._draw(2**62, (count,))[part])
        if recipe.erase:
            rows, columns = self._draw(h, (count,))[part], self._draw(w, (count,))[part]
            images = erase(images, recipe.erase, rows, columns)
        return images

    def _draw(self, below: int, shape: tuple[int, ...]) -> Tensor:
        return torch.randint(0, below, shape, generator=self.generator)


def shift(images: Tensor, dy: Tensor, dx: Tensor) -> Tensor:
    """Images (n, c, h, w) that show at (y, x) what was at (y + dy, x + dx); edges repeated.

    dy, dx: pixels, int64 (n,).
    """
    n, _, h, w = images.shape
    device = images.device
    rows = dy.to(device)[:, None] + torch.arange(h, device=device)  # (n, h)
    columns = dx.to(device)[:, None] + torch.arange(w, device=device)  # (n, w)
    rows, columns = rows.clamp(0, h - 1), columns.clamp(0, w - 1)
    index = torch.arange(n, device=device)[:, None, None]
    # Advanced indices around a slice put the channel last: (n, h, w, c).
    return images[index, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def flip(images: Tensor, which: Tensor) -> Tensor:
    """Images (n, c, h, w), mirrored left to right where ``which``, bool (n,), is true."""
    return torch.where(which.to(images.device)[:, None, None, None], images.flip(-1), images)


def erase(images: Tensor, side: int, rows: Tensor, columns: Tensor) -> Tensor:
    """Images with a grey square each, its middle at (rows, columns), both (n,).

    Cutout, DeVries and Taylor 2017: the square may go beyond the edge. The middle of a square with
    an even side is the pixel below and to the right of its centre.
    """
    h, w = images.shape[-2:]
    device = images.device
    top, left = (middle.to(device)[:, None] - side // 2 for middle in (rows, columns))
    y, x = torch.arange(h, device=device), torch.arange(w, device=device)
    inside_rows, inside_columns = (y >= top) & (y < top + side), (x >= left) & (x < left + side)
    square = inside_rows[:, None, :, None] & inside_columns[:, None, None, :]  # (n, 1, h, w)
    return images.masked_fill(square, GREY)


def policy(images: Tensor, name: str, seeds: Tensor) -> Tensor:
    """Images, uint8 (n, c, h, w), each changed by torchvision's policy from its own seed (n,).

    ``randaugment``: Cubuk et al. 2020, two operations of magnitude 9. ``trivial``: TrivialAugment
    Wide, Müller and Hutter 2021, one operation of any magnitude. Images go one by one: given a
    batch, torchvision would draw once for all of it.

    Raises:
        ConfigError: the images have neither one channel nor three.
    """
    if images.shape[1] not in (1, 3):
        raise ConfigError(
            f"policy: {name} takes images of 1 or 3 channels, and these have {images.shape[1]}; "
            "set none (config key networks or variants)"
        )
    from torchvision.transforms import v2

    transform = getattr(v2, POLICIES[name])()
    augmented = torch.empty_like(images)
    # torchvision draws from torch's own generator, from which layers such as dropout draw too.
    rng_state = torch.get_rng_state()
    try:
        for index, seed in enumerate(seeds.tolist()):
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the GPU too
            augmented[index] = transform(images[index])
    finally:
        torch.set_rng_state(rng_state)
    return augmented
