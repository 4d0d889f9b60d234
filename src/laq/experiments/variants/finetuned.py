"""A variant that is trained on in float."""

from __future__ import annotations

from laq.checkpoints import graph_edits, packing
from laq.experiments.variants.task import MadeVariant, Task
from laq.experiments.variants.trainable import begun
from laq.training import finetune


def make(task: Task) -> MadeVariant:
    """The parent trained on as the recipe's ``finetune`` entry says."""
    network, train, test, generator = begun(task)
    settings, spec = task.recipe["finetune"], graph_edits.spec(task.described)
    rows = finetune(network, train, test, settings, generator, task.device, task.state, spec)
    description = packing.derived(task.described, task.name, task.recipe, **task.facts)
    return MadeVariant(network.state_dict(), description, history=rows)
