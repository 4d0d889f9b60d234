"""A small valid config, and ways to spoil it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from laq.config import checks, load
from laq.config.schema import complete
from laq.data import sources

ROOT = Path(__file__).parents[1]
SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())


def compression(**given: Any) -> dict[str, Any]:
    """A variant's ``compress`` entry, what is not given as the schema has it."""
    return complete(given, {"$defs": SCHEMA["$defs"], **SCHEMA["$defs"]["compress"]})


# Ten classes: digit_0 … digit_9.
BASE = """
dataset: {kind: glyphs, classes: 10}
networks:
  small: {architecture: small_resnet}
features: {source: small}
subsets:
  size: 4
  definitions:
    near: {kind: similar}
    target: {kind: target, count: 3}
    named: {kind: classes, classes: [digit_1, digit_2]}
variants:
  original: {}
  quant: {compress: {bits: 4}}
  ft: {finetune: {epochs: 2}}
  ft_quant: {parent: ft, compress: {bits: 4}}
"""


def edited(edits: dict[str, Any]) -> dict[str, Any]:
    """The base config with values put at slash-separated paths; REMOVE takes a key out."""
    config = yaml.safe_load(BASE)
    for path, value in edits.items():
        *parents, key = path.split("/")
        place = config
        for parent in parents:
            place = place.setdefault(parent, {})
        if value == "REMOVE":
            del place[key]
        else:
            place[key] = value
    return config


def checked(config: Any) -> dict[str, Any]:
    """The completed config, if it passes all that the workflow checks before it plans."""
    completed = complete(config, SCHEMA)
    checks.check(completed, sources.class_names(completed["dataset"]))
    return completed


def mappings(node: Any) -> Iterator[dict[str, Any]]:
    """Every mapping of the schema, at any depth."""
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from mappings(child)


def opened(config: Any, named: tuple[str, ...] = ()) -> dict[str, Any]:
    """The config through the door that the workflow's own goes through."""
    return load.checked(config, ROOT / "workflow/schemas", dict.fromkeys(named))[0]
