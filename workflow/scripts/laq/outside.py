"""Networks whose weights come from outside, and whether they may know the test images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from laq import configured
from laq.datasets.layouts import is_split
from laq.files import expanded


def trained_elsewhere(config: Mapping[str, Any]) -> list[str]:
    """Ids of networks whose weights others may have trained on the study's own classes.

    Not of those that have torchvision's weights and are trained here: these knew other images.
    """
    return [
        name
        for name, network in configured.networks(config).items()
        if "weights" in network
        and not (network["weights"]["source"] == "torchvision" and "training" in network)
    ]


def unsplit(config: Mapping[str, Any], trained: Sequence[str]) -> list[str]:
    """A line where the study draws its test images from those that ``trained`` may have learnt.

    ``trained``: ids of networks that were trained elsewhere.
    """
    dataset = config["dataset"]
    if not trained or dataset["kind"] != "image_folder" or is_split(expanded(dataset["path"])):
        return []
    return [
        f"networks: the weights of {', '.join(trained)} come from outside, and {dataset['path']} "
        "is not split, so that test images are drawn here from all of it. If the weights were "
        "trained on these images, accuracy is that of images learnt by heart: split the folder as "
        "in the training, into <path>/train/<class>/* and <path>/test/<class>/*"
    ]
