"""Images of a generator that is trained against the fixed network, by class.

Xu et al., "Generative Low-bitwidth Data Free Quantization" (GDFQ), ECCV 2020: the generator's
images are to be of the classes asked for, and to have the statistics of every BatchNorm. In GDFQ
the generator is trained alongside the quantized network. Here it is trained first, and then gives
calibration images.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from laq.data_free.objective import Objective
from laq.data_free.pipeline import LossHistory, MadeImages, Request

# A small conditional generator of images, after that of GDFQ (Xu et al., ECCV 2020).


LATENT = 64
WIDTHS = (32, 16)  # channels at a half and at the whole of the side


class Generator(nn.Module):
    """Noise and a class to an image in [0, 1].

    The class's embedding scales the noise. A linear layer lays it out on a grid of a quarter of the
    side. Two convolutions follow, each on twice the side before. Every scale adds to the image, so
    that coarse structure is learned early. The BatchNorms always use the batch's own statistics, so
    that images are made as in training.
    """

    def __init__(self, classes: int, shape: tuple[int, int, int]) -> None:
        """shape: channels, height, width of the images."""
        super().__init__()
        channels, *self.sides = shape
        self.grid = tuple(-(-side // 4) for side in self.sides)
        widths = (WIDTHS[0], *WIDTHS)
        self.embedding = nn.Embedding(classes, LATENT)
        self.start = nn.Linear(LATENT, widths[0] * self.grid[0] * self.grid[1])
        self.norm = _norm(widths[0])
        self.finer = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, padding=1), _norm(b), nn.LeakyReLU(0.2))
            for a, b in pairwise(widths)
        )
        self.paint = nn.ModuleList(nn.Conv2d(width, channels, 3, padding=1) for width in widths)

    def forward(self, noise: Tensor, labels: Tensor) -> Tensor:
        """noise (n, LATENT), labels (n,): images (n, channels, height, width)."""
        x = self.start(noise * self.embedding(labels))
        x = self.norm(x.view(len(x), WIDTHS[0], *self.grid))
        image = self.paint[0](x)
        for block, head in zip(self.finer, self.paint[1:], strict=True):
            x = block(_doubled(x))
            image = _doubled(image) + head(x)
        height, width = self.sides
        return torch.sigmoid(image[..., :height, :width])


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, track_running_stats=False)


def _doubled(x: Tensor) -> Tensor:
    """Every pixel of x (n, c, h, w) four times: (n, c, 2h, 2w)."""
    # Not by interpolate, whose gradient on CUDA is summed in any order.
    n, c, h, w = x.shape
    return x[:, :, :, None, :, None].expand(n, c, h, 2, w, 2).reshape(n, c, 2 * h, 2 * w)


def make(
    network: nn.Module, request: Request, settings: Mapping[str, Any], generator: torch.Generator
) -> MadeImages:
    """Train a generator, and take images from it; see ``laq.data_free.registry.make``.

    settings: steps, batch_size and learning_rate (of Adam, falling to 0 by a cosine) of its
    training, and what ``Objective`` takes. ``request.classes`` must not be None.
    """
    objective = Objective(network, request.name, settings)
    device = next(network.parameters()).device
    steps, batch_size = settings["steps"], settings["batch_size"]
    classes = torch.tensor(request.classes)
    with torch.random.fork_rng(devices=[]):  # modules draw their weights from the global stream
        torch.manual_seed(generator.initial_seed())
        model = Generator(len(classes), request.shape).to(device)
    optimizer = torch.optim.Adam(model.parameters(), settings["learning_rate"])
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)

    def draw(places: torch.Tensor) -> torch.Tensor:
        noise = torch.randn(len(places), LATENT, generator=generator)
        return model(noise.to(device), places.to(device))

    history = LossHistory(steps)
    for step in tqdm(range(steps), desc="generator", mininterval=1):
        indices = torch.randint(len(classes), (batch_size,), generator=generator)
        labels = classes[indices].to(device)
        terms = objective(draw(indices), labels)
        history.note(1, step, terms, labels)
        optimizer.zero_grad()
        terms.loss.backward()
        optimizer.step()
        schedule.step()
    targets = request.labels(generator)
    indices = torch.searchsorted(classes, targets)
    batches = torch.arange(request.count).tensor_split(-(-request.count // batch_size))
    with torch.no_grad():
        pairs = [
            history.stored(number, objective, draw(indices[batch]), targets[batch].to(device))
            for number, batch in enumerate(batches, 1)
        ]
    images, image_labels = (torch.cat(tensors) for tensors in zip(*pairs, strict=True))
    return MadeImages(images, image_labels, history.rows)
