"""What is seen of a network's run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Run:
    """A network's run: the input of each layer at its first call, in the order of these; how often
    each was called; and what the network gave."""

    inputs: dict[str, Tensor]
    calls: Counter[str]
    output: Any
