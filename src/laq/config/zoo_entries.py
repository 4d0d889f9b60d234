"""The zoo's entries as the workflow plans them: calibrations, settings, columns and family.

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
    """The calibrations of an entry, out of those ``asked`` for.

    An entry that looks at no image has ``none`` alone. One that trains has no synthetic images.
    """
    step = steps.of(recipe)
    if step is None or (step == "compress" and not _looks_at_images(recipe["compress"])):
        return [NONE]
    return [
        calibration for calibration in asked if calibration != "synthetic" or step == "compress"
    ]


def settings(name: str, recipe: Recipe, asked: Sequence[str]) -> dict[str, Any]:
    """Settings of measuring an entry with the calibrations ``asked`` for.

    They are its name, its recipe without what makes no difference, and its calibrations.
    """
    return {"method": name, "recipe": effect(recipe), "calibrations": calibrations(recipe, asked)}


def processes(recipe: Recipe) -> int:
    """How many processes share an entry's training; one where there is none."""
    return recipe.get(steps.of(recipe), {}).get("processes", 1)


def columns(recipe: Recipe) -> dict[str, Any]:
    """An entry described by its settings: columns of ``zoo/methods.csv``."""
    step = steps.of(recipe)
    spec = recipe[step] if step in ("compress", "qat") else {}
    inputs = spec.get("activations")
    mode = (inputs or {}).get("mode", "learned")
    return {
        "family": family(recipe),
        "rule": spec.get("method", step),
        "alphabet": "shared"
        if step == "deep"
        else spec.get("alphabet", "packed" if spec else None),
        "bits": "+".join(map(str, _bits(recipe))),
        "granularity": "per_tensor" if step == "deep" else _granularity(spec),
        "activations": f"{inputs['bits']} {mode}" if inputs else None,
        "inference": spec.get("inference", "simulated"),
    }


_FAMILIES = {
    "gptq": "GPTQ",
    "qronos": "Qronos",
    "beacon": "Beacon",
    "adaround": "AdaRound",
    "rtn": "nearest",
    "msq": "nearest",
    "stochastic": "stochastic",
}


def family(recipe: Recipe) -> str:
    """One of ``FAMILIES``, by the most distinctive setting of an entry."""
    if "qat" in recipe:
        return "in training"
    if "deep" in recipe:
        return "pruned, coded"
    if "compress" not in recipe:
        return "float"
    spec = recipe["compress"]
    if spec.get("activations"):
        return "activations too"
    if spec["alphabet"] in ("binary", "ternary"):
        return "binary, ternary"
    if not methods.ALPHABETS[spec["alphabet"]].equispaced:
        return "codebook"
    return _FAMILIES.get(spec["method"], "GPFQ")


def _bits(recipe: Recipe) -> list[int]:
    """The bits of weights; one number where all layers have as many."""
    if "deep" in recipe:
        counts = recipe["deep"]["bits_conv"], recipe["deep"]["bits_linear"]
        return list(dict.fromkeys(counts))
    bits = recipe.get(steps.of(recipe), {}).get("bits", 32)
    return bits if isinstance(bits, list) else [bits]


def _granularity(own: Mapping[str, Any]) -> str | None:
    kind = own.get("granularity")
    return f"{kind} of {own['group']}" if kind in ("per_channel_group", "per_group") else kind


def _looks_at_images(own: Mapping[str, Any]) -> bool:
    inputs = own.get("activations")
    static = inputs is not None and inputs["mode"] == "static"
    corrected = own.get("bias_correction") or own.get("batchnorm") == "reestimated"
    sees = static or corrected or "widths" in own or own.get("sweeps")
    return methods.METHODS[own["method"]].data or bool(sees)
