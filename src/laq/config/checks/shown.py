"""Checks of what figures, tables and exports need of networks, subsets and variants."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from laq.config import study
from laq.config.checks import subsets
from laq.config.study import Config
from laq.data import Survey

# Whether there are enough images, as far as it is known while planning.


PLANE = 2  # dimensions of the map in which classes are Gaussians


def check_images(config: Config, survey: Survey) -> Iterator[str]:
    """Check that images suffice for the map, and those of each class for its Gaussian."""
    if survey.training is None:
        return
    total, neighbors = int(survey.training.sum()), config["umap"]["neighbors"]
    if total <= neighbors:
        yield (
            f"umap.neighbors: {neighbors} must be below the {total} training images; lower it, "
            "or add images"
        )
    minimum = 2 if config["icd"]["shrinkage"] else PLANE + 1
    classes = [
        f"{survey.classes[label]} ({survey.training[label]})"
        for label in np.flatnonzero(survey.training < minimum)
    ]
    if classes:
        text = ", ".join(classes[:10]) + ", …" * (len(classes) > 10)
        remedy = "" if config["icd"]["shrinkage"] else ", or set icd.shrinkage above 0 (then 2 do)"
        yield (
            f"dataset: distances between classes need {minimum} training images of each, and these "
            f"have fewer: {text}; add images to them, or remove them{remedy}"
        )


def check_figures(config: Config) -> Iterator[str]:
    figures, variants = config["figures"], config["variants"]
    for key in ("accuracy", "mixed"):
        for name in figures[key]:
            yield from subsets.known(f"figures.{key}", name, variants, "variant")
    compressed = [name for name, recipe in variants.items() if "compress" in recipe]
    for figure, key, names, noun in (
        ("weights", "network", config["networks"], "network"),
        ("weights", "subset", subsets.subset_ids(config), "subset"),
        ("weights", "variant", compressed, "compressed variant"),
        ("synthetic", "network", config["networks"], "network"),
        ("synthetic", "subset", subsets.subset_ids(config), "subset"),
    ):
        if key in figures[figure]:
            yield from subsets.known(f"figures.{figure}.{key}", figures[figure][key], names, noun)
    if "published" in figures:
        yield from subsets.file("figures.published", figures["published"], "a log")


def check_sweep(config: Config) -> Iterator[str]:
    """Check that the variant of a sweep has one number of bits and one of training images."""
    recipes = {
        variant: recipe["compress"]
        for variant, recipe in config["variants"].items()
        if "compress" in recipe
        and recipe["parent"] == "original"
        and recipe["compress"]["classes"] == "subset"
        and recipe["compress"]["images_from"] == "training"
        and isinstance(recipe["compress"]["bits"], int)
        and isinstance(recipe["compress"]["images"], int)
        and "widths" not in recipe["compress"]
    }
    noun = "variant compressed from original on the subset's classes to one number of bits"
    for section in ("sweep", "conditions"):
        if section not in config:
            continue
        name = config[section]["variant"]
        yield from subsets.known(f"{section}.variant", name, recipes, noun)
        for subset in config[section]["subsets"]:
            yield from subsets.known(
                f"{section}.subsets", subset, subsets.subset_ids(config), "subset"
            )
        if name not in recipes:
            continue
        if recipes[name]["inference"] == "integer" and max(config[section]["bits"], default=0) > 8:
            yield f"{section}.bits: {name} runs in integers, with 8 bits or fewer"
        # A setting that the method does not use could not be combined with others.
        settings = study.effect(config["variants"][name])["compress"]
        for key in ("scale", "ridge") if section == "conditions" else ():
            if key not in settings:
                yield f"conditions.variant: {name} has no {key}; take a variant of gpfq that has"


def check_claims(config: Config) -> Iterator[str]:
    for role, name in config["claims"].items():
        yield from subsets.known(f"claims.{role}", name, config["variants"], "variant")


def check_similarity(config: Config) -> Iterator[str]:
    """Check that the variant exists whose accuracy loss ``similarity`` ranks subsets by."""
    role = "quant"
    if "similarity" in config and role not in {**config["variants"], **config["claims"]}:
        yield (
            f"similarity: ranks subsets by what the variant {role} costs, and there is none; "
            f"say in claims.{role} which variant stands for it, or leave similarity out"
        )


def check_replication(config: Config) -> Iterator[str]:
    """Check that its logs are published ones of variants, and that some subsets can match them."""
    if "replication" not in config:
        return
    variants = [name for name in config["variants"] if name != "original"]
    for variant, path in config["replication"]["logs"].items():
        prefix = f"replication.logs.{variant}"
        yield from subsets.known(prefix, variant, variants, "variant made of original")
        yield from subsets.log(prefix, path)
    if "matrix" in config["replication"]:
        path, suffixes = config["replication"]["matrix"], (".npy", ".csv", ".parquet")
        yield from subsets.file("replication.matrix", path, "a matrix")
        if not path.endswith(suffixes):
            yield f"replication.matrix: {path!r} must be a file {', '.join(suffixes)}"
    kinds = {definition["kind"] for definition in config["subsets"]["definitions"].values()}
    if not kinds & {"log", "classes", "superclasses"}:
        yield (
            "replication: compares subsets of the same classes, and every subset here is chosen by "
            "distance; add those of the log as published: {kind: log, file: …}"
        )


def check_deploy(config: Config) -> Iterator[str]:
    deploy = config.get("deploy", {"variants": [], "subsets": []})
    for name in deploy["variants"]:
        yield from subsets.known("deploy.variants", name, config["variants"], "variant")
    for name in deploy["subsets"]:
        yield from subsets.known("deploy.subsets", name, subsets.subset_ids(config), "subset")
    if deploy["subsets"] and not deploy["variants"]:
        yield "deploy.subsets: no variant is written in ONNX; name some in deploy.variants"
