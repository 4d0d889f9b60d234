"""Versions, seeds and threads that a study's results depend on."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

PACKAGES = (
    "snakemake",
    "numpy",
    "scipy",
    "pandas",
    "pyarrow",
    "torch",
    "torchvision",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "safetensors",
    "numba",
    "constriction",
    "scikit-learn",
    "umap-learn",
    "matplotlib",
    "seaborn",
)


def versions() -> dict[str, str]:
    """Of Python and of the packages that compute, as they are installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def seeds(config: Mapping[str, Any]) -> dict[str, Any]:
    """The study's one seed, and how many times each variant is made from streams of its own."""
    repeats = {
        name: recipe.get("repeats", 1) for name, recipe in config.get("variants", {}).items()
    }
    several = {
        f"times that {name} is made for each subset": count
        for name, count in repeats.items()
        if count > 1
    }
    return {"seed of the study": config["seed"], **several}


def threads(config: Mapping[str, Any]) -> dict[str, int]:
    """How many threads compute; of a replay nothing but tables and figures."""
    trained = {"training, features": config["threads"]} if "threads" in config else {}
    return {**trained, "all else": 1}
