"""The jobs of partial training as the workflow plans them, and what each depends on.

Everything here is pure and light, since it runs each time the workflow is parsed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from laq.config.study import effect

Partial = Mapping[str, Any]

# Positions of layers that the config may ask for.
POSITIONS = ("first", "middle", "last", "single")
CONTROL, COMPARED, WHOLE, NAMED = "control", "compared", "whole", "named"
# Suffix of a position: the rest of the network is not trained.
_ALONE = "_alone"


def networks(partial: Partial, study: Iterable[str]) -> list[str]:
    """Ids of the networks: those of the study that are asked for, then the section's own."""
    ids = list(study) if partial["networks"] == "all" else partial["networks"]
    return [*ids, *partial["further_networks"]]


def names(partial: Partial, network: str) -> list[str]:
    """The jobs of a network: ``control``, ``compared``, and one per position and number of bits."""
    positions = [*partial["positions"], *(f"{name}{_ALONE}" for name in partial["alone"]), WHOLE]
    if network in partial["named"]:
        positions.append(NAMED)
    arms = [f"{position}-{bits}" for position in positions for bits in partial["bits"]]
    arms += [f"{WHOLE}-{bits}" for bits in partial["whole_bits"] if bits not in partial["bits"]]
    return [CONTROL, *([COMPARED] if partial["compared"] else []), *arms]


def settings(partial: Partial, network: str, name: str) -> dict[str, Any]:
    """The section's settings that a job's arms depend on, and no others."""
    shared = {
        "subsets": partial["subsets"],
        "images": partial["images"],
        "repeats": partial["repeats"],
        "training": control_training(partial),
    }
    position, _, bits = name.partition("-")
    if position == CONTROL:
        return {**shared, "position": CONTROL}
    if position == COMPARED:
        recipes = {key: effect(recipe) for key, recipe in partial["compared"].items()}
        return {**shared, "position": COMPARED, "compared": recipes}
    shared["training"]["train"] = "quantized" if position.endswith(_ALONE) else "all"
    shared |= {"position": position.removesuffix(_ALONE), "bits": int(bits)}
    if position == NAMED:
        return {**shared, "named": partial["named"][network]}
    return shared if position in (WHOLE, "single") else {**shared, "k": partial["k"]}


def control_training(partial: Partial) -> dict[str, Any]:
    """Settings of the training that all arms have, as a ``qat`` entry without its bits."""
    training = {
        **partial["training"],
        "method": "lsq",
        "bits": 8,
        "layers": "all",
        "skip_layers": [],
    }
    training = {**training, "classes": "all", "train": "all"}
    qat = effect({"parent": "original", "qat": training})["qat"]
    return {**_NEEDED, **{k: v for k, v in qat.items() if k != "bits"}}


# Settings that an entry always has, even where they make no difference.
_NEEDED = {"layers": "all", "skip_layers": [], "activations": None}
