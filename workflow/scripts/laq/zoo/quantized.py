"""An entry that is trained on with its weights on grids."""

from __future__ import annotations

from laq import packing, transforms
from laq.qat import training
from laq.zoo.task import Made, Task
from laq.zoo.trainable import begun


def make(task: Task) -> Made:
    """The network trained as the variant of this recipe is."""
    settings = task.recipe["qat"]
    network, train, test, generator = begun(task)
    spec = transforms.spec(task.described)
    result, _ = training.quantize(
        network, train, test, settings, generator, task.device, None, spec
    )
    description = packing.derived(
        task.described,
        task.name,
        task.recipe,
        **task.facts,
        bits=result.bits,
        alphabet="packed",
        calibration={"classes": settings["classes"], "images": len(train[0])},
        layers=[layer.row() for layer in result.layers],
        transforms=[*task.described.get("transforms", []), *result.transforms],
    )
    return Made(result.network.state_dict(), description, result.packed)
