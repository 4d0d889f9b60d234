"""What no schema can check of a completed config: references, sizes, twins."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from laq import datasets, families
from laq.config import Config, effect, identifier, members, weights_file
from laq.schema import refuse

# Kinds of subsets whose series is a ranking: a longer one contains a shorter one.
_RANKED = ("similar", "dissimilar", "random")

# Kinds whose subsets have a size of their own.
_LISTED = ("classes", "superclasses")

# Folders that hold the workflow itself.
_SOURCES = ("workflow", "config", "envs", "profiles", "tests", "docs")


def check(config: Config, class_names: Sequence[str]) -> None:
    """Check what no schema can: references, sizes against the data set, twins.

    ``class_names``: the data set's classes, in the order of their indices.

    Raises:
        ConfigError: one line for each fault, naming the key, the value and what is allowed.
    """
    refuse(
        [
            *check_root(config["root"]),
            *_check_networks(config["networks"]),
            *_check_features(config),
            *_check_superclasses(config["dataset"].get("superclasses", {}), class_names),
            *_check_subsets(config, class_names),
            *_check_training(config),
            *_check_variants(config["variants"]),
            *_check_calibration(config),
            *_check_figures(config),
            *_check_sweep(config),
            *_check_claims(config),
            *_check_similarity(config),
            *_check_deploy(config),
        ]
    )


def check_root(root: str) -> Iterator[str]:
    if root.split("/")[0] in _SOURCES:
        yield f"root: {root!r} is a folder of the workflow's own; take one such as results/{root}"


def _check_features(config: Config) -> Iterator[str]:
    source, networks = config["features"]["source"], config["networks"]
    for name, means in (
        ("pixels", "the images themselves"),
        ("pretrained", "a network of torchvision"),
    ):
        if name in networks:
            yield (
                f"networks.{name}: in features.source {name} means {means}; "
                "give the network another id"
            )
    if source not in ("pixels", "pretrained", *networks):
        names = ", ".join(["pixels", "pretrained", *networks])
        yield f"features.source: {source!r} is no network; it must be one of: {names}"
    yield from _check_file("features", config["features"])


def _check_networks(networks: Mapping[str, Any]) -> Iterator[str]:
    for name, network in networks.items():
        where, architecture = f"networks.{name}", network["architecture"]
        yield from _check_file(where, network)
        if network.get("stem") == "small" and not families.for_small_images(architecture):
            yield (
                f"{where}.architecture: {architecture!r} has no stem for small images: set "
                f"{where}.stem to standard, and resize to the size it was made for"
                f"{families.hint(architecture)}"
            )


def _check_file(where: str, entry: Mapping[str, Any]) -> Iterator[str]:
    for file in weights_file(entry):
        if not Path(file).is_file():
            yield f"{where}.weights.file: there is no file {file!r}; give the path of the weights"


def _check_superclasses(
    superclasses: Mapping[str, Sequence[str]], class_names: Sequence[str]
) -> Iterator[str]:
    """Groups are of the data set's classes, and their names give different ids."""
    owners: dict[str, str] = {}
    for name, classes in superclasses.items():
        yield from _check_classes(f"dataset.superclasses.{name}", classes, class_names)
        owner = owners.setdefault(identifier(name), name)
        if owner != name:
            yield (
                f"dataset.superclasses.{name}: its subset would have the id of {owner}'s, "
                f"…_{identifier(name)}; rename one of the two"
            )


def _check_subsets(config: Config, class_names: Sequence[str]) -> Iterator[str]:
    subsets, groups = config["subsets"], datasets.superclasses(config["dataset"])
    size, definitions, classes = subsets["size"], subsets["definitions"], len(class_names)
    fits = size <= classes
    if not fits and any(definition["kind"] not in _LISTED for definition in definitions.values()):
        yield (
            f"subsets.size: {size} is more than the data set's {classes} classes; "
            f"it must be at least 2 and at most {classes}"
        )
    owners: dict[str, str] = {}
    first: dict[Any, str] = {}
    for name, definition in definitions.items():
        where = f"subsets.definitions.{name}"
        if name in ("subset", "all"):
            yield f"{where}: {name} has another meaning in compress.classes; take another id"
        if definition["kind"] == "classes":
            yield from _check_classes(f"{where}.classes", definition["classes"], class_names)
        elif definition["kind"] == "superclasses":
            if not groups:
                yield (
                    f"{where}.kind: the data set {config['dataset']['kind']} has no superclasses; "
                    "give them as dataset.superclasses: {name: [class, class], …}"
                )
        elif fits and "count" in definition:
            yield from _check_count(where, definition, size, classes)
        for member in members(name, definition, groups):
            owner = owners.setdefault(member, name)
            if owner != name:
                yield (
                    f"{where}: the subset id {member!r} is made by {owner} too; "
                    "rename one of the two definitions"
                )
        twin = first.setdefault(_identity(definition), name)
        if twin != name:
            more = ", or give one of them a count" if definition["kind"] in _RANKED else ""
            yield f"{where}: makes the same subsets as {twin}; remove one of the two{more}"


