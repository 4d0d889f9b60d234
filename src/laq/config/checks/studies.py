"""The studies beside the main one: the zoo, Deep Compression and partial training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from laq.config import recipes
from laq.config.checks import networks, subsets
from laq.config.checks.variants import check_compression, check_made, check_shares
from laq.config.deep_plan import OWN
from laq.config.partial_jobs import networks as trained
from laq.config.study import Config, effect
from laq.config.zoo_entries import calibrations
from laq.config.zoo_kinds import ORIGINAL

# The study of Deep Compression: its networks, and what it says of all of them alike.


_WHY = {
    "classes": "the study is on all classes",
    "coder": "the study measures both coders",
}


def check_study(config: Config) -> Iterator[str]:
    if "deep_compression" not in config:
        return
    section = config["deep_compression"]
    if (chosen := section["label_aware"]["subsets"]) != "all":
        for name in chosen:
            where = "deep_compression.label_aware.subsets"
            yield from subsets.known(where, name, subsets.subset_ids(config), "subset")
    for name, settings in section["networks"].items():
        where = f"deep_compression.networks.{name}"
        yield from subsets.known(where, name, config["networks"], "network")
        yield from check_shares(where, settings)
        for key, default in OWN.items():
            if settings[key] != default:
                yield f"{where}.{key}: {_WHY[key]}; leave it out"


# Partial training: its networks, positions and subsets, and what it is compared with.


def check_partial(config: Config) -> Iterator[str]:
    if "partial_qat" not in config:
        return
    partial, study = config["partial_qat"], config["networks"]
    if partial["networks"] != "all":
        for name in partial["networks"]:
            yield from subsets.known("partial_qat.networks", name, study, "network of the study")
    further = partial["further_networks"]
    yield from networks.check_networks(further, "partial_qat.further_networks")
    for name in further.keys() & study.keys():
        yield (
            f"partial_qat.further_networks.{name}: the study has a network of that id; give this "
            "one another, or name it in partial_qat.networks"
        )
    names = trained(partial, study)
    if not names:
        yield "partial_qat.networks: no network is trained; name one, or take all"
    for name in partial["named"]:
        yield from subsets.known("partial_qat.named", name, names, "network of partial_qat")
    for name in partial["subsets"]:
        known = subsets.subset_ids(config)
        yield from subsets.known("partial_qat.subsets", name, known, "subset")
    yield from _check_compared(partial["compared"])
    yield from _check_images(partial)


def _check_compared(compared: dict[str, Any]) -> Iterator[str]:
    earlier: dict[str, dict[str, Any]] = {}
    for name, recipe in compared.items():
        where = f"partial_qat.compared.{name}"
        settings = recipe["compress"]
        yield from check_compression(f"{where}.compress", settings)
        for key, default in (("classes", "subset"), ("images_from", "training")):
            if settings[key] != default:
                yield (
                    f"{where}.compress.{key}: it is calibrated on training images of the classes "
                    "that arms are trained on; leave it out"
                )
        same = effect(recipe)
        if twin := next((other for other in earlier if earlier[other] == same), None):
            yield f"{where}: alike with {twin} once defaults are filled in; remove one of the two"
        earlier[name] = same


def _check_images(partial: dict[str, Any]) -> Iterator[str]:
    images, batch = partial["images"], partial["training"]["batch_size"]
    if images is not None and images < batch:
        yield (
            f"partial_qat.images: {images} is less than a batch of {batch} "
            "(partial_qat.training.batch_size)"
        )


def check_zoo(config: Config) -> Iterator[str]:
    if "zoo" not in config:
        return
    zoo, made = config["zoo"], config["synthesis"]["images"]
    if zoo["subsets"] != "all":
        for name in zoo["subsets"]:
            yield from subsets.known("zoo.subsets", name, subsets.subset_ids(config), "subset")
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
