"""The variants' recipes in a few words each, as the figure of the setup lists them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from laq.config.recipes import STEPS

Recipe = Mapping[str, Any]


def recipes(variants: Mapping[str, Recipe], step: str) -> list[str]:
    """A line for each variant that is made by ``step``.

    What all of them share is told once, in a line before them; of the rest, what every variant
    has for itself. Some settings are always told, others where variants differ in them.
    ``variants``: the completed config's.
    """
    made = {name: recipe for name, recipe in variants.items() if step in recipe}
    settings = [recipe[step] for recipe in made.values()]
    told = STEPS[step].told
    keys = list(dict.fromkeys([*told, *(key for each in settings for key in each)]))
    differ = [key for key in keys if len({repr(each.get(key)) for each in settings}) > 1]
    shared = [key for key in told if key not in differ] if len(made) > 1 else []
    own = differ if len(made) > 1 else told
    lines = []
    if shared:
        lines.append(
            "every variant: " + ", ".join(_phrase(key, settings[0][key]) for key in shared)
        )
    for name, recipe in made.items():
        words = [_phrase(key, recipe[step][key]) for key in own if key in recipe[step]]
        if recipe.get("parent", "original") != "original":
            words.append(f"from {recipe['parent']}")
        if recipe.get("repeats", 1) > 1:
            words.append(f"{recipe['repeats']} seeds")
        lines.append(": ".join([name, *([", ".join(words)] if words else [])]))
    return lines


def points(settings: Mapping[str, Any]) -> list[str]:
    """The points of a sweep: what is varied, and from which variant."""
    lines = [f"from {settings['variant']}, subset's and all classes"]
    if settings["bits"]:
        lines.append("bits: " + ", ".join(map(str, settings["bits"])))
    if settings["images"]:
        lines.append("calibration images: " + ", ".join(map(str, settings["images"])))
    if settings.get("repeats", 1) > 1:
        lines.append(f"{settings['repeats']} seeds")
    return lines


def _phrase(key: str, value: Any) -> str:
    match key:
        case "method":
            return {"gpfq_l1": "GPFQ-L1", "gpfq_l0": "GPFQ-L0"}.get(value, value.upper())
        case "bits":
            return f"{' + '.join(map(str, value)) if isinstance(value, list) else value} bits"
        case "bits_conv" | "bits_linear":
            return f"{key.removeprefix('bits_')} of {value} bits"
        case "ratios" if value:
            return "keeps " + ", ".join(f"{name} {share:g}" for name, share in value.items())
        case "images":
            return f"{value} calibration image{'s' * (value != 1)}"
        case "classes":
            named = {"subset": "subset's classes", "all": "all classes", "none": "no class"}
            return named.get(value, f"classes of {value}")
        case "activations" if value is not None:
            return f"inputs of {value['bits']} bits"
        case "epochs":
            return f"{value} epoch{'s' * (value != 1)}"
        case "learning_rate":
            return f"rate {value:g}"
    if isinstance(value, list | dict):
        value = " ".join(map(str, value)) or "none"
    if isinstance(value, bool):
        value = "yes" if value else "no"
    return f"{key.replace('_', ' ')} {value}"
