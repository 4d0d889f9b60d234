"""Calibration images: their choice, and their chunks in the form that networks take."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from laq.models.networks import memory_format, to_input
from laq.utils import seeds
from laq.utils.errors import DataError

# Images a chunk. The last bits of a layer's samples depend on it, so it is the same on every
# machine. Of 32 to 256, 128 gave the fastest forward pass of a ResNet-50 on two cores.
CHUNK = 128


@dataclass(frozen=True, eq=False)
class CalibrationImages:
    """Images (n, c, h, w), uint8 or floats, as a sequence of chunks in the form a network takes.

    Each access makes a chunk anew, on the network's device and in its dtype, so that networks
    may work on their input in place.
    """

    images: Tensor
    device: torch.device
    dtype: torch.dtype
    layout: torch.memory_format = torch.contiguous_format

    @classmethod
    def of(cls, images: Tensor, network: nn.Module) -> CalibrationImages:
        """``images`` for ``network``, in the layout that it is fastest in.

        Raises ``DataError`` where there are none, or they are neither uint8 nor floats.
        """
        images = torch.as_tensor(images)
        if len(images) == 0:
            raise DataError("there are no calibration images: give at least one")
        if images.dtype != torch.uint8 and not images.is_floating_point():
            raise DataError(f"calibration images are {images.dtype}: give uint8, or floats")
        parameter = next(network.parameters(), torch.empty(0))
        first = cls(images[:1], parameter.device, parameter.dtype)
        return replace(first, images=images, layout=memory_format(network, first.chunk(0)))

    def draw(self, count: int, generator: torch.Generator) -> CalibrationImages:
        """A batch of ``count`` images drawn without replacement, or all where there are fewer."""
        indices = torch.randperm(len(self.images), generator=generator)[:count]
        return replace(self, images=self.images[indices.to(self.images.device)])

    def __len__(self) -> int:
        return -(-len(self.images) // CHUNK)

    def __iter__(self) -> Iterator[Tensor]:
        return map(self.chunk, range(len(self)))

    def chunk(self, index: int) -> Tensor:
        """Images from index · CHUNK on, ``CHUNK`` at most, as the network takes them."""
        images = self.images[index * CHUNK : (index + 1) * CHUNK]
        if images.dtype == torch.uint8:
            return to_input(images, self.device, self.layout).to(self.dtype)
        return images.to(self.device, self.dtype, copy=True, memory_format=self.layout)


def spread(images: Tensor, count: int) -> Tensor:
    """``count`` of ``images`` (n, c, h, w) at equal distances; all where there are fewer."""
    taken = min(count, len(images))
    return images[torch.arange(taken) * len(images) // max(1, taken)]


def positions(labels: np.ndarray, classes: list[int] | None) -> np.ndarray:
    """Positions of the images of ``classes``, or of every class where None; sorted (k,) int64."""
    if classes is None:
        return np.arange(len(labels))
    return np.flatnonzero(np.isin(labels, classes))


def calibration_pool(
    labels: np.ndarray,
    classes: list[int] | None,
    subset: list[int],
    settings: dict[str, Any],
    seed: int,
) -> tuple[np.ndarray, int]:
    """Positions of the images to calibrate on, or to draw from, and how many a layer sees.

    They are among the images of ``classes``, or of every class where None. Keys of ``settings``:

    - images: a number, or ``all``. Of training images there are never more than the ``subset``
      itself has, so that variants calibrated on other classes see as many.
    - images_from: ``training``, or a source of images that were made for calibration, so that
      labels do not limit their number.
    - batch: with ``fresh`` layers draw their own batches, so that all images are taken here.

    The draw depends on the ``subset`` it is for, so that subsets do not share one batch. Positions
    are sorted (k,) int64.
    """
    eligible = positions(labels, classes)
    count = len(eligible)
    if settings.get("images_from", "training") == "training":
        count = min(count, int(np.isin(labels, subset).sum()))
    if settings["images"] != "all":
        count = min(count, settings["images"])
    if settings["batch"] == "fresh" or count == len(eligible):
        return eligible, count
    generator = seeds.stream(seed, "calibration", *sorted(subset))
    return np.sort(generator.choice(eligible, count, replace=False)), count
