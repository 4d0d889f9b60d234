"""The zoo: its methods, whose images calibrate them, and the subsets they are compared on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from laq.config import recipes
from laq.config.checks import references
from laq.config.checks.variants import check_compression, check_made, check_shares
from laq.config.study import Config, effect
from laq.config.zoo_entries import calibrations
from laq.config.zoo_kinds import ORIGINAL


def check_zoo(config: Config) -> Iterator[str]:
    if "zoo" not in config:
        return
    zoo, made = config["zoo"], config["synthesis"]["images"]
    if zoo["subsets"] != "all":
        for name in zoo["subsets"]:
            yield from references.known(
                "zoo.subsets", name, references.subset_ids(config), "subset"
            )
    earlier: dict[str, dict[str, Any]] = {}
    for name, recipe in zoo["methods"].items():
        where = f"zoo.methods.{name}"
        if name == ORIGINAL:
            yield f"{where}: the trained network is always there; give the method another name"
        if not calibrations(recipe, zoo["calibrations"]):
            yield (
                f"zoo.calibrations: {recipes.of(recipe)} ({name}) takes training images alone; add "
                "subset or all, or leave the method out"
            )
        yield from _check_classes(where, recipe)
        if "compress" in recipe:
            settings = recipe["compress"]
            yield from check_compression(f"{where}.compress", settings)
            if "synthetic" in calibrations(recipe, zoo["calibrations"]):
                yield from check_made(f"{where}.compress", settings["images"], made)
        if "deep" in recipe:
            yield from check_shares(f"{where}.deep", recipe["deep"])
        same = effect(recipe)
        if twin := next((other for other in earlier if earlier[other] == same), None):
            yield f"{where}: alike with {twin} once defaults are filled in; remove one of the two"
        earlier[name] = same


# Settings that say whose images are taken, and what they are where the config does not give them.
_WHOSE = {"classes": "subset", "images_from": "training"}


def _check_classes(where: str, recipe: Mapping[str, Any]) -> Iterator[str]:
    step = recipes.of(recipe)
    for key, default in _WHOSE.items():
        if recipe[step].get(key, default) != default:
            yield (
                f"{where}.{step}.{key}: zoo.calibrations says whose images are taken, of every "
                "method alike; leave it out"
            )
