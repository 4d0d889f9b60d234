"""Checks of the studies beside the main one: the zoo, Deep Compression and partial training."""

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

# The study of Deep Compression: its networks, and settings that are the same for all of them.


_WHY = {
    "classes": "the study is on all classes",
    "coder": "the study measures both coders",
}


def check_study(config: Config) -> Iterator[str]:
    if "deep_compression" not in config:
        return
    section = config["deep_compression"]
    if (names := section["label_aware"]["subsets"]) != "all":
        for name in names:
            prefix = "deep_compression.label_aware.subsets"
            yield from subsets.known(prefix, name, subsets.subset_ids(config), "subset")
    for name, settings in section["networks"].items():
        prefix = f"deep_compression.networks.{name}"
        yield from subsets.known(prefix, name, config["networks"], "network")
        yield from check_shares(prefix, settings)
        for key, default in OWN.items():
            if settings[key] != default:
                yield f"{prefix}.{key}: {_WHY[key]}; leave it out"


# Partial training: its networks, positions and subsets, and what it is compared with.


def check_partial(config: Config) -> Iterator[str]:
    if "partial_qat" not in config:
        return
    partial, study = config["partial_qat"], config["networks"]
    if partial["networks"] != "all":
        for name in partial["networks"]:
            yield from subsets.known("partial_qat.networks", name, study, "network of the study")
    extra_networks = partial["further_networks"]
    yield from networks.check_networks(extra_networks, "partial_qat.further_networks")
    for name in extra_networks.keys() & study.keys():
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
        ids = subsets.subset_ids(config)
        yield from subsets.known("partial_qat.subsets", name, ids, "subset")
    yield from _check_compared(partial["compared"])
    yield from _check_images(partial)


def _check_compared(compared: dict[str, Any]) -> Iterator[str]:
    effects: dict[str, dict[str, Any]] = {}
    for name, recipe in compared.items():
        prefix = f"partial_qat.compared.{name}"
        settings = recipe["compress"]
        yield from check_compression(f"{prefix}.compress", settings)
        for key, default in (("classes", "subset"), ("images_from", "training")):
            if settings[key] != default:
                yield (
                    f"{prefix}.compress.{key}: it is calibrated on training images of the classes "
                    "that arms are trained on; leave it out"
                )
        current = effect(recipe)
        if twin := next((other for other in effects if effects[other] == current), None):
            yield f"{prefix}: alike with {twin} once defaults are filled in; remove one of the two"
        effects[name] = current


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
    zoo, image_count = config["zoo"], config["synthesis"]["images"]
    if zoo["subsets"] != "all":
        for name in zoo["subsets"]:
            yield from subsets.known("zoo.subsets", name, subsets.subset_ids(config), "subset")
    effects: dict[str, dict[str, Any]] = {}
    for name, recipe in zoo["methods"].items():
        prefix = f"zoo.methods.{name}"
        if name == ORIGINAL:
            yield f"{prefix}: the trained network is always there; give the method another name"
        if not calibrations(recipe, zoo["calibrations"]):
            yield (
                f"zoo.calibrations: {recipes.of(recipe)} ({name}) takes training images alone; add "
                "subset or all, or leave the method out"
            )
        yield from _check_classes(prefix, recipe)
        if "compress" in recipe:
            settings = recipe["compress"]
            yield from check_compression(f"{prefix}.compress", settings)
            if "synthetic" in calibrations(recipe, zoo["calibrations"]):
                yield from check_made(f"{prefix}.compress", settings["images"], image_count)
        if "deep" in recipe:
            yield from check_shares(f"{prefix}.deep", recipe["deep"])
        current = effect(recipe)
        if twin := next((other for other in effects if effects[other] == current), None):
            yield f"{prefix}: alike with {twin} once defaults are filled in; remove one of the two"
        effects[name] = current


# Settings that say whose images calibrate, with their defaults.
_WHOSE = {"classes": "subset", "images_from": "training"}


def _check_classes(where: str, recipe: Mapping[str, Any]) -> Iterator[str]:
    step = recipes.of(recipe)
    for key, default in _WHOSE.items():
        if recipe[step].get(key, default) != default:
            yield (
                f"{where}.{step}.{key}: zoo.calibrations says whose images are taken, of every "
                "method alike; leave it out"
            )
