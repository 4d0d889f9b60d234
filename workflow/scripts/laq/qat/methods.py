"""The methods of quantization-aware training by name: one line a method.

A method is a class that descends from ``laq.qat.constraint.OnGrid``, of which ``options`` are the
settings beside those that all have. ``learns``: whether it learns the steps of weights. Its module
is imported only when a variant asks for it, so that the workflow rebuilds exactly the variants
whose method changed.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Method:
    module: str
    name: str
    options: tuple[str, ...] = ()
    learns: bool = False


METHODS = {
    "lsq": Method("laq.qat.lsq", "LearnedSteps", learns=True),
    "prox": Method("laq.qat.prox", "GrowingPull", ("pull",)),
}


def constraint(method: str) -> Any:
    """The method's class, imported now."""
    own = METHODS[method]
    return getattr(importlib.import_module(own.module), own.name)
