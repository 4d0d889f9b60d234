"""Networks whose weights come from outside, and what may differ from their training.

All of it is known from the config alone, while the workflow plans. Nothing heavy is imported here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from laq.config import architectures, networks
from laq.data.folder_tree import is_split
from laq.utils.files import expanded


def trained_elsewhere(config: Mapping[str, Any]) -> list[str]:
    """Ids of networks whose weights others may have trained on the study's own classes.

    Networks that have torchvision's weights and are trained here are not among them: those weights
    were trained on other images.
    """
    return [
        name
        for name, network in networks.networks(config).items()
        if "weights" in network
        and not (network["weights"]["source"] == "torchvision" and "training" in network)
    ]


def doubts(config: Mapping[str, Any], trained: Sequence[str]) -> list[str]:
    """Warnings about ``trained``, ids of networks that were trained elsewhere."""
    return [*unsplit(config, trained), *unnormalised(config, trained)]


def unsplit(config: Mapping[str, Any], trained: Sequence[str]) -> list[str]:
    """A line where test images may be among those that ``trained`` were trained on.

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


def unnormalised(config: Mapping[str, Any], trained: Sequence[str]) -> list[str]:
    """A line for each of ``trained`` whose normalisation of images is not given.

    The project's own architectures have a normalisation of their own. torchvision's weights bring
    theirs.
    """
    lines = []
    for name in trained:
        network = networks.networks(config)[name]
        source, architecture = network["weights"]["source"], network["architecture"]
        if source == "torchvision" or architecture in architectures.OWN:
            continue
        section = "networks" if name in config["networks"] else "partial_qat.further_networks"
        defaults = {"mean": list(architectures.MEAN), "std": list(architectures.STD)}
        missing = {
            f"{section}.{name}.{key}": defaults[key] for key in defaults if key not in network
        }
        if missing:
            values = " and ".join(f"{key}: {value}" for key, value in missing.items())
            lines.append(
                f"the weights of {name} come from outside and do not say how images are "
                f"normalised: {values} is taken; set it as in the training"
            )
    return lines
