"""What a config names, wherever in it.

Apart from ``laq.config.study``, so that a job that asks depends on no more than this.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def networks(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The study's networks, and those that partial training adds for itself, by id."""
    return {**config["networks"], **config.get("partial_qat", {}).get("further_networks", {})}
