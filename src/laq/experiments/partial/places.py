"""Where in a network the quantized layers of an arm lie."""

from __future__ import annotations


def window(position: str, k: int, layers: int) -> slice:
    """The places of the first, the middle or the last ``k`` of ``layers``."""
    start = {"first": 0, "middle": (layers - k) // 2, "last": layers - k}[position]
    return slice(start, start + k)
