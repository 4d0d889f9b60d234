"""The methods of quantization-aware training by name: one line a method.

A method is a class that descends from ``laq.qat.grid.OnGrid``, of which ``options`` are the
settings beside those that all have. Its module is imported only when a variant asks for it, so that
the workflow rebuilds exactly the variants whose method changed.
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


METHODS = {
    "lsq": Method("laq.qat.lsq", "LearnedSteps", ("step_rate",)),
    "prox": Method("laq.qat.prox", "GrowingPull", ("pull",)),
}


def constraint(method: str) -> Any:
    """The method's class, imported now."""
    own = METHODS[method]
    return getattr(importlib.import_module(own.module), own.name)
