"""Warnings about a config that can be run, but may not mean what its author thinks.

They are lines for people, shown at every plan. ``laq.config.checks`` refuses what cannot be run.
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
    if (kind := given["dataset"]["kind"]) != (substitute := config["dataset"]["kind"]):
        yield (
            f"dataset: the files of {kind} are not in {given['dataset']['path']}, so {substitute} "
            "takes their place (dataset.otherwise); bring them, or set dataset.download: true"
        )
    pretrained = outside_weights.trained_elsewhere(config)
    yield from outside_weights.doubts(config, pretrained)
    # A config that sets the order needs no warning.
    if pretrained and "class_order" in config["dataset"].keys() - given["dataset"].keys():
        yield from _orders(survey, pretrained)
    yield from _repeated(config)
    yield from _few_images(config, survey)


def _orders(survey: Survey, trained: list[str]) -> Iterator[str]:
    """Classes whose order in timm's programs is not the alphabetical one."""
    orders = [list(survey.classes), names.in_order(survey.classes, "natural")]
    if orders[0] != orders[1]:
        index = next(i for i, pair in enumerate(zip(*orders, strict=True)) if len(set(pair)) > 1)
        texts = [", ".join(map(repr, order[index : index + 3])) for order in orders]
        yield (
            f"dataset.class_order: the weights of {', '.join(trained)} come from outside, and "
            f"these classes have two orders. From output {index + 1} on, torchvision's ImageFolder "
            f"has {texts[0]}, …, and timm {texts[1]}, …. Set alphabetical (torchvision, taken "
            "now) or natural (timm), as in the training"
        )


def _repeated(config: Config) -> Iterator[str]:
    """Rows of a log that make no subset, since an earlier row has the same classes."""
    for name, definition in config["subsets"]["definitions"].items():
        if definition["kind"] == "log":
            log = published.read(definition["file"])
            prefix = f"subsets.definitions.{name}"
            for row, first_row in published.repeated_rows(log, definition["rows"]):
                yield (
                    f"{prefix}: row {row.number} of the log (line {row.line}) has the classes of "
                    f"row {first_row.number} and makes no subset of its own"
                )
            for line, first_line in log.copies:
                yield f"{prefix}: line {line} of the log copies line {first_line} and is left out"


def _few_images(config: Config, survey: Survey) -> Iterator[str]:
    """Calibration on more images than a subset has."""
    if survey.training is None:
        return
    # A subset that is yet to be chosen may be of the smallest classes.
    smallest = np.sort(survey.training)[: config["subsets"]["size"]].sum()
    subsets = study.subsets(config, survey.classes)
    counts = {
        name: int(
            survey.training[definition["indices"]].sum() if "indices" in definition else smallest
        )
        for name, definition in subsets.items()
    }
    subset_id = min(counts, key=counts.__getitem__)
    requested = {
        f"variants.{name}.compress.images": recipe["compress"]["images"]
        for name, recipe in config["variants"].items()
        if "compress" in recipe and not study.calibrates_on_made(recipe["compress"])
    }
    requested |= {
        f"{section}.images": max(config.get(section, {}).get("images", []), default=0)
        for section in ("sweep", "conditions")
    }
    keys = [
        key for key, images in requested.items() if images != "all" and images > counts[subset_id]
    ]
    if keys:
        yield (
            f"{', '.join(keys)}: subset {subset_id} may have no more than {counts[subset_id]} "
            "training images, and all of them are then taken; add images, or set fewer"
        )
