"""An entry that is trained on in float: the control of those that are trained quantized."""

from __future__ import annotations

from laq import packing, transforms
from laq.training import finetune
from laq.zoo.task import Made, Task
from laq.zoo.trainable import begun


def make(task: Task) -> Made:
    """The network fine-tuned, on the subset's classes as a variant is or on all."""
    network, train, test, generator = begun(task)
    spec = transforms.spec(task.described)
    finetune(network, train, test, task.recipe["finetune"], generator, task.device, None, spec)
    description = packing.derived(task.described, task.name, task.recipe, **task.facts)
    return Made(network.state_dict(), description)
