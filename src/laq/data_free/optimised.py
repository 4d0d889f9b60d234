"""Images whose pixels are optimised themselves, of given classes or of none.

Cai et al., "ZeroQ: A Novel Zero Shot Quantization Framework", CVPR 2020, match the statistics of
every BatchNorm from noise; Yin et al., "Dreaming to Distill" (DeepInversion), CVPR 2020, add
classes, total variation, an L2 prior and random shifts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from laq.data_free.objective import Objective
from laq.data_free.pipeline import LossHistory, MadeImages, Request

# The most images that are optimised together: few have poor statistics, many take memory.
BATCH = 128

CONTRAST = 0.3  # standard deviation of the noise, in pixels from 0 to 1


def make(
    network: nn.Module, request: Request, settings: Mapping[str, Any], generator: torch.Generator
) -> MadeImages:
    """Optimise images from noise; see ``laq.data_free.registry.make``.

    settings: steps; learning_rate, of Adam, in pixels from 0 to 1, falling to 0 by a cosine; shift,
    the most pixels either way by which a batch is moved at random, wrapped around, before the
    network sees it; and what ``Objective`` takes.
    """
    objective = Objective(network, request.name, settings)
    labels, history = request.labels(generator), LossHistory(settings["steps"])
    device = next(network.parameters()).device
    pairs = []
    batches = torch.arange(request.count).tensor_split(-(-request.count // BATCH))
    for number, batch in enumerate(batches, 1):
        targets = None if labels is None else labels[batch].to(device)
        images = noise(len(batch), request.shape, generator).to(device).requires_grad_()
        optimizer = torch.optim.Adam([images], settings["learning_rate"])
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings["steps"])
        title = f"batch {number} of {len(batches)}"
        for step in tqdm(range(settings["steps"]), desc=title, mininterval=1):
            terms = objective(_shifted(images, settings["shift"], generator), targets)
            history.note(number, step, terms, targets)
            optimizer.zero_grad()
            terms.loss.backward()
            optimizer.step()
            schedule.step()
            with torch.no_grad():
                images.clamp_(0, 1)
        pairs.append(history.stored(number, objective, images.detach(), targets))
    all_images, all_labels = (torch.cat(tensors) for tensors in zip(*pairs, strict=True))
    return MadeImages(all_images, all_labels, history.rows)


def noise(count: int, shape: tuple[int, int, int], generator: torch.Generator) -> Tensor:
    """Noise in [0, 1], (count, c, h, w), with as much of every scale, around middle grey.

    The literature starts from white noise. To the first layers that is nothing like an image, and
    a few hundred steps do not change it: images have most of their spectrum at low frequencies.
    """
    channels, *size = shape
    images, cells = torch.zeros(count, *shape), 1
    while cells <= max(size):
        grid = torch.randn(count, channels, cells, cells, generator=generator)
        images += functional.interpolate(grid, size, mode="bilinear")
        cells *= 2
    return (0.5 + CONTRAST * images / images.std()).clamp(0, 1)


def _shifted(images: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """All ``images`` moved by the same shift, up to ``most`` pixels either way, wrapped around."""
    if not most:
        return images
    shifts = torch.randint(-most, most + 1, (2,), generator=generator).tolist()
    return images.roll(shifts, (2, 3))
