"""Requests for made images, and the history of their losses: while they are made, and as stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from laq.data_free.objective import Objective, Terms
from laq.models.networks import to_input

# What images are to be made, and what came of it.


@dataclass(frozen=True)
class Request:
    """Images to be made for the network called ``name``.

    shape: channels, height, width. count: how many. classes: those of the images, each equally
    often, to within one image; None for images of no class in particular.
    """

    name: str
    shape: tuple[int, int, int]
    count: int
    classes: tuple[int, ...] | None

    def labels(self, generator: torch.Generator) -> Tensor | None:
        """A class for each image, int64 (count,), in random order; None without classes."""
        if self.classes is None:
            return None
        classes = torch.tensor(self.classes)
        rounds = -(-self.count // len(classes))
        orders = [torch.randperm(len(classes), generator=generator) for _ in range(rounds)]
        return classes[torch.cat(orders)][: self.count]


@dataclass(frozen=True, eq=False)
class MadeImages:
    """Images uint8 (n, c, h, w) and labels int64 (n,), on the CPU. Labels are the classes asked
    for, or without these the network's predictions. course: rows of ``LossHistory``."""

    images: Tensor
    labels: Tensor
    course: Sequence[dict[str, Any]]


MARKS = 20  # about so many rows of a batch before its last


class LossHistory:
    """Rows of images that are made in ``steps``: the terms at some steps, and as stored."""

    def __init__(self, steps: int) -> None:
        self.rows: list[dict[str, Any]] = []
        self._steps, self._every = steps, max(1, steps // MARKS)

    def note(self, batch: int, step: int, terms: Terms, labels: Tensor | None) -> None:
        """The terms before ``step``, from 0 on, if it is time for a row."""
        if step % self._every == 0:
            self.rows.append({"batch": batch, "step": step, **terms.row(labels)})

    @torch.no_grad()
    def stored(
        self, batch: int, objective: Objective, images: Tensor, labels: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """``images`` in [0, 1] as uint8, and their labels: those asked for, or as predicted.

        Both on the CPU.
        """
        pixels = (images.clamp(0, 1) * 255).round().to(torch.uint8)
        terms = objective(to_input(pixels, images.device), labels)
        self.rows.append({"batch": batch, "step": self._steps, **terms.row(labels)})
        targets = terms.logits.argmax(1) if labels is None else labels
        return pixels.cpu(), targets.cpu()
