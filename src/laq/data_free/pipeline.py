"""How losses fall while images are made, and what is reached with the images as they are stored."""

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

    shape: channels, height, width. count: how many. classes: those that they are to be of, each
    as often, up to one; None for images of no class in particular.
    """

    name: str
    shape: tuple[int, int, int]
    count: int
    classes: tuple[int, ...] | None

    def labels(self, generator: torch.Generator) -> Tensor | None:
        """A class for each image, int64 (count,), in a random order; None where none is asked."""
        if self.classes is None:
            return None
        classes = torch.tensor(self.classes)
        rounds = -(-self.count // len(classes))
        orders = [torch.randperm(len(classes), generator=generator) for _ in range(rounds)]
        return classes[torch.cat(orders)][: self.count]


@dataclass(frozen=True, eq=False)
class MadeImages:
    """Images uint8 (n, c, h, w) and labels int64 (n,), on the CPU: the classes asked for, or where
    none were those that the network sees. course: rows of ``laq.data_free.pipeline``."""

    images: Tensor
    labels: Tensor
    course: Sequence[dict[str, Any]]


MARKS = 20  # measurements on the way


class LossHistory:
    """Rows of a making of ``steps``: the terms at some steps, and last of the stored images."""

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
        """``images`` in [0, 1] as uint8, and their labels: those asked for, or as they are seen.

        Both on the CPU.
        """
        whole = (images.clamp(0, 1) * 255).round().to(torch.uint8)
        terms = objective(to_input(whole, images.device), labels)
        self.rows.append({"batch": batch, "step": self._steps, **terms.row(labels)})
        given = terms.logits.argmax(1) if labels is None else labels
        return whole.cpu(), given.cpu()
