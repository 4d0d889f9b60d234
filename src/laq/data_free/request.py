"""What images are to be made, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


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
