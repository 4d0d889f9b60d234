"""Trials of a sweep: a network compressed at each point, scored, and not kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from laq import data
from laq.checkpoints import inference
from laq.experiments import compression
from laq.experiments.evaluation import score
from laq.experiments.sweep import Point, settings_of
from laq.experiments.trial_cache import Kept
from laq.models.networks import predict
from laq.utils import seeds

SCORES = ("n", "correct", "top1", "top5", "correct5", "in_subset")


def finished(
    table: Path,
    facts: Mapping[str, Any],
    recipe: Mapping[str, Any],
    training: data.Dataset,
    testing: data.Dataset,
) -> Kept:
    """The trials of a job that are finished, kept beside its ``table``.

    facts: what trials depend on beside the recipe and the images.
    """
    return Kept(table, {**facts, "recipe": dict(recipe)}, [training.images, testing.images])


def measure(
    original: nn.Module,
    training: data.Dataset,
    testing: data.Dataset,
    members: list[int],
    recipe: Mapping[str, Any],
    points: Sequence[Point],
    repeats: int,
    seed: int,
    memory: int,
    kept: Kept,
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Two pairs a point and repeat, one for each scope: what the trial is, and its scores.

    original: in evaluation mode, on the device that trials run on. training, testing: images of all
    classes. members: indices of the subset's classes. recipe: a variant's ``compress`` entry.
    memory: bytes of activations. kept: finished trials, which are not run again.
    """
    device = next(original.parameters()).device
    shown, labels = map(torch.from_numpy, data.of_classes(testing, members))
    rows = []
    for point, repeat in tqdm(list(product(points, range(1, repeats + 1))), desc="points"):
        trial = {**point, "repeat": repeat}
        found = kept.find(trial)
        if found is None:
            settings = settings_of(recipe, point, original, training.images)
            taken = None if point["classes"] == "all" else members
            own = seeds.of_repeat(seed, repeat)
            result, _ = compression.for_subset(
                original, training, members, taken, settings, own, memory
            )
            made = inference.ready(result.network, result.packed, result.transforms)
            scores = score(predict(made, shown, device), labels, members)
            found = {"scores": [vars(each) for each in scores]}
            kept.keep(trial, found)
        for each in found["scores"]:
            scores = {name: each[name] for name in SCORES}
            rows.append(({**trial, "scope": each["scope"]}, scores))
    return rows
