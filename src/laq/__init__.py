"""Label-aware quantization: the numbers and models behind the workflow's rules.

Modules know arrays, modules and the files they are handed; none imports Snakemake and
none knows where the study keeps its artifacts. docs/architecture.md has the packages.
"""

import importlib
from typing import Any

# What ``laq`` itself offers, and where it is. A job pays only for the modules that it uses, and is
# done anew only when these change: so nothing is imported here before it is asked for.
_OFFERED = {
    "calibration_images": "laq.api.images",
    "compare": "laq.api.comparison",
    "evaluate": "laq.api.evaluation",
    "load": "laq.checkpoints.packing",
    "quantize": "laq.api.quantization",
}

__all__ = ["calibration_images", "compare", "evaluate", "load", "quantize"]


def __getattr__(name: str) -> Any:
    if name not in _OFFERED:
        raise AttributeError(f"module laq has no attribute {name!r}")
    return getattr(importlib.import_module(_OFFERED[name]), name)