def _check_classes(where: str, names: Sequence[str], known: Sequence[str]) -> Iterator[str]:
    for name in names:
        if name not in known:
            if close := difflib.get_close_matches(name, known, 3):
                hint = f"did you mean {', '.join(close)}?"
            else:
                shown = ", ".join(known[:10]) + ", …" * (len(known) > 10)
                hint = f"there are {len(known)}: {shown}"
            yield f"{where}: {name!r} is no class of the data set; {hint}"


def _check_count(
    where: str, definition: Mapping[str, Any], size: int, classes: int
) -> Iterator[str]:
    """A series cannot have more members than there are subsets for it."""
    kind, count = definition["kind"], definition["count"]
    every = math.comb(classes, size)
    # The greedy rule gives one subset a class it starts from; a series of targets leaves the
    # first similar and the first dissimilar subset out.
    most = {"random": every, "target": max(0, every - 2)}.get(kind, min(classes, every))
    if count > most:
        yield (
            f"{where}.count: {count} is too many; there are at most {most} {kind} subsets "
            f"of {size} from {classes} classes"
        )


def _identity(definition: Mapping[str, Any]) -> tuple[Any, ...]:
    """Equal for definitions that make the same subsets, or a part of them."""
    kind = definition["kind"]
    if kind == "classes":
        return kind, frozenset(definition["classes"])
    if kind == "target":
        return kind, definition.get("count"), definition.get("median")
    return (kind,)


def _check_training(config: Config) -> Iterator[str]:
    """Schedules that fit their epochs, and a device that can do what is asked."""
    networks, variants = config["networks"].items(), config["variants"].items()
    steps = [("networks", "training", networks), ("variants", "finetune", variants)]
    trainings = {
        f"{place}.{name}.{step}": entry[step]
        for place, step, entries in steps
        for name, entry in entries
        if step in entry
    }
    for where, settings in trainings.items():
        epochs, schedule = settings["epochs"], settings["schedule"]
        if schedule == "step" and not settings["milestones"]:
            yield f"{where}.milestones: step needs one or more, such as [{-(-epochs // 2)}]"
        for milestone in settings["milestones"]:
            if schedule == "step" and milestone >= epochs:
                yield f"{where}.milestones: {milestone} must be below the {epochs} epochs"
        if schedule != "one_cycle" and settings["warmup"] >= epochs:
            yield f"{where}.warmup: {settings['warmup']:g} must be below the {epochs} epochs"
        if settings["precision"] == "float16" and config["device"] == "cpu":
            yield f"{where}.precision: float16 needs a GPU, and device is cpu; take bfloat16"
        if settings["processes"] > settings["batch_size"]:
            yield (
                f"{where}.processes: {settings['processes']} is more than the "
                f"{settings['batch_size']} images of a batch (batch_size)"
            )


