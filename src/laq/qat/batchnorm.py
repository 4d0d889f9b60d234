"""BatchNorm in a network that is trained further."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def freeze(network: nn.Module) -> None:
    """Keep the statistics of every BatchNorm as they are: it normalises as in evaluation.

    Scale and shift are trained still. ``network.train()`` thaws them.
    """
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.eval()
