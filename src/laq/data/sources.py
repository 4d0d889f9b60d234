"""The kinds of data sets by name: one line a kind.

A kind is one module with ``make(settings, seed)`` and ``class_names(settings)``. Where the images
depend on more than settings and code, it also has ``fingerprint(settings)`` and
``origin(settings)``. Optional functions are ``survey(settings)``, where more is known before images
are made; ``made(settings, seed)``, where reading the images tells more of their origin;
``instead(settings)``, where another kind may take its place; and ``superclasses(settings)``.
``PLACE`` lists the settings that say where verified files are and not what they hold. Settings are
the config's ``dataset`` as the schema has completed and checked it: every key of the kind is there.

The workflow needs class names while it plans, before any job. The kinds' modules therefore import
only NumPy at their top.
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
    """The splits of ``make``, and ``origin`` with what reading the images has shown."""
    module = KINDS[settings["kind"]]
    if hasattr(module, "made"):
        return module.made(settings, seed)
    return (*module.make(settings, seed), origin(settings))


def origin(settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the images were read from, by name, bytes and sha256; nothing where they are drawn.

    It reads all files, so it is for the job that reads them anyway.
    """
    module = KINDS[settings["kind"]]
    return module.origin(settings) if hasattr(module, "origin") else []


def instead(settings: Mapping[str, Any]) -> str | None:
    """The kind of data set that replaces this one where its files are absent, or None."""
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
    """What the images depend on besides settings and code; empty where that is nothing."""
    module = KINDS[settings["kind"]]
    return module.fingerprint(settings) if hasattr(module, "fingerprint") else ""


def identity(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that images depend on, without the places of verified files and superclasses."""
    excluded = {"superclasses", *getattr(KINDS[settings["kind"]], "PLACE", ())}
    return {key: value for key, value in settings.items() if key not in excluded}


def superclasses(settings: Mapping[str, Any]) -> dict[str, list[str]]:
    """Groups of classes by name: those of the config, else the data set's own, if it has any."""
    module = KINDS[settings["kind"]]
    groups = module.superclasses(settings) if hasattr(module, "superclasses") else {}
    return settings.get("superclasses") or groups
