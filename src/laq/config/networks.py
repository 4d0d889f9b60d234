"""The networks that a config names, and where their weights come from.

Apart from ``laq.config.study``, so that a job that asks depends on no more than this.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from laq.utils.files import expanded


def networks(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The study's networks, and those that partial training adds for itself, by id."""
    return {**config["networks"], **config.get("partial_qat", {}).get("further_networks", {})}


def weights_file(entry: Mapping[str, Any]) -> list[str]:
    """The file of weights that a network, or the features, name: one path, or none."""
    file = entry.get("weights", {}).get("file")
    return [] if file is None else [str(expanded(file))]


def unverified_file(entry: Mapping[str, Any]) -> list[str]:
    """``weights_file`` where no sha256 is given, so that only its time shows a change."""
    return (
        weights_file(entry)
        if entry.get("weights", {}).get("source") == "file" and ("sha256" not in entry["weights"])
        else []
    )


def weights_identity(weights: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of weights that results depend on.

    The path of a file is none of them where its sha256 is given.
    """
    excluded = {"download"} if unverified_file({"weights": weights}) else {"download", "file"}
    return {key: value for key, value in weights.items() if key not in excluded}
