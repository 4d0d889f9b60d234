"""One variant at other settings, calibrated on the subset's classes and on all: which trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, product
from typing import TYPE_CHECKING, Any

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
    of ``recipe``, and ``layers``. Trials differ from the recipe in one key at a time; ``crossed``:
    every value with every other, but for ``layers``, which are crossed with ``bits`` alone. Each
    is calibrated on the subset's classes, and on all.
    """
    base = {key: recipe.get(key, "all") for key in levels}
    values = {key: list(dict.fromkeys([base[key], *levels[key]])) for key in levels}
    alone = {key: [{**base, key: value} for value in values[key]] for key in levels}
    if crossed:
        keys = [key for key in levels if key != "layers"]
        combined = product(*(values[key] for key in keys))
        found = [{**base, **dict(zip(keys, each, strict=True))} for each in combined]
        found += [
            {**point, "bits": bits} for point in alone.get("layers", []) for bits in values["bits"]
        ]
    else:
        found = [base, *chain.from_iterable(alone.values())]
    unique = {tuple(point.values()): point for point in found}
    return [{**unique[key], "classes": classes} for key in sorted(unique) for classes in CLASSES]


def settings_of(
    recipe: Mapping[str, Any], point: Mapping[str, Any], network: nn.Module, images: Tensor
) -> dict[str, Any]:
    """The ``compress`` entry of a trial.

    images: uint8 (n, c, h, w); two of them tell the order of the layers.
    """
    changed = {key: value for key, value in point.items() if key != "layers"}
    skip_layers = [*recipe["skip_layers"], *_kept(network, images, point.get("layers", "all"))]
    return {**recipe, **changed, "skip_layers": skip_layers}


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
