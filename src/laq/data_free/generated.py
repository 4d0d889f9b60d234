"""Images of a generator that is trained against the fixed network, by class.

Xu et al., "Generative Low-bitwidth Data Free Quantization" (GDFQ), ECCV 2020: the generator's
images are to be of the classes asked for, and to have the statistics of every BatchNorm. Theirs is
trained on beside the quantized network; ours is trained first, and gives calibration images.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from laq.data_free.generator import LATENT, Generator
from laq.data_free.objective import Objective
from laq.data_free.pipeline import LossHistory
from laq.data_free.request import MadeImages, Request


def make(
    network: nn.Module, request: Request, settings: Mapping[str, Any], generator: torch.Generator
) -> MadeImages:
    """Train a generator, and take images from it; see ``laq.data_free.kinds.make``.

    settings: steps, batch_size and learning_rate (of Adam, falling to 0 by a cosine) of its
    training, and what ``Objective`` takes. ``request.classes`` are given.
    """
    objective = Objective(network, request.name, settings)
    device = next(network.parameters()).device
    steps, size = settings["steps"], settings["batch_size"]
    classes = torch.tensor(request.classes)
    with torch.random.fork_rng(devices=[]):  # modules draw their weights from the global stream
        torch.manual_seed(generator.initial_seed())
        painter = Generator(len(classes), request.shape).to(device)
    optimiser = torch.optim.Adam(painter.parameters(), settings["learning_rate"])
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)

    def draw(places: torch.Tensor) -> torch.Tensor:
        noise = torch.randn(len(places), LATENT, generator=generator)
        return painter(noise.to(device), places.to(device))

    course = LossHistory(steps)
    for step in tqdm(range(steps), desc="generator", mininterval=1):
        places = torch.randint(len(classes), (size,), generator=generator)
        labels = classes[places].to(device)
        terms = objective(draw(places), labels)
        course.note(1, step, terms, labels)
        optimiser.zero_grad()
        terms.loss.backward()
        optimiser.step()
        schedule.step()
    asked = request.labels(generator)
    places = torch.searchsorted(classes, asked)
    parts = torch.arange(request.count).tensor_split(-(-request.count // size))
    with torch.no_grad():
        found = [
            course.stored(number, objective, draw(places[part]), asked[part].to(device))
            for number, part in enumerate(parts, 1)
        ]
    whole, given = (torch.cat(side) for side in zip(*found, strict=True))
    return MadeImages(whole, given, course.rows)
