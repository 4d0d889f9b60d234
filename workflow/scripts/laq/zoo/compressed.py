"""An entry that is compressed."""

from __future__ import annotations

from laq import compression, packing
from laq.zoo.task import Made, Task


def make(task: Task) -> Made:
    """The network compressed as the variant of this recipe is."""
    settings = task.recipe["compress"]
    result, count = compression.for_subset(
        task.network,
        task.train,
        task.members,
        list(task.taken),
        settings,
        task.seed,
        task.memory,
    )
    whose = {"classes": settings["classes"], "images": count, "from": settings["images_from"]}
    description = packing.derived(
        task.described,
        task.name,
        task.recipe,
        **task.facts,
        bits=result.bits,
        alphabet=settings["alphabet"] if result.packed else None,
        calibration=whose,
        layers=[layer.row() for layer in result.layers],
        transforms=[*task.described.get("transforms", []), *result.transforms],
    )
    return Made(result.network.cpu().state_dict(), description, result.packed)
