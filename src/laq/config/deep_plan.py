"""The study of Deep Compression as the workflow plans it: what each of its jobs depends on.

Everything here is pure and light, since it runs each time the workflow is parsed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from laq.config.recipes import deep_effect

# Curves by name, each with the key of its points in ``deep_compression.curves``.
CURVES = {"pruning": "density", "quantization": "bits", "lowrank": "energy"}

# Settings that the study says of all networks alike, and what they are where it is not asked.
OWN = {"classes": "subset", "coder": "huffman"}

_PRUNING = {"pruning", "density", "held_back", "ratios", "quality"}
_BITS = {"bits_conv", "bits_linear"}
_SHARING = {*_BITS, "initial", "tuning_epochs", "tuning_rate", "index_bits"}
# What the points of a curve say, or what a curve has nothing to do with.
_UNUSED = {
    "pruning": {"density"},
    "quantization": {*_PRUNING, *_BITS},
    "lowrank": _PRUNING | _SHARING,
}

Section = Mapping[str, Any]
Settings = dict[str, Any]


def course(section: Section, network: str, **changes: Any) -> Settings:
    """The settings of ``deep`` that a network of the study is compressed by, those in use."""
    return deep_effect({**section["networks"][network], "classes": "all", **changes})


def curve(section: Section, network: str, name: str) -> Settings:
    """``course``, what a curve departs from, and ``values``, its points."""
    scanned = {"pruning": "scan"} if name == "pruning" else {}
    own = course(section, network, **scanned)
    used = {key: value for key, value in own.items() if key not in _UNUSED[name]}
    return {"course": used, "values": section["curves"][CURVES[name]]}


def initial(section: Section, network: str) -> Settings:
    """``course``, what centroids are trained by, ``bits`` and ``repeats``."""
    unused = _PRUNING | _BITS | {"initial", "rounds", "round_epochs", "skip_layers"}
    own = course(section, network)
    used = {key: value for key, value in own.items() if key not in unused}
    return {"course": used, **section["initial"]}


def label_aware(section: Section, network: str) -> Settings:
    """``course``, whose layers the scan chooses, ``kept``, its points, and ``repeats``."""
    own = course(section, network, pruning="scan")
    used = {key: value for key, value in own.items() if key not in {"density", "classes"}}
    asked = section["label_aware"]
    return {"course": used, "density": asked["density"], "repeats": asked["repeats"]}
