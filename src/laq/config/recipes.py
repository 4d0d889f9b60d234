"""The steps that a variant can be made by: one line a step, for the workflow, figures and texts.

Everything here is pure and light, since it runs each time the workflow is parsed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from laq.config import methods
from laq.config.qat_methods import METHODS

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Step:
    """rule: the one that takes it. made: what a network is afterwards, in a word.

    trains: it has epochs, with a history of them, and the settings of a training. packs: weights
    end as codes, with a layer report, and no other step can be taken from there. told: settings
    that the figure of the setup always tells. effect: settings without what makes no difference.
    """

    rule: str
    made: str
    trains: bool
    packs: bool
    told: tuple[str, ...]
    effect: Callable[[Settings], dict[str, Any]]


# Settings of training that ask for nothing; `laq.training` takes them where they are not named.
_OFF = {
    "decay_norms": True,
    "warmup": 0,
    "clip_norm": 0,
    "flip": False,
    "policy": "none",
    "erase": 0,
    "precision": "float32",
    "processes": 1,
    "gradient_bits": 32,
}


def training_effect(settings: Settings) -> dict[str, Any]:
    """Settings of ``training`` or ``finetune`` without what makes no difference.

    Equal for trainings that are the same.
    """
    unused = {
        "momentum": settings["optimizer"] != "sgd",
        "warmup": settings["schedule"] == "one_cycle",
        "milestones": settings["schedule"] != "step",
        "factor": settings["schedule"] != "step",
        "decay_norms": not settings["weight_decay"],
        "gradient_bits": settings["processes"] == 1,
    }
    used = {key: value for key, value in settings.items() if not unused.get(key)}
    used = {key: value for key, value in used.items() if (key, value) not in _OFF.items()}
    if "milestones" in used:
        used["milestones"] = sorted(used["milestones"])
    return used


def compression_effect(settings: Settings) -> dict[str, Any]:
    """Settings of ``compress`` without the order of layers and what is not in use."""
    settings = {**settings, "skip_layers": sorted(settings["skip_layers"])}
    unused = methods.unused(settings) | ({"fraction"} if settings["patches"] == "all" else set())
    used = {key: value for key, value in settings.items() if key not in unused}
    used = {key: value for key, value in used.items() if (key, value) not in _IN_FLOAT.items()}
    if "activations" in used:
        used["activations"] = _activations_effect(used["activations"])
    if "widths" in used:
        used["widths"] = sorted(used["widths"])
    if isinstance(used["bits"], list) and len(set(used["bits"])) == 1:
        used["bits"] = used["bits"][0]
    return used


# Settings of a compression that leave activations as they are.
_IN_FLOAT = {"activations": None, "inference": "simulated"}


def _activations_effect(settings: Settings) -> dict[str, Any]:
    dynamic = settings["mode"] == "dynamic"
    unused = {"range": dynamic, "percentile": dynamic or settings["range"] != "percentile"}
    return {key: value for key, value in settings.items() if not unused.get(key)}


def qat_effect(settings: Settings) -> dict[str, Any]:
    """Settings of ``qat`` without the order of layers, other methods' and what is not in use."""
    others = {option for method in METHODS.values() for option in method.options}
    others -= set(METHODS[settings["method"]].options)
    if settings["activations"] is None:
        others.add("activations")
        if not METHODS[settings["method"]].learns:
            others.add("step_rate")
    if settings["train"] == "all":
        others.add("train")
    used = {key: value for key, value in settings.items() if key not in others}
    for key in ("skip_layers", "layers"):
        if isinstance(used[key], list):
            used[key] = sorted(used[key])
    return training_effect(used)


# Settings of ``deep`` that one way of pruning has for itself.
_PRUNING = {"scan": ("density", "held_back"), "ratios": ("ratios",), "deviation": ("quality",)}


def deep_effect(settings: Settings) -> dict[str, Any]:
    """Settings of ``deep`` without the order of layers and what is not in use."""
    others = {key for way, keys in _PRUNING.items() if way != settings["pruning"] for key in keys}
    if settings["rounds"] == 1:
        others.add("round_epochs")
    if not settings["tuning_epochs"]:
        others.add("tuning_rate")
    used = {key: value for key, value in settings.items() if key not in others}
    used["skip_layers"] = sorted(used["skip_layers"])
    if "ratios" in used:  # a layer that is not named keeps all
        used["ratios"] = {k: v for k, v in sorted(used["ratios"].items()) if v != 1}
    return training_effect(used)


STEPS: dict[str, Step] = {
    "finetune": Step(
        rule="finetune_network",
        made="fine-tuned",
        trains=True,
        packs=False,
        told=("epochs", "learning_rate"),
        effect=training_effect,
    ),
    "compress": Step(
        rule="compress_network",
        made="quantized",
        trains=False,
        packs=True,
        told=("method", "bits", "images", "classes"),
        effect=compression_effect,
    ),
    "qat": Step(
        rule="train_quantized",
        made="trained quantized",
        trains=True,
        packs=True,
        told=("method", "bits", "epochs", "classes"),
        effect=qat_effect,
    ),
    "deep": Step(
        rule="deep_compress_network",
        made="deeply compressed",
        trains=True,
        packs=True,
        told=("pruning", "rounds", "bits_conv", "bits_linear", "epochs", "classes"),
        effect=deep_effect,
    ),
}


def of(recipe: Settings) -> str | None:
    """The step of a variant's recipe; None for original, which has none."""
    return next((name for name in STEPS if name in recipe), None)
