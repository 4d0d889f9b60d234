"""Images against what is to be done with them, as far as it is known while planning."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from laq.config.study import Config
from laq.data import Survey

PLANE = 2  # dimensions of the map that classes are Gaussians in


def check_images(config: Config, survey: Survey) -> Iterator[str]:
    """Enough training images for the map, and of each class for its Gaussian."""
    if survey.training is None:
        return
    total, neighbors = int(survey.training.sum()), config["umap"]["neighbors"]
    if total <= neighbors:
        yield (
            f"umap.neighbors: {neighbors} must be below the {total} training images; lower it, "
            "or add images"
        )
    needed = 2 if config["icd"]["shrinkage"] else PLANE + 1
    few = [
        f"{survey.classes[label]} ({survey.training[label]})"
        for label in np.flatnonzero(survey.training < needed)
    ]
    if few:
        shown = ", ".join(few[:10]) + ", …" * (len(few) > 10)
        remedy = "" if config["icd"]["shrinkage"] else ", or set icd.shrinkage above 0 (then 2 do)"
        yield (
            f"dataset: distances between classes need {needed} training images of each, and these "
            f"have fewer: {shown}; add images to them, or remove them{remedy}"
        )
