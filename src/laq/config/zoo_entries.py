"""The zoo's entries as the workflow plans them: on whose images, by which code, in which words.

Everything here is pure and light, since it runs each time the workflow is parsed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from laq.config import methods
from laq.config import recipes as steps
from laq.config.study import effect
from laq.config.zoo_kinds import NONE, ORIGINAL

Recipe = Mapping[str, Any]


def recipes(zoo: Mapping[str, Any]) -> dict[str, Recipe]:
    """All entries by name, in the config's order, ``original`` first; its recipe is empty."""
    return {ORIGINAL: {}, **zoo["methods"]}


def calibrations(recipe: Recipe, asked: Sequence[str]) -> list[str]:
    """Of the calibrations ``asked`` for, those of an entry: ``none`` alone where it looks at no
    image, and no synthetic images where it trains."""
    step = steps.of(recipe)
    if step is None or (step == "compress" and not _looks_at_images(recipe["compress"])):
        return [NONE]
    return [each for each in asked if each != "synthetic" or step == "compress"]


def settings(name: str, recipe: Recipe, asked: Sequence[str]) -> dict[str, Any]:
    """Settings of measuring an entry with the calibrations ``asked`` for: its name, its recipe
    without what makes no difference, and its calibrations."""
    return {"method": name, "recipe": effect(recipe), "calibrations": calibrations(recipe, asked)}


def processes(recipe: Recipe) -> int:
    """How many share an entry's training; one where there is none."""
    return recipe.get(steps.of(recipe), {}).get("processes", 1)


def columns(recipe: Recipe) -> dict[str, Any]:
    """What an entry is, in the words of its settings: columns of ``zoo/methods.csv``."""
    step = steps.of(recipe)
    own = recipe[step] if step in ("compress", "qat") else {}
    inputs = own.get("activations")
    mode = (inputs or {}).get("mode", "learned")
    return {
        "family": family(recipe),
        "rule": own.get("method", step),
        "alphabet": "shared" if step == "deep" else own.get("alphabet", "packed" if own else None),
        "bits": "+".join(map(str, _bits(recipe))),
        "granularity": "per_tensor" if step == "deep" else _granularity(own),
        "activations": f"{inputs['bits']} {mode}" if inputs else None,
        "inference": own.get("inference", "simulated"),
    }


_FAMILIES = {"gptq": "GPTQ", "rtn": "nearest", "msq": "nearest", "stochastic": "stochastic"}


def family(recipe: Recipe) -> str:
    """One of ``FAMILIES``, by what tells an entry from others first."""
    if "qat" in recipe:
        return "in training"
    if "deep" in recipe:
        return "pruned, coded"
    if "compress" not in recipe:
        return "float"
    own = recipe["compress"]
    if own.get("activations"):
        return "activations too"
    if own["alphabet"] in ("binary", "ternary"):
        return "binary, ternary"
    if not methods.ALPHABETS[own["alphabet"]].equispaced:
        return "codebook"
    return _FAMILIES.get(own["method"], "GPFQ")


def _bits(recipe: Recipe) -> list[int]:
    """Of weights, one number where all layers have as many."""
    if "deep" in recipe:
        own = recipe["deep"]["bits_conv"], recipe["deep"]["bits_linear"]
        return list(dict.fromkeys(own))
    bits = recipe.get(steps.of(recipe), {}).get("bits", 32)
    return bits if isinstance(bits, list) else [bits]


def _granularity(own: Mapping[str, Any]) -> str | None:
    shared = own.get("granularity")
    return f"{shared} of {own['group']}" if shared in ("per_channel_group", "per_group") else shared


def _looks_at_images(own: Mapping[str, Any]) -> bool:
    inputs = own.get("activations")
    ranges = inputs is not None and inputs["mode"] == "static"
    return methods.METHODS[own["method"]].data or "widths" in own or ranges
