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
    """rule: the rule that runs it. made: what a network is afterwards, in a word.

    trains: whether it has epochs, with a history of them, and the settings of a training. packs:
    whether weights end as codes, with a layer report; no other step can follow. told: settings that
    the figure of the setup always shows. effect: removes the settings that make no difference.
    """

    rule: str
    made: str
    trains: bool
    packs: bool
    told: tuple[str, ...]
    effect: Callable[[Settings], dict[str, Any]]


# Settings of training that switch something off. ``laq.training`` has them as defaults.
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
    effect = {key: value for key, value in settings.items() if not unused.get(key)}
    effect = {key: value for key, value in effect.items() if (key, value) not in _OFF.items()}
    if "milestones" in effect:
        effect["milestones"] = sorted(effect["milestones"])
    return effect


def compression_effect(settings: Settings) -> dict[str, Any]:
    """Settings of ``compress`` without the order of layers and what is not in use."""
    settings = {**settings, "skip_layers": sorted(settings["skip_layers"])}
    unused = methods.unused(settings) | ({"fraction"} if settings["patches"] == "all" else set())
    effect = {key: value for key, value in settings.items() if key not in unused}
    off = COMPRESSION_OFF.items()
    effect = {key: value for key, value in effect.items() if (key, value) not in off}
    if "activations" in effect:
        effect["activations"] = _activations_effect(effect["activations"])
    if "widths" in effect:
        effect["widths"] = sorted(effect["widths"])
    if isinstance(effect["bits"], list) and len(set(effect["bits"])) == 1:
        effect["bits"] = effect["bits"][0]
    return effect


# Settings of a compression that switch something off.
COMPRESSION_OFF = {
    "bias_correction": False,
    "batchnorm": "trained",
    "activations": None,
    "inference": "simulated",
    "sweeps": 0,
}


def _activations_effect(settings: Settings) -> dict[str, Any]:
    dynamic = settings["mode"] == "dynamic"
    unused = {"range": dynamic, "percentile": dynamic or settings["range"] != "percentile"}
    return {key: value for key, value in settings.items() if not unused.get(key)}


def qat_effect(settings: Settings) -> dict[str, Any]:
    """Settings of ``qat`` without the order of layers, other methods' and what is not in use."""
    unused = {option for method in METHODS.values() for option in method.options}
    unused -= set(METHODS[settings["method"]].options)
    if settings["activations"] is None:
        unused.add("activations")
        if not METHODS[settings["method"]].learns:
            unused.add("step_rate")
    if settings["train"] == "all":
        unused.add("train")
    effect = {key: value for key, value in settings.items() if key not in unused}
    for key in ("skip_layers", "layers"):
        if isinstance(effect[key], list):
            effect[key] = sorted(effect[key])
    return training_effect(effect)


# Settings of ``deep`` that belong to one kind of pruning.
_PRUNING = {"scan": ("density", "held_back"), "ratios": ("ratios",), "deviation": ("quality",)}


def deep_effect(settings: Settings) -> dict[str, Any]:
    """Settings of ``deep`` without the order of layers and what is not in use."""
    unused = {
        key for pruning, keys in _PRUNING.items() if pruning != settings["pruning"] for key in keys
    }
    if settings["rounds"] == 1:
        unused.add("round_epochs")
    if not settings["tuning_epochs"]:
        unused.add("tuning_rate")
    effect = {key: value for key, value in settings.items() if key not in unused}
    effect["skip_layers"] = sorted(effect["skip_layers"])
    if "ratios" in effect:  # a layer that is not named keeps all
        effect["ratios"] = {k: v for k, v in sorted(effect["ratios"].items()) if v != 1}
    return training_effect(effect)


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
