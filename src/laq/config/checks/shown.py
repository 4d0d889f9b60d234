"""What figures, tables and exports ask of networks, subsets and variants."""

from __future__ import annotations

from collections.abc import Iterator

from laq.config import study
from laq.config.checks import references
from laq.config.study import Config


def check_figures(config: Config) -> Iterator[str]:
    figures, variants = config["figures"], config["variants"]
    for key in ("accuracy", "mixed"):
        for name in figures[key]:
            yield from references.known(f"figures.{key}", name, variants, "variant")
    compressed = [name for name, recipe in variants.items() if "compress" in recipe]
    for figure, key, known, what in (
        ("weights", "network", config["networks"], "network"),
        ("weights", "subset", references.subset_ids(config), "subset"),
        ("weights", "variant", compressed, "compressed variant"),
        ("synthetic", "network", config["networks"], "network"),
        ("synthetic", "subset", references.subset_ids(config), "subset"),
    ):
        if key in figures[figure]:
            yield from references.known(
                f"figures.{figure}.{key}", figures[figure][key], known, what
            )
    if "published" in figures:
        yield from references.file("figures.published", figures["published"], "a log")


def check_sweep(config: Config) -> Iterator[str]:
    """The variant that a sweep departs from has one number of bits and of training images."""
    simple = {
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
    what = "variant compressed from original on the subset's classes to one number of bits"
    for section in ("sweep", "conditions"):
        if section not in config:
            continue
        name = config[section]["variant"]
        yield from references.known(f"{section}.variant", name, simple, what)
        for subset in config[section]["subsets"]:
            yield from references.known(
                f"{section}.subsets", subset, references.subset_ids(config), "subset"
            )
        if name not in simple:
            continue
        if simple[name]["inference"] == "integer" and max(config[section]["bits"], default=0) > 8:
            yield f"{section}.bits: {name} runs in integers, with 8 bits or fewer"
        # A setting that the method does not use could not be combined with others.
        used = study.effect(config["variants"][name])["compress"]
        for key in ("scale", "ridge") if section == "conditions" else ():
            if key not in used:
                yield f"conditions.variant: {name} has no {key}; take a variant of gpfq that has"


def check_claims(config: Config) -> Iterator[str]:
    for role, name in config["claims"].items():
        yield from references.known(f"claims.{role}", name, config["variants"], "variant")


def check_similarity(config: Config) -> Iterator[str]:
    """What it ranks subsets by is the price of one variant."""
    role = "quant"
    if "similarity" in config and role not in {**config["variants"], **config["claims"]}:
        yield (
            f"similarity: ranks subsets by what the variant {role} costs, and there is none; "
            f"say in claims.{role} which variant stands for it, or leave similarity out"
        )


def check_replication(config: Config) -> Iterator[str]:
    """Its logs are published ones, each of a variant, and there are subsets that they may have."""
    if "replication" not in config:
        return
    variants = [name for name in config["variants"] if name != "original"]
    for variant, path in config["replication"]["logs"].items():
        where = f"replication.logs.{variant}"
        yield from references.known(where, variant, variants, "variant made of original")
        yield from references.log(where, path)
    if "matrix" in config["replication"]:
        path, suffixes = config["replication"]["matrix"], (".npy", ".csv", ".parquet")
        yield from references.file("replication.matrix", path, "a matrix")
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
        yield from references.known("deploy.variants", name, config["variants"], "variant")
    for name in deploy["subsets"]:
        yield from references.known("deploy.subsets", name, references.subset_ids(config), "subset")
    if deploy["subsets"] and not deploy["variants"]:
        yield "deploy.subsets: no variant is written in ONNX; name some in deploy.variants"
