"""Partial training: its networks, positions and subsets, and what it is compared with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from laq.config.checks import networks, references
from laq.config.checks.variants import check_compression
from laq.config.partial_jobs import networks as trained
from laq.config.study import Config, effect


def check_partial(config: Config) -> Iterator[str]:
    if "partial_qat" not in config:
        return
    partial, study = config["partial_qat"], config["networks"]
    if partial["networks"] != "all":
        for name in partial["networks"]:
            yield from references.known("partial_qat.networks", name, study, "network of the study")
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
        yield from references.known("partial_qat.named", name, names, "network of partial_qat")
    for name in partial["subsets"]:
        known = references.subset_ids(config)
        yield from references.known("partial_qat.subsets", name, known, "subset")
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
