"""The record of a run of a network."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Run:
    """A network's run.

    inputs: the input of each layer at its first call, in the order of these calls. calls: how often
    each layer was called. output: what the network returned.
    """

    inputs: dict[str, Tensor]
    calls: Counter[str]
    output: Any
