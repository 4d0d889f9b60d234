"""Top-1 and top-5 over all classes and over a subset's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from laq.utils.errors import DataError


@dataclass(frozen=True)
class Score:
    """Counts and rates of one network over one scope.

    scope: with ``all`` the prediction is the best of all classes, with ``subset`` the best of the
        subset's. Both are over the test images of the subset's classes, as in the study.
    correct, correct5: images whose class is the best, or among the five best; correct5 and
        top5 are None where five classes or fewer compete.
    in_subset: images whose best class belongs to the subset.
    """

    scope: str
    n: int
    correct: int
    correct5: int | None
    in_subset: int
    top1: float
    top5: float | None


def score(logits: Tensor, labels: Tensor, subset: Sequence[int]) -> list[Score]:
    """Scores over both scopes.

    Args:
        logits: (n, classes), finite.
        labels: (n,) int64, each in ``subset``.
        subset: indices of the subset's classes.

    Raises:
        DataError: a label outside the subset, no image, or logits that are not finite.
    """
    members = torch.as_tensor(sorted(subset))
    if not len(labels) or not torch.isin(labels, members).all():
        raise DataError("evaluation takes images of the subset's classes, and at least one")
    if not torch.isfinite(logits).all():
        raise DataError("the network's outputs are not finite, so it cannot be evaluated")
    outside = torch.ones(logits.shape[1], dtype=torch.bool)
    outside[members] = False
    restricted = logits.masked_fill(outside, -torch.inf)
    return [_score("all", logits, labels, members), _score("subset", restricted, labels, members)]


def _score(scope: str, logits: Tensor, labels: Tensor, members: Tensor) -> Score:
    # A stable sort: ties go to the lower class index, on every device and version.
    ranked = logits.argsort(dim=1, descending=True, stable=True)[:, :5]
    hits = ranked == labels[:, None]
    n, correct = len(labels), int(hits[:, 0].sum())
    class_count = logits.shape[1] if scope == "all" else len(members)
    correct5 = int(hits.any(1).sum()) if class_count > 5 else None
    top5 = None if correct5 is None else correct5 / n
    in_subset = int(torch.isin(ranked[:, 0], members).sum())
    return Score(scope, n, correct, correct5, in_subset, correct / n, top5)
