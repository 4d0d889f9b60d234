"""Files of networks that were compressed deeply: safetensors around one container.

``laq.packing.read``, ``load`` and ``describe`` read them like all other checkpoints.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from laq.deep.container import Weights


def save(
    path: str | os.PathLike[str],
    state: Mapping[str, Tensor],
    description: Mapping[str, Any],
    weights: Weights,
    coder: str = "huffman",
) -> None:
    """Write the network to ``path`` atomically; as ``laq.deep.container.encode``."""
    raise NotImplementedError
