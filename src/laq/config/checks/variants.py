"""Checks of variants: their parents, duplicates and calibration."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from laq.config import recipes
from laq.config.checks import subsets
from laq.config.methods import ALPHABETS, METHODS
from laq.config.study import Config, effect

# Alphabets whose levels are whole multiples of a step.
_WHOLE = ("packed", "paper", "symmetric", "asymmetric", "ternary")


def check_variants(variants: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    effects: dict[str, dict[str, Any]] = {}
    for name, recipe in variants.items():
        if name == "original":
            continue
        prefix, parent = f"variants.{name}", recipe["parent"]
        parents = [v for v, r in variants.items() if v != name and not _packed(r)]
        allowed = f"it must be one of: {', '.join(parents)}"
        if parent not in variants:
            yield f"{prefix}.parent: {parent!r} is no variant; {allowed}"
        elif name in _ancestors(name, variants):
            yield f"{prefix}.parent: {parent!r} leads back to {name}; a line starts from original"
        elif _packed(variants[parent]):
            state = recipes.STEPS[recipes.of(variants[parent])].made
            yield f"{prefix}.parent: {parent!r} is {state} and cannot be worked on; {allowed}"
        current = effect(recipe)
        if twin := next((other for other in effects if effects[other] == current), None):
            yield f"{prefix}: alike with {twin} once defaults are filled in; remove one of the two"
        effects[name] = current


def check_deep(variants: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    for name, recipe in variants.items():
        if "deep" in recipe:
            yield from check_shares(f"variants.{name}.deep", recipe["deep"])


def check_shares(where: str, settings: Mapping[str, Any]) -> Iterator[str]:
    """Check that a ``deep`` entry gives the shares that ``pruning: ratios`` needs."""
    if settings["pruning"] == "ratios" and not settings["ratios"]:
        yield (
            f"{where}.ratios: pruning is ratios, so say what share of its weights each layer "
            "keeps, such as {fc1: 0.08}; or set pruning to scan or deviation"
        )


def _packed(recipe: Mapping[str, Any]) -> bool:
    step = recipes.of(recipe)
    return step is not None and recipes.STEPS[step].packs


def check_calibration(config: Config) -> Iterator[str]:
    """Check whose images calibrate, and that bits and widths agree."""
    ids = subsets.subset_ids(config)
    for name in (name for name, recipe in config["variants"].items() if "compress" in recipe):
        settings, prefix = config["variants"][name]["compress"], f"variants.{name}.compress"
        classes = settings["classes"]
        if classes not in ("subset", "all", "none", *ids):
            matches = difflib.get_close_matches(classes, ["subset", "all", *ids], 3)
            hint = f"; did you mean {', '.join(matches)}?" if matches else ""
            yield f"{prefix}.classes: {classes!r} is neither subset nor all nor a subset's id{hint}"
        yield from _check_source(prefix, settings, config["synthesis"]["images"])
        yield from check_compression(prefix, settings)


def check_compression(where: str, settings: Mapping[str, Any]) -> Iterator[str]:
    """Check the settings of a ``compress`` entry that do not depend on whose images calibrate."""
    yield from _check_levels(where, settings)
    yield from _check_threshold(where, settings)
    yield from _check_inference(where, settings)
    if settings["batchnorm"] == "reestimated" and settings["fold_batchnorm"]:
        yield (
            f"{where}.batchnorm: fold_batchnorm leaves no BatchNorm to be reestimated; set one of "
            "the two"
        )
    bits = settings["bits"]
    if settings["batch"] == "fresh" and settings["images"] == "all":
        yield f"{where}.batch: fresh draws images for each layer, so images must be a number"
    if widths := settings.get("widths"):
        if isinstance(bits, list):
            yield f"{where}.widths: bits is a list; give the budget as one number, or no widths"
        elif not min(widths) <= bits <= max(widths):
            yield f"{where}.bits: a mean of {bits} cannot be made of the widths {widths}"


def _check_levels(where: str, settings: Mapping[str, Any]) -> Iterator[str]:
    """Check that the method takes the alphabet, and the alphabet the granularity and the bits."""
    method, alphabet = METHODS[settings["method"]], ALPHABETS[settings["alphabet"]]
    field = f"{where}.alphabet: {settings['alphabet']}"
    if method.moves_levels and "scale" not in alphabet.settings:
        yield f"{field} has levels of its own; method {settings['method']} takes packed or paper"
    elif method.equispaced and not alphabet.equispaced:
        names = ", ".join(name for name, entry in METHODS.items() if not entry.equispaced)
        yield f"{field} is not equispaced, so its method must be {names}, not {settings['method']}"
    elif settings["sweeps"] and (method.moves_levels or not alphabet.equispaced):
        yield (
            f"{where}.sweeps: {settings['sweeps']} sweeps need equispaced levels; method "
            f"{settings['method']} with {settings['alphabet']} takes sweeps: 0"
        )
    if settings["granularity"] not in alphabet.granularities:
        yield (
            f"{where}.granularity: {settings['granularity']!r} is none that {settings['alphabet']} "
            f"takes: choose {', '.join(alphabet.granularities)}"
        )
    elif settings["granularity"] not in method.granularities:
        yield (
            f"{where}.granularity: method {settings['method']} chooses scales itself, so it must "
            f"be {' or '.join(method.granularities)}, not {settings['granularity']}"
        )
    bits = settings.get("widths") or settings["bits"]
    invalid = [b for b in (bits if isinstance(bits, list) else [bits]) if b not in alphabet.bits]
    if invalid:
        first, last = alphabet.bits[0], alphabet.bits[-1]
        span = f"{first}" if first == last else f"{first} to {last}"
        yield f"{where}.bits: {settings['alphabet']} takes {span}, not {invalid[0]}"


def check_made(where: str, images: int | str, made: int) -> Iterator[str]:
    """Check that no more images are taken than are made without data."""
    if images != "all" and images > made:
        yield f"{where}.images: {images} is more than the {made} that are made (synthesis.images)"


def _check_source(where: str, settings: Mapping[str, Any], made: int) -> Iterator[str]:
    """Check that images of no class are synthetic, and that no more are taken than are made."""
    source = settings["images_from"]
    if settings["classes"] == "none" and source != "synthetic":
        yield (
            f"{where}.classes: none asks for images of no class, which images_from {source} does "
            "not give; take images_from: synthetic, or subset or all"
        )
    if source != "training":
        yield from check_made(where, settings["images"], made)


def _check_threshold(where: str, settings: Mapping[str, Any]) -> Iterator[str]:
    """Check that a hard threshold leaves levels of the alphabet beyond it, at the fewest bits."""
    bits = settings.get("widths") or settings["bits"]
    min_bits = min(bits) if isinstance(bits, list) else bits
    max_level = 2 ** (min_bits - 1) - (settings["alphabet"] != "paper")
    threshold = settings["threshold"]
    if settings["method"] == "gpfq_l0" and threshold >= max_level:
        yield (
            f"{where}.threshold: {threshold:g} must be below {max_level}, the last level of "
            f"{min_bits} bits ({settings['alphabet']})"
        )


def _check_inference(where: str, settings: Mapping[str, Any]) -> Iterator[str]:
    """Check what inference in integers needs: activations and weights of 8 bits or fewer."""
    if settings["inference"] != "integer":
        return
    activations, bits = settings["activations"], settings["bits"]
    max_bits = max(settings.get("widths") or (bits if isinstance(bits, list) else [bits]))
    requirements = {
        "activations": (
            activations is not None and activations["mode"] == "static",
            "static activations, such as {bits: 8}",
        ),
        "fold_batchnorm": (settings["fold_batchnorm"], "true"),
        "skip_layers": (not settings["skip_layers"], "no layer in float"),
        "bits": (max_bits + (settings["alphabet"] == "paper") <= 8, "codes of 8 bits or fewer"),
        "method": (settings["method"] != "gpfq_l0", "a method other than gpfq_l0"),
        "alphabet": (settings["alphabet"] in _WHOLE, f"one of {', '.join(_WHOLE)}"),
        "granularity": (settings["granularity"] != "per_group", "one step a filter"),
    }
    for key, (met, need) in requirements.items():
        if not met:
            yield f"{where}.{key}: inference in integers needs {need}; or set inference: simulated"


def _ancestors(name: str, variants: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    """Parents of ``name`` up to original, or once round a cycle."""
    visited: set[str] = set()
    current = variants[name].get("parent")
    while current in variants and current not in visited:
        visited.add(current)
        yield current
        current = variants[current].get("parent")
