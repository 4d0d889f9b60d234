"""The kinds of data sets by name: one line a kind.

A kind is one module with ``make(settings, seed)``, ``class_names(settings)`` and, where
the images depend on more than settings and code, ``fingerprint(settings)`` and
``origin(settings)``. A module may have ``survey(settings)`` where more is known before images are
made; ``made(settings, seed)`` where more is told of what they came from once they are read;
``instead(settings)`` where another kind may take its place;
``superclasses(settings)``; and ``PLACE``, the settings that say where verified files are and not
what they hold. Settings are the config's ``dataset`` as the schema has completed and checked it:
every key of the kind is there.

The workflow asks for class names while it plans, before any job: so that only
NumPy is imported at the top of the kinds' modules.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from laq.data import cifar, digits, folder, glyphs, mnist, mnist_like
from laq.data.dataset import Dataset, Survey

KINDS: dict[str, ModuleType] = {
    "glyphs": glyphs,
    "digits": digits,
    "mnist_like": mnist_like,
    "mnist": mnist,
    "fashion_mnist": mnist,
    "cifar10": cifar,
    "cifar100": cifar,
    "image_folder": folder,
}


def make(settings: Mapping[str, Any], seed: int) -> tuple[Dataset, Dataset]:
    """Make the train and test split; the same settings and seed give the same bytes.

    Raises ``DataError`` for files that cannot be used.
    """
    return KINDS[settings["kind"]].make(settings, seed)


def made(settings: Mapping[str, Any], seed: int) -> tuple[Dataset, Dataset, list[dict[str, Any]]]:
    """The splits of ``make``, and ``origin`` with what was found in the images."""
    module = KINDS[settings["kind"]]
    if hasattr(module, "made"):
        return module.made(settings, seed)
    return (*module.make(settings, seed), origin(settings))


def origin(settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the images were read from, by name, bytes and sha256; nothing where they are drawn.

    Reads all of it, so it is for the job that reads it anyway.
    """
    module = KINDS[settings["kind"]]
    return module.origin(settings) if hasattr(module, "origin") else []


def instead(settings: Mapping[str, Any]) -> str | None:
    """The kind of data set that takes this one's place where its files are not there, or None."""
    module = KINDS[settings["kind"]]
    return module.instead(settings) if hasattr(module, "instead") else None


def survey(settings: Mapping[str, Any]) -> Survey:
    """What is known of the data set before an image is made. Raises ``DataError`` as ``make``."""
    module = KINDS[settings["kind"]]
    if hasattr(module, "survey"):
        return module.survey(settings)
    return Survey(class_names(settings), fingerprint=fingerprint(settings))


def class_names(settings: Mapping[str, Any]) -> list[str]:
    """Names of the classes, in label order, without making an image."""
    return KINDS[settings["kind"]].class_names(settings)


def fingerprint(settings: Mapping[str, Any]) -> str:
    """What the images depend on besides settings and code: "" where that is nothing."""
    module = KINDS[settings["kind"]]
    return module.fingerprint(settings) if hasattr(module, "fingerprint") else ""


def identity(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that images depend on: not where verified files are, nor how classes group."""
    other = {"superclasses", *getattr(KINDS[settings["kind"]], "PLACE", ())}
    return {key: value for key, value in settings.items() if key not in other}


def superclasses(settings: Mapping[str, Any]) -> dict[str, list[str]]:
    """Groups of classes by name: those of the config, else the data set's own, if it has any."""
    module = KINDS[settings["kind"]]
    own = module.superclasses(settings) if hasattr(module, "superclasses") else {}
    return settings.get("superclasses") or own
