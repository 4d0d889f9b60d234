"""Training and fine-tuning of a network on images held in memory.

One idea a module: ``recipe`` (the settings), ``optimizers``, ``schedules``, ``augmentation``,
``constraints`` (conditions on weights beside the loss), ``loop`` (epochs and steps, and mixed
precision), ``resume`` (going on after a kill), ``distributed`` (several processes),
``exchange`` (gradients between processes), ``launch``, ``agent`` and ``worker`` (starting them).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from laq.models.networks import safe_kernels
from laq.training import loop, resume
from laq.training.constraints import Constraint
from laq.training.loop import Epoch, Split, fit, untrained
from laq.training.recipe import FINETUNING, TRAINING, Recipe

__all__ = ["FINETUNING", "TRAINING", "Epoch", "Recipe", "Split", "finetune", "train", "untrained"]


def train(
    network: nn.Module,
    train_split: Split,
    test_split: Split,
    settings: Mapping[str, Any],
    generator: torch.Generator,
    device: torch.device,
    state: Path | None = None,
    spec: Mapping[str, Any] | None = None,
    defaults: Recipe = TRAINING,
    constraint: Constraint | None = None,
) -> list[dict[str, Any]]:
    """Train ``network`` in place from scratch.

    ``settings``: fields of ``Recipe``; the others are those of ``defaults``, SGD with Nesterov
    momentum on one cycle. ``generator``, on the CPU, draws batches and augmentations. torch's own
    generator draws for layers such as dropout: seed both. ``state``: file from which an interrupted
    training goes on. Call ``resume.clear`` once the result is stored. ``spec``: the network's
    arguments of ``laq.checkpoints.graph_edits.create``, needed for more than one process.
    ``constraint``: condition on the weights; ``network`` is already prepared for it, and stays so.

    Returns one ``Epoch`` row an epoch, as a dictionary, and leaves the network on the CPU in
    evaluation mode.

    Raises:
        DataError: the loss, or an output on the test images, is not finite.
        ConfigError: the device cannot do what ``settings`` ask.
        ProcessError: one of several processes was ended from outside.
    """
    recipe, splits = Recipe.of(defaults, settings), (train_split, test_split)
    loop.check(recipe.precision, device)
    if recipe.processes > 1:
        from laq.training import launch  # before the identity, which holds the code that is loaded
    keeper = None
    if state is not None:
        identity = resume.identity(network, *splits, recipe, generator, device, constraint)
        keeper = resume.Keeper(state, identity)
    if recipe.processes == 1:
        with safe_kernels(network):
            return fit(network, *splits, recipe, generator, device, keeper, constraint=constraint)
    return launch.fit(network, *splits, recipe, generator, device, keeper, spec, constraint)


# As ``train``, with the defaults of fine-tuning: AdamW at a constant rate, as in the published
# study. Labels keep their numbers among all classes, so that the head keeps its size and the All
# accuracy stays defined.
finetune = partial(train, defaults=FINETUNING)
