"""How alike two calibration sets are to a network: the Gram matrices of its layers' inputs.

Yu, Yang and Shi (2021), "Is In-Domain Data Really Needed? A Pilot Study on Cross-Domain
Calibration for Network Quantization" (CVPR Workshops), report that the accuracy of a quantized
network correlates with the similarity of the Gram matrices between the domain it is used on and the
domain it was calibrated on. The matrix is that of Gatys, Ecker and Bethge (2016): of a feature map
F (c, h·w), G = F Fᵀ. It keeps which channels fire together, and not where.

Where the paper allows more than one reading, ours is:

- Features are the inputs of every layer that can be quantized, not of chosen layers of another
  network: a calibration set acts on a layer through its inputs alone.
- G = F Fᵀ / (h·w), averaged over the images of a set. It is not centred, as a layer's own sums are
  not. A linear layer has one position an image, or its tokens.
- Two sets are compared layer by layer (Frobenius): by the cosine <G_a, G_b> / (|G_a| |G_b|), in
  which the scale of the features drops out, and by the distance |G_a - G_b| / |G_b|, in which it
  counts. Both are averaged over the layers, each counting once. By the cosine an input of one
  channel is always alike.

Values are therefore not comparable with those of that paper; ranks of subsets may be.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from laq.ptq import hook_runner
from laq.ptq.calibration import CalibrationImages, calibration_pool, positions
from laq.ptq.fx_runner import QUANTIZABLE, check_finite
from laq.ptq.layer import relative_error
from laq.utils import seeds
from laq.utils.errors import LaqError

# Columns of a subset.
COLUMNS = (
    *("images", "repeats", "layers", "gram_similarity", "gram_error", "gram_distance"),
    *("gram_floor", "gram_floor_distance", "subset_floor", "subset_floor_distance"),
)

# Bytes of a layer's inputs that are converted to float64 at a time.
_PIECE = 2**24


class Likeness(NamedTuple):
    """Mean over layers of the cosine of two sets' Gram matrices, and of their distance."""

    similarity: float
    distance: float


@dataclass(eq=False)
class Gram:
    """G (c, c) of samples F (m, c), float64: FᵀF / m, summed as samples come.

    While there are no more samples than channels, the samples are kept in place of G: its inner
    products follow from them. That takes 8 · c · min(c, m) bytes, so 32 MiB for 2048 channels, and
    13 MB for the 25,088 inputs of a linear layer on 64 images.
    """

    channels: int
    samples: int = 0
    _rows: list[Tensor] = field(default_factory=list)
    _total: Tensor | None = None

    def add(self, rows: Tensor) -> None:
        """Further samples (m, c), of any float type."""
        rows = rows.double()
        self.samples += len(rows)
        if self._total is None:
            self._rows.append(rows)
            if self.samples <= self.channels:
                return
            rows, self._rows = torch.cat(self._rows), []
            self._total = rows.new_zeros(self.channels, self.channels)
        self._total.addmm_(rows.T, rows)

    def inner(self, other: Gram) -> float:
        """Sum of the products of the entries, <G, G'>."""
        if self._total is None and other._total is not None:
            return other.inner(self)
        if other._total is not None:
            total = (self._total * other._total).sum()
        elif self._total is not None:
            rows = torch.cat(other._rows)
            total = ((rows @ self._total) * rows).sum()
        else:
            total = (torch.cat(self._rows) @ torch.cat(other._rows).T).square().sum()
        return float(total) / (self.samples * other.samples)


