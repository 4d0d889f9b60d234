"""The methods of quantization-aware training by name: one line a method.

``options`` are the settings beside those that all have. ``learns``: whether it learns the steps of
weights. ``laq.qat.training`` has their classes.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class QatMethod:
    options: tuple[str, ...] = ()
    learns: bool = False


METHODS = {
    "lsq": QatMethod(learns=True),
    "prox": QatMethod(("pull",)),
}
