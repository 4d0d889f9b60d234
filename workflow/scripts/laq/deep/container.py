"""One byte string that holds a compressed network whole, and describes itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from laq.deep.coded import PrunedWeight, SharedWeight

Weights = Mapping[str, PrunedWeight | SharedWeight]


def encode(
    state: Mapping[str, Tensor],
    description: Mapping[str, Any],
    weights: Weights,
    coder: str = "huffman",
) -> bytes:
    """The network as bytes; equal arguments give equal bytes.

    state: name to tensor. A name that ``weights`` has too is stored as it is there, all others as
    they are (floats in half precision where that loses no bit). coder: ``huffman``, ``ans``, or
    ``fixed`` for codes and indices of fixed width.
    """
    raise NotImplementedError


def decode(content: bytes) -> tuple[dict[str, Tensor], dict[str, Any], dict[str, Any]]:
    """``state`` with all tensors dense, ``description``, ``weights``, as ``encode`` was given."""
    raise NotImplementedError
