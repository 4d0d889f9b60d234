"""The completed config: checked by meaning, and taken apart into subsets and variants.

Everything here is pure and light, since it runs each time the workflow is parsed.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from laq.errors import ConfigError

Config = dict[str, Any]


def check(config: Config, class_names: Sequence[str]) -> None:
    """Check what no schema can: references, sizes against the data set, twins.

    ``class_names``: the data set's classes, in the order of their indices.

    Raises:
        ConfigError: one line for each fault, naming the key, the value and what is allowed.
    """
    faults = [
        *_check_features(config),
        *_check_subsets(config, class_names),
        *_check_variants(config["variants"]),
    ]
    if faults:
        raise ConfigError("the config is not valid:\n" + "\n".join(f"  {line}" for line in faults))


def subsets(config: Config, class_names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Every subset's id and full definition, series expanded (``target`` → ``target_1``, …).

    A definition holds all that choosing the subset needs besides distances and seed: kind,
    size, and rank (its place in the series), count, scale, median or class indices. Only
    what concerns the subset is in it, so that editing one definition leaves the others be.
    """
    size, scale = config["subsets"]["size"], config["subsets"]["scale"]
    expanded: dict[str, dict[str, Any]] = {}
    for name, definition in config["subsets"]["definitions"].items():
        kind = definition["kind"]
        if kind == "classes":
            indices = sorted(class_names.index(c) for c in definition["classes"])
            expanded[name] = {"kind": kind, "indices": indices}
        elif "median" in definition:
            expanded[name] = {"kind": kind, "size": size, "median": definition["median"]}
        else:
            count = definition["count"]
            series = {"scale": scale, "count": count} if kind == "target" else {}
            for rank, member in enumerate(_members(name, definition)):
                expanded[member] = {"kind": kind, "size": size, "rank": rank, **series}
    return expanded


def variants_with(config: Config, step: str) -> list[str]:
    """Names of the variants whose step is ``finetune`` or ``compress``."""
    return [name for name, recipe in config["variants"].items() if step in recipe]


def _check_features(config: Config) -> Iterator[str]:
    source = config["features"]["source"]
    if source != "pixels" and source not in config["networks"]:
        names = ", ".join(config["networks"])
        yield f"features.source: {source!r} is no network; it must be pixels or one of: {names}"


def _check_subsets(config: Config, class_names: Sequence[str]) -> Iterator[str]:
    size, definitions = config["subsets"]["size"], config["subsets"]["definitions"]
    count = len(class_names)
    sized = any(definition["kind"] != "classes" for definition in definitions.values())
    if sized and size > count:
        yield (
            f"subsets.size: {size} is more than the data set's {count} classes; "
            f"allowed: 2 to {count}"
        )
    seen: dict[str, str] = {}
    for name, definition in definitions.items():
        where = f"subsets.definitions.{name}"
        for label in definition.get("classes", ()):
            if label not in class_names:
                close = difflib.get_close_matches(label, class_names, 3) or class_names[:5]
                yield (
                    f"{where}.classes: {label!r} is no class of the data set "
                    f"({count} classes; near it: {', '.join(close)})"
                )
        for other in sorted(set(_members(name, definition)) & definitions.keys() - {name}):
            yield (
                f"subsets.definitions.{other}: that id also belongs to the series {name}; "
                "rename one of them"
            )
        twin = seen.setdefault(_identity(definition), name)
        if twin != name:
            yield f"{where}: the same subsets as {twin}; remove one, or use count"


def _members(name: str, definition: Mapping[str, Any]) -> list[str]:
    """Ids of the subsets that a definition makes."""
    count = definition.get("count", 1)
    width = len(str(count))
    return [name] if count == 1 else [f"{name}_{i:0{width}d}" for i in range(1, count + 1)]


def _identity(definition: Mapping[str, Any]) -> str:
    """Equal for definitions that make the same subsets: a longer series contains a shorter one."""
    kind = definition["kind"]
    if kind == "classes":
        return f"classes {sorted(definition['classes'])}"
    if kind == "target":
        return f"target {definition.get('count')} {definition.get('median')}"
    return str(kind)


def _check_variants(variants: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    seen: dict[str, str] = {}
    for name, recipe in variants.items():
        if name == "original":
            continue
        parent = recipe["parent"]
        if parent not in variants:
            yield (
                f"variants.{name}.parent: {parent!r} is no variant; "
                f"it must be one of: {', '.join(v for v in variants if v != name)}"
            )
        elif name in _ancestors(name, variants):
            yield f"variants.{name}.parent: {parent!r} leads back to {name}; start from original"
        elif "compress" in variants[parent]:
            yield (
                f"variants.{name}.parent: {parent!r} is compressed; a step starts from original "
                "or from a fine-tuned variant"
            )
        recipe_text = str(sorted(recipe.items()))
        if recipe_text in seen:
            yield f"variants.{name}: the same recipe as {seen[recipe_text]}; remove one"
        seen.setdefault(recipe_text, name)


def _ancestors(name: str, variants: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    """Parents of ``name`` up to original, or once round a cycle."""
    visited: set[str] = set()
    current = variants[name].get("parent")
    while current in variants and current not in visited:
        visited.add(current)
        yield current
        current = variants[current].get("parent")
