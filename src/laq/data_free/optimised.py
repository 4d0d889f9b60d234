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

# Images at most that are matched together: few have no statistics, many take memory.
BATCH = 128

CONTRAST = 0.3  # standard deviation of the noise, in pixels from 0 to 1


def make(
    network: nn.Module, request: Request, settings: Mapping[str, Any], generator: torch.Generator
) -> MadeImages:
    """Optimise images from noise; see ``laq.data_free.registry.make``.

    settings: steps; learning_rate, of Adam, in pixels from 0 to 1, falling to 0 by a cosine; shift,
    pixels either way that a batch is moved at random before the network sees it, wrapped around;
    and what ``Objective`` takes.
    """
    objective = Objective(network, request.name, settings)
    labels, course = request.labels(generator), LossHistory(settings["steps"])
    device = next(network.parameters()).device
    found = []
    parts = torch.arange(request.count).tensor_split(-(-request.count // BATCH))
    for number, part in enumerate(parts, 1):
        asked = None if labels is None else labels[part].to(device)
        images = noise(len(part), request.shape, generator).to(device).requires_grad_()
        optimiser = torch.optim.Adam([images], settings["learning_rate"])
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings["steps"])
        title = f"batch {number} of {len(parts)}"
        for step in tqdm(range(settings["steps"]), desc=title, mininterval=1):
            terms = objective(_shifted(images, settings["shift"], generator), asked)
            course.note(number, step, terms, asked)
            optimiser.zero_grad()
            terms.loss.backward()
            optimiser.step()
            schedule.step()
            with torch.no_grad():
                images.clamp_(0, 1)
        found.append(course.stored(number, objective, images.detach(), asked))
    whole, given = (torch.cat(side) for side in zip(*found, strict=True))
    return MadeImages(whole, given, course.rows)


def noise(count: int, shape: tuple[int, int, int], generator: torch.Generator) -> Tensor:
    """Noise in [0, 1], (count, c, h, w), with as much of every scale, around middle grey.

    White noise, from which the literature starts, is nothing like an image to the first layers, and
    a few hundred steps do not make it so: images have most of their spectrum at low frequencies.
    """
    channels, *side = shape
    images, cells = torch.zeros(count, *shape), 1
    while cells <= max(side):
        grid = torch.randn(count, channels, cells, cells, generator=generator)
        images += functional.interpolate(grid, side, mode="bilinear")
        cells *= 2
    return (0.5 + CONTRAST * images / images.std()).clamp(0, 1)


def _shifted(images: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """All ``images`` moved alike, up to ``most`` pixels either way."""
    if not most:
        return images
    moves = torch.randint(-most, most + 1, (2,), generator=generator).tolist()
    return images.roll(moves, (2, 3))
