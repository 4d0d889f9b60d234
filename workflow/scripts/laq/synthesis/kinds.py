"""The ways to make images, by name: one line a way.

A way is one module with ``make(network, request, settings, generator)``, which gives
``laq.synthesis.request.Made``. Read at every plan, so only names of modules are here.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn

    from laq.synthesis.request import Made, Request

KINDS = {
    "synthetic": "laq.synthesis.optimised",
    "generated": "laq.synthesis.generated",
}


def make(
    kind: str,
    network: nn.Module,
    request: Request,
    settings: dict[str, float],
    generator: torch.Generator,
) -> Made:
    """Make images that ``request`` asks for.

    network: on the device to compute on; left as it was. settings: the config's ``synthesis`` as
    ``laq.config.synthesis_settings`` gives it for the kind. generator: on the CPU, draws all.

    Raises ``ConfigError`` for a network without BatchNorm.
    """
    return importlib.import_module(KINDS[kind]).make(network, request, settings, generator)
