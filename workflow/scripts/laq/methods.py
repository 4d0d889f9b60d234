"""The compression methods by name: one line a method.

A method is a module with ``solve(weight, samples, alphabet, *, rounding, …)``, a
``laq.layer.Solver`` once its options are bound. It is imported by name only when a variant asks
for it, so that the workflow can rebuild exactly the variants whose method changed.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Method:
    """module: its solver's. rounding: a kind of ``laq.rounding``. options: settings it takes."""

    module: str
    rounding: str = "nearest"
    options: tuple[str, ...] = ()


METHODS = {
    "gpfq": Method("laq.gpfq"),
    "sgpfq": Method("laq.gpfq", "stochastic"),
    "gpfq_l1": Method("laq.gpfq", "soft"),
    "gpfq_l0": Method("laq.gpfq", "hard"),
    "gptq": Method("laq.gptq", options=("damping",)),
    "msq": Method("laq.msq"),
}


def solver(method: str) -> Any:
    """``solve`` of the method's module, imported now."""
    return importlib.import_module(METHODS[method].module).solve
