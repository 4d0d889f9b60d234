"""The learning rate, step by step."""

from __future__ import annotations

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from laq.training.recipe import Recipe


def create(optimizer: Optimizer, recipe: Recipe, steps: int) -> LRScheduler:
    """The recipe's schedule over ``epochs`` of ``steps`` steps each; advance it after every step.

    ``one_cycle`` (Smith and Topin 2018): along cosines up from 1/25 of the rate in the first 30 %
    of the steps, then down to almost 0. Momentum (β₁ of AdamW) goes down and up around its value.
    ``cosine`` (Loshchilov and Hutter 2017, without restarts): from the rate to 0.
    """
    if recipe.schedule == "one_cycle":
        low, high = _cycled(recipe)
        return OneCycleLR(
            optimizer,
            [group["lr"] for group in optimizer.param_groups],
            total_steps=recipe.epochs * steps,
            cycle_momentum=high > 0,
            base_momentum=low,
            max_momentum=high,
        )
    return LambdaLR(optimizer, lambda step: share(recipe, step, steps))


def share(recipe: Recipe, step: int, steps: int) -> float:
    """Share of the learning rate that a step (from 0) takes, at ``steps`` an epoch."""
    warmup, total = round(recipe.warmup * steps), recipe.epochs * steps
    if step < warmup:
        return (step + 1) / (warmup + 1)
    match recipe.schedule:
        case "cosine":
            return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))
        case "step":
            return recipe.factor ** sum(
                step >= milestone * steps for milestone in recipe.milestones
            )
        case _:
            return 1.0


def _cycled(recipe: Recipe) -> tuple[float, float]:
    """Lowest and highest momentum of a cycle.

    1 − momentum, the weight of a new gradient, is multiplied by 1.5 and 0.5. At a momentum of 0.9
    this gives torch's defaults, 0.85 and 0.95.
    """
    if recipe.optimizer == "sgd" and not recipe.momentum:
        return 0.0, 0.0
    weight = 1 - recipe.momentum if recipe.optimizer == "sgd" else 0.1
    return max(0.0, round(1 - 1.5 * weight, 12)), round(1 - 0.5 * weight, 12)
