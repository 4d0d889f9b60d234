"""How a network is trained: the settings, and their defaults from scratch and in fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """Settings of a training, as the config's ``training`` and ``finetune`` name them.

    epochs, batch_size: passes over the images, and images a step over all processes.
    learning_rate: the highest of the schedule.
    weight_decay: L2 penalty with ``sgd``, decoupled with ``adamw``. decay_norms: of biases and
        normalisation too, not of weights alone.
    label_smoothing: share of the target spread over all classes.
    optimizer: ``sgd`` or ``adamw``. momentum: of ``sgd``, Nesterov's.
    schedule: ``one_cycle``, ``cosine``, ``step`` or ``constant``. warmup: epochs in which the rate
        rises in a line, not of ``one_cycle``. milestones, factor: of ``step``, epochs after which
        the rate is multiplied by the factor.
    clip_norm: largest norm of all gradients together; 0: no limit.
    shift: largest random translation in pixels. flip: whether images are mirrored at random.
        policy: ``none``, ``randaugment`` or ``trivial``. erase: side of a square cut out, pixels;
        0: none.
    precision: ``float32``, or ``bfloat16`` or ``float16`` under autocast.
    processes: their number; they share every batch. gradient_bits: of the weights' gradients that
        processes send each other, 2, 4, 8 or 32 (float).
    """

    epochs: int = 5
    batch_size: int = 64
    learning_rate: float = 0.03
    weight_decay: float = 0.0005
    decay_norms: bool = True
    label_smoothing: float = 0.0
    optimizer: str = "sgd"
    momentum: float = 0.9
    schedule: str = "one_cycle"
    warmup: float = 0.0
    milestones: tuple[int, ...] = ()
    factor: float = 0.1
    clip_norm: float = 0.0
    shift: int = 2
    flip: bool = False
    policy: str = "none"
    erase: int = 0
    precision: str = "float32"
    processes: int = 1
    gradient_bits: int = 32

    @classmethod
    def of(cls, defaults: Recipe, settings: Mapping[str, Any]) -> Recipe:
        """``defaults`` with ``settings`` in their place; TypeError for a key that is no field."""
        if "milestones" in settings:
            settings = {**settings, "milestones": tuple(settings["milestones"])}
        return replace(defaults, **settings)


def of_training(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a step's ``settings`` that are fields of ``Recipe``, and so of any training."""
    names = (field.name for field in fields(Recipe))
    return {name: settings[name] for name in names if name in settings}


TRAINING = Recipe()
FINETUNING = Recipe(
    learning_rate=0.0001, weight_decay=0.01, optimizer="adamw", schedule="constant", shift=0
)
