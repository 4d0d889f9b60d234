"""Parts of the completed config: subsets, variants, and the settings of a recipe that matter.

Everything here is pure and light, since it runs each time the workflow is parsed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from laq.config import recipes as steps
from laq.data import names, sources
from laq.data.published import subsets as published
from laq.data.published.log import Row
from laq.utils.files import expanded

Config = dict[str, Any]

# Id of the sweep's label-agnostic control. No variant has a slash in its name.
SWEPT = "sweep/agnostic"


def with_composed_names(config: Config) -> Config:
    """The config with its names of classes in Unicode's composed form, as data sets have them."""

    def composed(classes: Sequence[str]) -> list[str]:
        return [names.composed(name) for name in classes]

    dataset, subsets = dict(config["dataset"]), dict(config["subsets"])
    dataset["superclasses"] = {k: composed(v) for k, v in dataset["superclasses"].items()}
    subsets["definitions"] = {
        name: {key: composed(value) if key == "classes" else value for key, value in entry.items()}
        for name, entry in subsets["definitions"].items()
    }
    return {**config, "dataset": dataset, "subsets": subsets}


def subsets(config: Config, class_names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Every subset's id and full definition, series expanded (``target`` → ``target_1``, …).

    A definition holds all that choosing the subset needs besides distances and seed: kind, size,
    and rank (its place in the series), count, scale, median or class indices, and the name of a
    superclass. It holds nothing else, so that editing one definition does not change the others.
    """
    size, scale = config["subsets"]["size"], config["subsets"]["scale"]
    groups = sources.superclasses(config["dataset"])
    definitions: dict[str, dict[str, Any]] = {}
    for name, definition in config["subsets"]["definitions"].items():
        kind = definition["kind"]
        if kind == "classes":
            indices = sorted(class_names.index(c) for c in definition["classes"])
            definitions[name] = {"kind": kind, "indices": indices}
        elif kind == "superclasses":
            ids = members(name, definition, groups)
            for member, (group, classes) in zip(ids, groups.items(), strict=True):
                indices = sorted(class_names.index(c) for c in classes)
                definitions[member] = {"kind": kind, "superclass": group, "indices": indices}
        elif kind == "log":
            for member, row in logged(name, definition).items():
                positions = published.positions(row, class_names).values()
                indices = sorted(position for position in positions if position is not None)
                definitions[member] = {"kind": kind, "indices": indices}
        elif "median" in definition:
            definitions[name] = {"kind": kind, "size": size, "median": definition["median"]}
        else:
            count = definition["count"]
            series = {"scale": scale, "count": count} if kind == "target" else {}
            for rank, member in enumerate(members(name, definition)):
                definitions[member] = {"kind": kind, "size": size, "rank": rank, **series}
    return definitions


def made_variants(config: Config) -> dict[str, dict[str, Any]]:
    """What is made for every subset: each variant, and each repeat of it, by id.

    Repeat 1 has the variant's name for its id, later ones ``quant-2`` and so on (a hyphen is in no
    name). A recipe is the variant's own, with its ``variant`` and its ``repeat``. Its ``parent`` is
    the parent's same repeat, or the first where the parent has fewer.
    """
    recipes: dict[str, dict[str, Any]] = {}
    variants = config["variants"]
    for name, recipe in variants.items():
        parent = variants.get(recipe.get("parent"), {})
        for repeat in range(1, recipe.get("repeats", 1) + 1):
            entry = {k: v for k, v in recipe.items() if k != "repeats"}
            if "parent" in recipe and repeat <= parent.get("repeats", 1):
                entry["parent"] = _repeat_id(recipe["parent"], repeat)
            recipes[_repeat_id(name, repeat)] = {**entry, "variant": name, "repeat": repeat}
    return recipes


def _repeat_id(name: str, repeat: int) -> str:
    return name if repeat == 1 else f"{name}-{repeat}"


def variants_with(config: Config, *names: str) -> list[str]:
    """Ids of all that is made by one of the steps called ``names``, repeats too, step by step."""
    recipes = made_variants(config)
    return [name for step in names for name, recipe in recipes.items() if step in recipe]


def trained_variants(config: Config) -> list[str]:
    """Ids of all that is made by a step that has epochs."""
    return variants_with(config, *(name for name, step in steps.STEPS.items() if step.trains))


def packed_variants(config: Config) -> list[str]:
    """Ids of all that is made by a step whose weights end as codes."""
    return variants_with(config, *(name for name, step in steps.STEPS.items() if step.packs))


def made_images(config: Config, subsets: Iterable[str]) -> list[tuple[str, str]]:
    """Images that are made without data: their classes (a subset's id, all or none) and their kind.

    Each pair occurs once. ``subsets``: ids of all.
    """
    recipes = (recipe.get("compress", {}) for recipe in config["variants"].values())
    requests = [(s["classes"], s["images_from"]) for s in recipes if calibrates_on_made(s)]
    pairs = [
        (group, kind)
        for classes, kind in requests
        for group in (subsets if classes == "subset" else [classes])
    ]
    return list(dict.fromkeys(pairs))


def calibrates_on_made(settings: Mapping[str, Any]) -> bool:
    """Whether a ``compress`` entry calibrates on images made without data."""
    return settings.get("images_from", "training") != "training"


def synthesis_effect(settings: Mapping[str, Any], classes: str, kind: str) -> dict[str, Any]:
    """Settings of ``synthesis`` without what makes no difference to images of ``kind``.

    ``classes``: a subset's id, all, or none, which asks for no class.
    """
    synthesis = {key: value for key, value in settings.items() if key != "generator"}
    if kind == "generated":
        del synthesis["shift"]
        synthesis |= settings["generator"]
    if classes == "none":
        del synthesis["class_weight"]
    return synthesis


def ranked_arms(config: Config) -> dict[str, str]:
    """The variants whose top-1 predictors are ranked against, by role: original, quant, agnostic.

    Without a label-agnostic variant, ``SWEPT`` has that role where the sweep starts from quant's.
    """
    roles = {role: config["claims"].get(role, role) for role in ("original", "quant", "agnostic")}
    arms = {role: name for role, name in roles.items() if name in config["variants"]}
    if config.get("sweep", {}).get("variant") == roles["quant"]:
        arms.setdefault("agnostic", SWEPT)
    return arms


def agnostic_controls(config: Config) -> dict[str, str]:
    """The variants that have a control which differs in its calibration alone, on all classes.

    Keys are variants calibrated on the subset's classes, values their label-agnostic controls.
    """
    effects = {name: effect(recipe) for name, recipe in config["variants"].items()}
    compressed = {name: recipe for name, recipe in effects.items() if "compress" in recipe}
    controls = {}
    for name, recipe in compressed.items():
        if recipe["compress"]["classes"] == "subset":
            wanted = {**recipe, "compress": {**recipe["compress"], "classes": "all"}}
            same = [other for other, its in compressed.items() if its == wanted]
            controls.update({name: same[0]} if same else {})
    return controls


def members(
    name: str, definition: Mapping[str, Any], superclasses: Iterable[str] = ()
) -> list[str]:
    """Ids of the subsets that a definition makes; ``superclasses``: names of the data set's."""
    if definition["kind"] == "superclasses":
        return [f"{name}_{identifier(superclass)}" for superclass in superclasses]
    if definition["kind"] == "log":
        return list(logged(name, definition))
    count = definition.get("count", 1)
    width = len(str(count))
    return [name] if count == 1 else [f"{name}_{i:0{width}d}" for i in range(1, count + 1)]


def logged(name: str, definition: Mapping[str, Any]) -> dict[str, Row]:
    """The rows of a log that a definition of kind ``log`` makes subsets of, by the subset's id.

    Raises:
        DataError: the file is no such log.
    """
    log = published.read(definition["file"])
    rows = published.first_rows(log, definition["rows"])
    return dict(zip(published.ids(name, log, rows), rows, strict=True))


def published_medians(config: Config) -> dict[str, float]:
    """The median ICD in its log, in nats, of every subset that comes from a log, by its id."""
    return {
        member: published.median_icd(row)
        for name, definition in config["subsets"]["definitions"].items()
        if definition["kind"] == "log"
        for member, row in logged(name, definition).items()
    }


def log_files(config: Config) -> list[str]:
    """The published logs that subsets come from."""
    definitions = config["subsets"]["definitions"].values()
    return [str(expanded(entry["file"])) for entry in definitions if entry["kind"] == "log"]


def replicated_logs(config: Config) -> dict[str, str]:
    """The published logs that gains are compared with, by the variant they are compared with."""
    logs = config.get("replication", {}).get("logs", {})
    return {variant: str(expanded(path)) for variant, path in logs.items()}


def given_matrix(config: Config) -> list[str]:
    """The file of another study's distances: one path, or none."""
    path = config.get("replication", {}).get("matrix")
    return [] if path is None else [str(expanded(path))]


def identifier(text: str) -> str:
    """The part of an id that a name gives: ``Large man-made things`` → ``large_man_made_things``.

    It is empty where the name has no Latin letter or digit.
    """
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "_", ascii_text).strip("_")


def effective_variants(config: Config) -> dict[str, dict[str, Any]]:
    """The config's variants without the settings that they do not use."""
    return {name: {**recipe, **effect(recipe)} for name, recipe in config["variants"].items()}


def effect(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe without what makes no difference: the order of layers, settings not in use.

    Equal for variants that are the same.
    """
    step = steps.of(recipe)
    recipe = {key: value for key, value in recipe.items() if key in ("parent", step)}
    return {**recipe, step: steps.STEPS[step].effect(recipe[step])} if step else recipe
