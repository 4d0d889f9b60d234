"""Trials of one variant at other settings, calibrated on the subset's classes and on all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from tqdm import tqdm

from laq import data
from laq.checkpoints import inference
from laq.experiments import compression
from laq.experiments.evaluation import score
from laq.experiments.trial_cache import Kept
from laq.models.networks import predict, to_fastest_layout, to_input
from laq.ptq.hook_runner import FloatInputs
from laq.utils import seeds
from laq.utils.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor, nn


Point = dict[str, Any]

CLASSES = ("subset", "all")

# Which layers are quantized: a setting of trials, which becomes ``skip_layers`` of ``compress``.
LAYERS = ("all", "without_head", "first_half")


def points(
    recipe: Mapping[str, Any], levels: Mapping[str, Sequence[Any]], crossed: bool = False
) -> list[Point]:
    """The settings of every trial, each once and in order: a value by key, and ``classes``.

    recipe: a variant's ``compress`` entry, whose own values are levels too. levels: values by key
    of ``recipe``, and ``layers``. Trials differ from the recipe in one key at a time. With
    ``crossed`` every value is combined with every other; only ``layers`` are combined with ``bits``
    alone. Each trial is calibrated on the subset's classes, and on all.
    """
    base = {key: recipe.get(key, "all") for key in levels}
    values = {key: list(dict.fromkeys([base[key], *levels[key]])) for key in levels}
    variations = {key: [{**base, key: value} for value in values[key]] for key in levels}
    if crossed:
        keys = [key for key in levels if key != "layers"]
        combinations = product(*(values[key] for key in keys))
        trials = [
            {**base, **dict(zip(keys, combination, strict=True))} for combination in combinations
        ]
        trials += [
            {**point, "bits": bits}
            for point in variations.get("layers", [])
            for bits in values["bits"]
        ]
    else:
        trials = [base, *chain.from_iterable(variations.values())]
    unique = {tuple(point.values()): point for point in trials}
    return [{**unique[key], "classes": classes} for key in sorted(unique) for classes in CLASSES]


def settings_of(
    recipe: Mapping[str, Any], point: Mapping[str, Any], network: nn.Module, images: Tensor
) -> dict[str, Any]:
    """The ``compress`` entry of a trial.

    images: uint8 (n, c, h, w); two of them are run to find the order of the layers.
    """
    overrides = {key: value for key, value in point.items() if key != "layers"}
    skip_layers = [*recipe["skip_layers"], *_kept(network, images, point.get("layers", "all"))]
    return {**recipe, **overrides, "skip_layers": skip_layers}


def _kept(network: nn.Module, images: Tensor, layers: str) -> list[str]:
    from laq.models import networks
    from laq.ptq.sequential import layers_in_order

    if layers == "all":
        return []
    if layers == "without_head":
        return networks.output_layers(network, images[:2])
    if layers == "first_half":
        names = list(layers_in_order(network, images[:2], {}))
        return names[(len(names) + 1) // 2 :]
    raise ConfigError(f"layers of a trial are {', '.join(LAYERS)}, not {layers!r}")


# Trials of a sweep: a network compressed at each point, scored, and not kept.


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
    arrays = [training.images, training.labels, testing.images, testing.labels]
    return Kept(table, {**facts, "recipe": dict(recipe)}, arrays)


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
    """Two pairs a point and repeat, one for each scope: the trial's settings, and its scores.

    original: in evaluation mode, on the device that trials run on; put into its fastest layout.
    training, testing: images of all classes. members: indices of the subset's classes. recipe: a
    variant's ``compress`` entry. memory: bytes of activations. kept: finished trials, which are not
    run again.
    """
    device = next(original.parameters()).device
    to_fastest_layout(original, to_input(training.images[:1], device))
    images, labels = map(torch.from_numpy, data.of_classes(testing, members))
    float_inputs, rows = FloatInputs(memory), []
    for point, repeat in tqdm(list(product(points, range(1, repeats + 1))), desc="points"):
        trial = {**point, "repeat": repeat}
        record = kept.find(trial)
        if record is None:
            settings = settings_of(recipe, point, original, training.images)
            classes = None if point["classes"] == "all" else members
            trial_seed = seeds.of_repeat(seed, repeat)
            result, _ = compression.for_subset(
                original, training, members, classes, settings, trial_seed, memory, float_inputs
            )
            model = inference.ready(result.network, result.packed, result.transforms)
            scores = score(predict(model, images, device), labels, members)
            record = {"scores": [vars(scope_score) for scope_score in scores]}
            kept.keep(trial, record)
        for scope_score in record["scores"]:
            scores = {name: scope_score[name] for name in SCORES}
            rows.append(({**trial, "scope": scope_score["scope"]}, scores))
    return rows
