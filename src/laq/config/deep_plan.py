"""The study of Deep Compression as the workflow plans it: what each of its jobs depends on.

Everything here is pure and light, since it runs each time the workflow is parsed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from laq.config.recipes import deep_effect

# Curves by name, each with the key of its points in ``deep_compression.curves``.
CURVES = {"pruning": "density", "quantization": "bits", "lowrank": "energy"}

# Settings that are the same for all networks of the study, with their defaults elsewhere.
OWN = {"classes": "subset", "coder": "huffman"}

_PRUNING = {"pruning", "density", "held_back", "ratios", "quality"}
_BITS = {"bits_conv", "bits_linear"}
_SHARING = {*_BITS, "initial", "tuning_epochs", "tuning_rate", "index_bits"}
# Settings that the points of a curve replace, or that a curve does not use.
_UNUSED = {
    "pruning": {"density"},
    "quantization": {*_PRUNING, *_BITS},
    "lowrank": _PRUNING | _SHARING,
}

Section = Mapping[str, Any]
Settings = dict[str, Any]


def course(section: Section, network: str, **changes: Any) -> Settings:
    """The ``deep`` settings in use by which a network of the study is compressed."""
    return deep_effect({**section["networks"][network], "classes": "all", **changes})


def curve(section: Section, network: str, name: str) -> Settings:
    """``course``, the settings that a curve starts from, and ``values``, its points."""
    changes = {"pruning": "scan"} if name == "pruning" else {}
    settings = course(section, network, **changes)
    base = {key: value for key, value in settings.items() if key not in _UNUSED[name]}
    return {"course": base, "values": section["curves"][CURVES[name]]}


def initial(section: Section, network: str) -> Settings:
    """``course``, the settings by which centroids are trained, ``bits`` and ``repeats``."""
    unused = _PRUNING | _BITS | {"initial", "rounds", "round_epochs", "skip_layers"}
    settings = course(section, network)
    base = {key: value for key, value in settings.items() if key not in unused}
    return {"course": base, **section["initial"]}


def label_aware(section: Section, network: str) -> Settings:
    """``course``, whose layers the scan chooses, ``density``, its points, and ``repeats``."""
    settings = course(section, network, pruning="scan")
    base = {key: value for key, value in settings.items() if key not in {"density", "classes"}}
    options = section["label_aware"]
    return {"course": base, "density": options["density"], "repeats": options["repeats"]}
