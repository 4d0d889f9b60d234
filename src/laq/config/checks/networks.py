"""Checks of networks, their trainings, and the source of features."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from laq.config import architectures
from laq.config.checks import subsets
from laq.config.networks import weights_file
from laq.config.recipes import STEPS
from laq.config.study import Config


def check_networks(networks: Mapping[str, Any], section: str = "networks") -> Iterator[str]:
    for name, network in networks.items():
        prefix, architecture = f"{section}.{name}", network["architecture"]
        source = network.get("weights", {}).get("source")
        if source == "torchvision" and ("/" in architecture or "stem" not in network):
            yield (
                f"{prefix}.weights.source: torchvision has no weights of {architecture}; take hub "
                "or file, or the name of a network in torchvision"
            )
        yield from _check_file(prefix, network)
        if network.get("crop", 0) > network.get("resize", math.inf):
            yield (
                f"{prefix}.crop: {network['crop']} pixels cannot be cut out of "
                f"{network['resize']} (resize)"
            )
        if network.get("stem") == "small" and not architectures.for_small_images(architecture):
            yield (
                f"{prefix}.stem: small, the default, does not fit the architecture "
                f"{architecture!r}, which has no stem for small images: set {prefix}.stem: "
                f"standard and {prefix}.resize: 224, or the size that it was made for"
                f"{architectures.hint(architecture)}"
            )


def check_features(config: Config) -> Iterator[str]:
    source, networks = config["features"]["source"], config["networks"]
    for name, meaning in (
        ("pixels", "the images themselves"),
        ("pretrained", "a network that others trained"),
    ):
        if name in networks:
            yield (
                f"networks.{name}: in features.source {name} means {meaning}; "
                "give the network another id"
            )
    if source not in ("pixels", "pretrained", *networks):
        names = ", ".join(["pixels", "pretrained", *networks])
        yield f"features.source: {source!r} is no network; it must be one of: {names}"
    if config["features"].get("crop", 0) > config["features"].get("resize", math.inf):
        yield "features.crop: no more pixels can be cut out than resize gives"
    yield from _check_file("features", config["features"])


def check_training(config: Config) -> Iterator[str]:
    """Check that schedules fit their epochs, and that the device can do what is asked."""
    networks, variants = config["networks"].items(), config["variants"].items()
    step_names = [name for name, step in STEPS.items() if step.trains]
    methods = config.get("zoo", {"methods": {}})["methods"].items()
    steps = [("networks", "training", networks)]
    steps += [("variants", name, variants) for name in step_names]
    steps += [("zoo.methods", name, methods) for name in step_names]
    if "partial_qat" in config:
        partial_qat = config["partial_qat"]
        extra_networks = partial_qat["further_networks"].items()
        steps.append(("partial_qat.further_networks", "training", extra_networks))
        steps.append(("partial_qat", "training", [("", partial_qat)]))
    trainings = {
        ".".join(filter(None, [section, name, step])): entry[step]
        for section, step, entries in steps
        for name, entry in entries
        if step in entry
    }
    deep_networks = config.get("deep_compression", {"networks": {}})["networks"].items()
    trainings |= {f"deep_compression.networks.{name}": settings for name, settings in deep_networks}
    for prefix, settings in trainings.items():
        epochs, schedule = settings["epochs"], settings["schedule"]
        if schedule == "step" and not settings["milestones"]:
            yield f"{prefix}.milestones: step needs one or more, such as [{-(-epochs // 2)}]"
        for milestone in settings["milestones"]:
            if schedule == "step" and milestone >= epochs:
                yield f"{prefix}.milestones: {milestone} must be below the {epochs} epochs"
        if schedule != "one_cycle" and settings["warmup"] >= epochs:
            yield f"{prefix}.warmup: {settings['warmup']:g} must be below the {epochs} epochs"
        if settings["precision"] == "float16" and config["device"] == "cpu":
            yield f"{prefix}.precision: float16 needs a GPU, and device is cpu; take bfloat16"
        if 2 * settings["processes"] > settings["batch_size"]:
            yield (
                f"{prefix}.processes: {settings['processes']} leave some fewer than two of the "
                f"{settings['batch_size']} images of a batch (batch_size)"
            )
        bits, processes = settings["gradient_bits"], settings["processes"]
        if bits < 32 and processes * bits >= 64:
            yield (
                f"{prefix}.gradient_bits: {processes} processes send each other no fewer bytes in "
                f"codes of {bits} bits than in float; set fewer bits, fewer processes, or 32"
            )


def _check_file(where: str, entry: Mapping[str, Any]) -> Iterator[str]:
    for file in weights_file(entry):
        yield from subsets.file(f"{where}.weights.file", file, "the weights")
