"""The ways to make images, by name: one line a way.

A way is one module with ``make(network, request, settings, generator)``, which gives
``laq.data_free.pipeline.MadeImages``.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from laq.data_free import generated, optimised
from laq.data_free.pipeline import MadeImages, Request

KINDS: dict[str, Callable[..., MadeImages]] = {
    "synthetic": optimised.make,
    "generated": generated.make,
}


def make(
    kind: str,
    network: nn.Module,
    request: Request,
    settings: dict[str, float],
    generator: torch.Generator,
) -> MadeImages:
    """Make images that ``request`` asks for.

    network: on the device to compute on; left as it was. settings: the config's ``synthesis`` as
    ``laq.config.plan.Study.synthesis_settings`` gives it for the kind. generator: of all draws, on
    the CPU.

    Raises ``ConfigError`` for a network without BatchNorm.
    """
    return KINDS[kind](network, request, settings, generator)