@torch.no_grad()
def grams(network: nn.Module, images: Tensor) -> dict[str, Gram]:
    """The Gram matrix of the inputs of each convolution and linear layer, in forward order.

    Args:
        network: run where its parameters are, in evaluation mode, in which it stays.
        images: uint8, or floats as the network takes them, (n, c, h, w); 128 are run at a time.

    A layer that is called several times counts with its first call, as when it is quantized.

    Raises:
        DataError: inputs of a layer, which is named, that are not finite.
        LaqError: a network without such layers.
    """
    network.eval()
    pool = CalibrationImages.of(images, network)
    layers = {name: m for name, m in network.named_modules() if isinstance(m, QUANTIZABLE)}
    order = hook_runner.call_order(network, pool.chunk(0)[:1], layers)
    if not order:
        raise LaqError(f"{type(network).__name__} runs no convolution and no linear layer")
    matrices: dict[str, Gram] = {}
    recorded: set[str] = set()

    def add(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        if name in recorded:
            return
        recorded.add(name)
        inputs = args[0] if args else kwargs["input"]
        check_finite(inputs, name, side=0)
        rows = samples(layers[name], inputs)
        gram = matrices.setdefault(name, Gram(rows.shape[1]))
        for piece in rows.split(max(1, _PIECE // (8 * rows.shape[1]))):
            gram.add(piece)

    with ExitStack() as hooks:
        for name in order:
            hook = layers[name].register_forward_pre_hook(
                lambda _, args, kwargs, name=name: add(name, args, kwargs), with_kwargs=True
            )
            hooks.callback(hook.remove)
        for chunk in pool:
            recorded.clear()
            network(chunk)
    return {name: matrices[name] for name in order}


def samples(layer: nn.Module, inputs: Tensor) -> Tensor:
    """A layer's inputs as rows (m, c), one a position of an image."""
    if isinstance(layer, nn.Linear):
        return inputs.reshape(-1, inputs.shape[-1])
    return inputs.movedim(-3, -1).reshape(-1, inputs.shape[-3])


def compare(left: Mapping[str, Gram], right: Mapping[str, Gram]) -> Likeness:
    """How alike two sets are to one network; distances are relative to ``right``.

    Layers that are silent on both sets are alike; on one of them, as unlike as can be.
    """
    pairs = [_compared(left[name], right[name]) for name in left]
    return Likeness(*(sum(values) / len(pairs) for values in zip(*pairs, strict=True)))


def _compared(left: Gram, right: Gram) -> tuple[float, float]:
    a, b, cross = left.inner(left), right.inner(right), left.inner(right)
    cosine = min(1.0, cross / (a * b) ** 0.5) if a and b else float(a == b)
    return cosine, relative_error(max(0.0, a - 2 * cross + b) ** 0.5, b**0.5)


def draws(
    labels: np.ndarray, members: Collection[int], images: int, seed: int
) -> dict[str, tuple[np.ndarray, np.ndarray | None]]:
    """Two disjoint draws of images of the subset's classes (``subset``) and of ``all``.

    The first draw calibrates the first repeat of a variant on ``images`` (a batch for all layers).
    The second is as large, or None where too few images are left. Both are sorted positions.
    """
    settings = {"images": images, "batch": "shared"}
    members = sorted(members)
    pairs: dict[str, tuple[np.ndarray, np.ndarray | None]] = {}
    for population, classes in (("subset", members), ("all", None)):
        first, count = calibration_pool(labels, classes, members, settings, seed)
        remaining = np.setdiff1d(positions(labels, classes), first)
        generator = seeds.stream(seed, "similarity", population, *members)
        enough = 0 < count <= len(remaining)
        second = np.sort(generator.choice(remaining, count, replace=False)) if enough else None
        pairs[population] = first, second
    return pairs


def of_subset(
    network: nn.Module,
    images: np.ndarray,
    labels: np.ndarray,
    members: Collection[int],
    count: int,
    repeats: int,
    seed: int,
) -> dict[str, float | int]:
    """The label-aware calibration set of a subset against the label-agnostic one.

    The mean over ``repeats``, each with its own draws, as those of a variant. gram_error is the
    standard error of the mean similarity, NaN for one repeat. Other arguments: ``of_draws``.
    """
    results = [
        of_draws(network, images, labels, members, count, seeds.of_repeat(seed, repeat))
        for repeat in range(1, repeats + 1)
    ]
    summary: dict[str, float | int] = {**results[0], "repeats": repeats}
    for name, value in results[0].items():
        if isinstance(value, float):
            summary[name] = float(np.mean([result[name] for result in results]))
    similarities = [result["gram_similarity"] for result in results]
    summary["gram_error"] = float("nan")
    if repeats > 1:
        summary["gram_error"] = float(np.std(similarities, ddof=1) / repeats**0.5)
    return {name: summary[name] for name in COLUMNS}


def of_draws(
    network: nn.Module,
    images: np.ndarray,
    labels: np.ndarray,
    members: Collection[int],
    count: int,
    seed: int,
) -> dict[str, float | int]:
    """One label-aware calibration set of a subset against one label-agnostic.

    ``images`` uint8 (n, c, h, w) and ``labels`` (n,): all for training. ``count``: images a set.
    A set differs even from another draw of its own population. That floor is measured on all
    classes and on the subset's; it is NaN where they have fewer than twice the images.

    At most three sets are in memory at a time (of a ResNet-50 at most 0.2 GB each).
    """
    pairs = draws(labels, members, count, seed)

    def measured(positions: np.ndarray) -> dict[str, Gram]:
        return grams(network, torch.as_tensor(images[positions]))

    subset_grams, all_grams = (measured(pairs[population][0]) for population in ("subset", "all"))
    likeness = compare(subset_grams, all_grams)
    floors = {}
    for population, reference in (("subset", subset_grams), ("all", all_grams)):
        second = pairs[population][1]
        unknown = Likeness(float("nan"), float("nan"))
        floors[population] = unknown if second is None else compare(measured(second), reference)
    return {
        "images": len(pairs["subset"][0]),
        "layers": len(subset_grams),
        "gram_similarity": likeness.similarity,
        "gram_distance": likeness.distance,
        "gram_floor": floors["all"].similarity,
        "gram_floor_distance": floors["all"].distance,
        "subset_floor": floors["subset"].similarity,
        "subset_floor_distance": floors["subset"].distance,
    }
