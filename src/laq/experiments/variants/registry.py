"""The makers of variants' networks, by the step of the recipe: functions of a ``Task``."""

from __future__ import annotations

from collections.abc import Callable

from laq.experiments.variants import compressed, deep, finetuned, quantized
from laq.experiments.variants.task import MadeVariant, Task

MAKERS: dict[str, Callable[[Task], MadeVariant]] = {
    "finetune": finetuned.make,
    "compress": compressed.make,
    "qat": quantized.make,
    "deep": deep.make,
}
