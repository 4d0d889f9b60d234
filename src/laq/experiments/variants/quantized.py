"""A variant that is trained on with its weights on grids: quantization-aware training."""

from __future__ import annotations

from laq.checkpoints import graph_edits, packing
from laq.experiments.variants.task import MadeVariant, Task
from laq.experiments.variants.trainable import begun
from laq.qat import training


def make(task: Task) -> MadeVariant:
    """The parent trained on as the recipe's ``qat`` entry says."""
    settings = task.recipe["qat"]
    network, train, test, generator = begun(task)
    spec = graph_edits.spec(task.described)
    result, rows = training.quantize(
        network, train, test, settings, generator, task.device, task.state, spec
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
    layers = [vars(layer) for layer in result.layers]
    return MadeVariant(result.network.state_dict(), description, result.packed, rows, layers)
