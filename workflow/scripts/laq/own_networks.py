"""The project's own architectures by name: one line each.

An architecture is a class that takes ``classes``, ``channels``, where it needs it ``side`` (pixels
of a square image), and options of its own. Its module is imported only when a network asks for it,
so that the workflow rebuilds exactly the networks whose architecture changed.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

ARCHITECTURES = {
    "small_resnet": "laq.small_resnet:SmallResNet",
    "lenet_300_100": "laq.lenets:LeNet300100",
    "lenet5": "laq.lenets:LeNet5",
    "small_vit": "laq.vit:SmallViT",
}


def architecture(name: str) -> Callable[..., Any]:
    """The architecture's class, imported now."""
    module, _, found = ARCHITECTURES[name].partition(":")
    return getattr(importlib.import_module(module), found)


def modules(name: str) -> list[str]:
    """What a network called ``name`` imports by name; nothing for those of other libraries."""
    return [ARCHITECTURES[name].partition(":")[0]] if name in ARCHITECTURES else []