def _check_variants(variants: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    earlier: dict[str, dict[str, Any]] = {}
    for name, recipe in variants.items():
        if name == "original":
            continue
        where, parent = f"variants.{name}", recipe["parent"]
        starts = [v for v, r in variants.items() if v != name and "compress" not in r]
        allowed = f"it must be one of: {', '.join(starts)}"
        if parent not in variants:
            yield f"{where}.parent: {parent!r} is no variant; {allowed}"
        elif name in _ancestors(name, variants):
            yield f"{where}.parent: {parent!r} leads back to {name}; a line starts from original"
        elif "compress" in variants[parent]:
            yield f"{where}.parent: {parent!r} is compressed and cannot be worked on; {allowed}"
        same = effect(recipe)
        if twin := next((other for other in earlier if earlier[other] == same), None):
            yield f"{where}: alike with {twin} once defaults are filled in; remove one of the two"
        earlier[name] = same


def _check_calibration(config: Config) -> Iterator[str]:
    """Whose images calibrate, and whether bits and widths agree."""
    known = _subset_ids(config)
    for name in (name for name, recipe in config["variants"].items() if "compress" in recipe):
        settings, where = config["variants"][name]["compress"], f"variants.{name}.compress"
        classes, bits = settings["classes"], settings["bits"]
        if classes not in ("subset", "all", *known):
            close = difflib.get_close_matches(classes, ["subset", "all", *known], 3)
            hint = f"; did you mean {', '.join(close)}?" if close else ""
            yield f"{where}.classes: {classes!r} is neither subset nor all nor a subset's id{hint}"
        yield from _check_threshold(where, settings)
        if settings["batch"] == "fresh" and settings["images"] == "all":
            yield f"{where}.batch: fresh draws images for each layer, so images must be a number"
        if widths := settings.get("widths"):
            if isinstance(bits, list):
                yield f"{where}.widths: bits is a list; give the budget as one number, or no widths"
            elif not min(widths) <= bits <= max(widths):
                yield f"{where}.bits: a mean of {bits} cannot be made of the widths {widths}"


def _check_threshold(where: str, settings: Mapping[str, Any]) -> Iterator[str]:
    """A hard threshold must leave levels of the alphabet beyond it, at the fewest bits."""
    bits = settings.get("widths") or settings["bits"]
    fewest = min(bits) if isinstance(bits, list) else bits
    last = 2 ** (fewest - 1) - (settings["alphabet"] == "packed")
    threshold = settings["threshold"]
    if settings["method"] == "gpfq_l0" and threshold >= last:
        yield (
            f"{where}.threshold: {threshold:g} must be below {last}, the last level of "
            f"{fewest} bits ({settings['alphabet']})"
        )


def _check_figures(config: Config) -> Iterator[str]:
    figures, variants = config["figures"], config["variants"]
    for key in ("accuracy", "mixed"):
        for name in figures[key]:
            yield from _known(f"figures.{key}", name, variants, "variant")
    weights = figures["weights"]
    compressed = [name for name, recipe in variants.items() if "compress" in recipe]
    for key, known, what in (
        ("network", config["networks"], "network"),
        ("subset", _subset_ids(config), "subset"),
        ("variant", compressed, "compressed variant"),
    ):
        if key in weights:
            yield from _known(f"figures.weights.{key}", weights[key], known, what)
    if "published" in figures and not Path(figures["published"]).is_file():
        yield f"figures.published: there is no file {figures['published']!r}; give a log's path"


def _check_sweep(config: Config) -> Iterator[str]:
    """The variant that a sweep departs from has one number of bits and of images."""
    if "sweep" not in config:
        return
    name = config["sweep"]["variant"]
    simple = [
        variant
        for variant, recipe in config["variants"].items()
        if "compress" in recipe
        and recipe["parent"] == "original"
        and recipe["compress"]["classes"] == "subset"
        and isinstance(recipe["compress"]["bits"], int)
        and isinstance(recipe["compress"]["images"], int)
        and "widths" not in recipe["compress"]
    ]
    what = "variant compressed from original on the subset's classes to one number of bits"
    yield from _known("sweep.variant", name, simple, what)


def _check_claims(config: Config) -> Iterator[str]:
    for role, name in config["claims"].items():
        yield from _known(f"claims.{role}", name, config["variants"], "variant")


def _check_similarity(config: Config) -> Iterator[str]:
    """What it ranks subsets by is the price of one variant."""
    role = "quant"
    if "similarity" in config and role not in {**config["variants"], **config["claims"]}:
        yield (
            f"similarity: ranks subsets by what the variant {role} costs, and there is none; "
            f"say in claims.{role} which variant stands for it, or leave similarity out"
        )


def _check_deploy(config: Config) -> Iterator[str]:
    deploy = config.get("deploy", {"variants": [], "subsets": []})
    for name in deploy["variants"]:
        yield from _known("deploy.variants", name, config["variants"], "variant")
    for name in deploy["subsets"]:
        yield from _known("deploy.subsets", name, _subset_ids(config), "subset")
    if deploy["subsets"] and not deploy["variants"]:
        yield "deploy.subsets: no variant is written in ONNX; name some in deploy.variants"


def _subset_ids(config: Config) -> list[str]:
    groups = datasets.superclasses(config["dataset"])
    definitions = config["subsets"]["definitions"].items()
    return [id for name, definition in definitions for id in members(name, definition, groups)]


def _known(where: str, name: str, known: Iterable[str], what: str) -> Iterator[str]:
    if name not in known:
        yield f"{where}: {name!r} is no {what}; there are: {', '.join(known) or 'none'}"


def _ancestors(name: str, variants: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    """Parents of ``name`` up to original, or once round a cycle."""
    visited: set[str] = set()
    current = variants[name].get("parent")
    while current in variants and current not in visited:
        visited.add(current)
        yield current
        current = variants[current].get("parent")
