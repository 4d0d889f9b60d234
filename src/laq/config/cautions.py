"""What is to be said of a config that can be run, but may not mean what its author thinks.

Lines for people, shown at every plan. ``laq.config.checks`` refuses what cannot be run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from laq.config import outside_weights, study
from laq.config.study import Config
from laq.data import Survey, names
from laq.data.published import subsets as published


def of_study(config: Config, survey: Survey, given: Mapping[str, Any]) -> Iterator[str]:
    """``config``: completed and valid; ``given``: as it was given, without defaults."""
    yield from (f"dataset: {remark}" for remark in survey.remarks)
    if (kind := given["dataset"]["kind"]) != (taken := config["dataset"]["kind"]):
        yield (
            f"dataset: the files of {kind} are not in {given['dataset']['path']}, so {taken} takes "
            "their place (dataset.otherwise); bring them, or set dataset.download: true"
        )
    trained = outside_weights.trained_elsewhere(config)
    yield from outside_weights.doubts(config, trained)
    # Who has set the order has thought of it.
    if trained and "class_order" in config["dataset"].keys() - given["dataset"].keys():
        yield from _orders(survey, trained)
    yield from _repeated(config)
    yield from _few_images(config, survey)


def _orders(survey: Survey, trained: list[str]) -> Iterator[str]:
    """Classes in alphabetical order that timm's programs number differently."""
    orders = [list(survey.classes), names.in_order(survey.classes, "natural")]
    if orders[0] != orders[1]:
        place = next(i for i, pair in enumerate(zip(*orders, strict=True)) if len(set(pair)) > 1)
        shown = [", ".join(map(repr, order[place : place + 3])) for order in orders]
        yield (
            f"dataset.class_order: the weights of {', '.join(trained)} come from outside, and "
            f"these classes have two orders. From output {place + 1} on, torchvision's ImageFolder "
            f"has {shown[0]}, …, and timm {shown[1]}, …. Set alphabetical (torchvision, taken "
            "now) or natural (timm), as in the training"
        )


def _repeated(config: Config) -> Iterator[str]:
    """Rows of a log that make no subset, since an earlier row has the same classes."""
    for name, definition in config["subsets"]["definitions"].items():
        if definition["kind"] == "log":
            log = published.read(definition["file"])
            where = f"subsets.definitions.{name}"
            for row, earlier in published.repeated_rows(log, definition["rows"]):
                yield (
                    f"{where}: row {row.number} of the log (line {row.line}) has the classes of "
                    f"row {earlier.number} and makes no subset of its own"
                )
            for line, earlier_line in log.copies:
                yield f"{where}: line {line} of the log copies line {earlier_line} and is left out"


def _few_images(config: Config, survey: Survey) -> Iterator[str]:
    """Calibration on more images than a subset has."""
    if survey.training is None:
        return
    # A subset that is yet to be chosen may be of the smallest classes.
    smallest = np.sort(survey.training)[: config["subsets"]["size"]].sum()
    subsets = study.subsets(config, survey.classes)
    there = {
        name: int(survey.training[each["indices"]].sum() if "indices" in each else smallest)
        for name, each in subsets.items()
    }
    fewest = min(there, key=there.__getitem__)
    wanted = {
        f"variants.{name}.compress.images": recipe["compress"]["images"]
        for name, recipe in config["variants"].items()
        if "compress" in recipe and not study.calibrates_on_made(recipe["compress"])
    }
    wanted |= {
        f"{section}.images": max(config.get(section, {}).get("images", []), default=0)
        for section in ("sweep", "conditions")
    }
    short = [key for key, images in wanted.items() if images != "all" and images > there[fewest]]
    if short:
        yield (
            f"{', '.join(short)}: subset {fewest} may have no more than {there[fewest]} training "
            "images, and all of them are then taken; add images, or set fewer"
        )
