"""The float arm: trained as long as the others and in the same way, with no layer quantized."""

from __future__ import annotations

from laq.checkpoints import graph_edits, packing
from laq.experiments.variants.task import MadeVariant, Task
from laq.experiments.variants.trainable import begun
from laq.qat.training import constraint_of
from laq.training import finetune
from laq.training.recipe import of_training


def make(task: Task) -> MadeVariant:
    """The network trained on as the recipe's ``finetune`` entry says.

    The entry's settings of ``qat`` that concern other parts than quantized weights apply too:
    statistics of BatchNorm.
    """
    settings = task.recipe["finetune"]
    network, train, test, generator = begun(task)
    constraint = constraint_of({**settings, "bits": 32}, ())
    constraint.prepare(network)
    spec = graph_edits.spec(task.described)
    rows = finetune(
        network,
        train,
        test,
        of_training(settings),
        generator,
        task.device,
        task.state,
        spec,
        constraint=constraint,
    )
    description = packing.derived(task.described, task.name, task.recipe, **task.facts)
    return MadeVariant(network.state_dict(), description, history=rows)
