"""The kinds of the zoo's entries: how each is made, and on whose images, as jobs take them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from laq.config import methods, recipes

Recipe = Mapping[str, Any]

# The entry that all are compared with: the trained network in float.
ORIGINAL = "original"

# The calibration of an entry that looks at no image.
NONE = "none"

# Settings of a ``compress`` entry that say whose images calibrate.
_WHOSE = {
    "subset": {"classes": "subset", "images_from": "training"},
    "all": {"classes": "all", "images_from": "training"},
    "synthetic": {"classes": "subset", "images_from": "synthetic"},
    NONE: {"classes": "subset", "images_from": "training"},
}


# Families in the order of figures' legends.
FAMILIES = (
    "float",
    "nearest",
    "codebook",
    "binary, ternary",
    "stochastic",
    "GPFQ",
    "GPTQ",
    "Qronos",
    "Beacon",
    "AdaRound",
    "activations too",
    "in training",
    "pruned, coded",
)


def calibrated(recipe: Recipe, calibration: str) -> dict[str, Any]:
    """The recipe of a variant: that of an entry, with the source of its images."""
    step = recipes.of(recipe)
    source = _WHOSE[calibration]
    if step == "compress":
        return {"parent": ORIGINAL, step: {**recipe[step], **source}}
    if step in ("qat", "deep"):
        return {"parent": ORIGINAL, step: {**recipe[step], "classes": source["classes"]}}
    return {"parent": ORIGINAL, **recipe}


def serves_every_subset(recipe: Recipe, calibration: str) -> bool:
    """Whether the network made for one subset is that for any other."""
    step = recipes.of(recipe)
    if step == "compress":
        rounding = methods.METHODS[recipe[step]["method"]].rounding
        return calibration == NONE and rounding != "stochastic"
    return step is None or calibration == "all"
