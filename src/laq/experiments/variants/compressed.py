"""A variant that is compressed."""

from __future__ import annotations

from laq.checkpoints import packing
from laq.experiments import compression
from laq.experiments.variants.task import MadeVariant, Task
from laq.ptq import layer_report
from laq.utils import seeds


def make(task: Task) -> MadeVariant:
    """The parent compressed as the recipe's ``compress`` entry says."""
    settings = task.recipe["compress"]
    result, count = compression.for_subset(
        task.network,
        task.train,
        task.members,
        None if task.taken is None else list(task.taken),
        settings,
        seeds.of_repeat(task.seed, task.repeat),
        task.memory,
    )
    layer_report.tell(result.layers)
    calibration = {"classes": settings["classes"], "images": count, "from": settings["images_from"]}
    description = packing.derived(
        task.described,
        task.name,
        task.recipe,
        **task.facts,
        bits=result.bits,
        alphabet=settings["alphabet"] if result.packed else None,
        calibration=calibration,
        layers=[layer.row() for layer in result.layers],
        transforms=[*task.described.get("transforms", []), *result.transforms],
    )
    state, layers = result.network.cpu().state_dict(), [vars(layer) for layer in result.layers]
    return MadeVariant(state, description, result.packed, layers=layers)
