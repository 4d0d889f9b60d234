"""The learning rate, step by step."""

from __future__ import annotations

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from laq.training.recipe import Recipe


def create(optimizer: Optimizer, recipe: Recipe, steps: int) -> LRScheduler:
    """The recipe's schedule over ``epochs`` of ``steps`` steps each; advance it after every step.

    ``one_cycle`` (Smith and Topin 2018): up from 1/25 of the rate in the first 30 % of the steps,
    then down to next to nothing along cosines; momentum (β₁ of AdamW) goes the other way about
    its value. ``cosine`` (Loshchilov and Hutter 2017, without restarts): from the rate to 0.
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
    warm, total = round(recipe.warmup * steps), recipe.epochs * steps
    if step < warm:
        return (step + 1) / (warm + 1)
    match recipe.schedule:
        case "cosine":
            return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total - warm)))
        case "step":
            return recipe.factor ** sum(
                step >= milestone * steps for milestone in recipe.milestones
            )
        case _:
            return 1.0


def _cycled(recipe: Recipe) -> tuple[float, float]:
    """Lowest and highest momentum of a cycle.

    At 0.9 torch's 0.85 and 0.95: 1 − momentum, the weight of a new gradient, times 1.5 and 0.5.
    """
    if recipe.optimizer == "sgd" and not recipe.momentum:
        return 0.0, 0.0
    fresh = 1 - recipe.momentum if recipe.optimizer == "sgd" else 0.1
    return max(0.0, round(1 - 1.5 * fresh, 12)), round(1 - 0.5 * fresh, 12)
