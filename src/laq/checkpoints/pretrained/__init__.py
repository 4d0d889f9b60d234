"""Weights that others have trained: torchvision's, a model hub's, or a file's.

``states`` reads a file, without unpickling, and finds which of its names are a network's.
``loading`` puts a state into a network, or refuses it by name. It also computes weights that a file
holds in parts, and finds output layers of other classes. ``laq.models.weight_sources`` finds the
files, and checks that they are the right ones.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from laq.checkpoints.pretrained import states
from laq.checkpoints.pretrained.loading import check_own, load_into
from laq.checkpoints.pretrained.states import State, describe_own, read
from laq.models.weight_sources import find, normalisation, torchvision_weights

__all__ = [
    "State",
    "apply",
    "find",
    "load_into",
    "normalisation",
    "put_into",
    "read",
    "torchvision_weights",
]

logger = logging.getLogger(__name__)


def apply(
    settings: Mapping[str, Any],
    network: nn.Module,
    spec: Mapping[str, Any],
    classes: Sequence[str],
    new_head: bool,
) -> dict[str, Any]:
    """Put the weights that ``settings`` (a network's ``weights`` entry) name into ``network``.

    spec: the network's arguments of ``laq.models.networks.create``; classes: names, in the order of
    its outputs; new_head: see ``load_into``. Returns what a checkpoint says of the weights' origin.

    Raises ``ConfigError`` for weights that do not exist, ``DataError`` for a file that is missing,
    damaged, of another network, or that cannot be downloaded.
    """
    path, origin = find(settings, spec["name"])
    check_own(describe_own(path), spec, classes, str(path), new_head)
    put_into(network, path, settings, new_head, spec["classes"])
    if settings["source"] == "hub" and "sha256" not in settings:
        logger.warning(
            "the hub's weights may change: with weights.sha256 %s later runs are sure of them",
            origin["sha256"],
        )
    return origin


def put_into(
    network: nn.Module,
    path: Path,
    settings: Mapping[str, Any],
    new_head: bool,
    classes: int | None = None,
) -> None:
    """Put the weights in ``path`` into ``network``, by name or in order (``match``).

    new_head, classes: see ``load_into``. Raises ``DataError`` as that does.
    """
    label, state = f"the weights in {path}", read(path)
    if settings.get("match") == "order":
        state = states.in_order(state, network, label, new_head)
    load_into(network, state, label, new_head, classes)
