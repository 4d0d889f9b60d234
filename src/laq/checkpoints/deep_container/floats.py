"""Tensors as bytes: float32 in half precision where that loses no bit."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

_TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


def halved(tensor: Tensor) -> bool:
    """Whether a float32 ``tensor`` is the same in half precision, −0 and all."""
    if tensor.dtype != torch.float32:
        return False
    again = tensor.half().float()
    return bool((again.view(torch.int32) == tensor.view(torch.int32)).all())


def packed(tensor: Tensor, half: bool) -> tuple[str, bytes]:
    """The name of a tensor's type, and its bytes, row-major.

    Raises ``ValueError`` for a type that has no name.
    """
    names = [name for name, dtype in _TYPES.items() if dtype == tensor.dtype]
    if not names:
        raise ValueError(f"tensors of type {tensor.dtype}")
    if not tensor.numel():
        return names[0], b""
    flat = (tensor.half() if half else tensor).contiguous().reshape(-1)
    return names[0], flat.view(torch.uint8).numpy().tobytes()


def unpacked(content: memoryview, dtype: str, shape: Sequence[int], half: bool) -> Tensor:
    """The tensor that ``packed`` was given."""
    if not math.prod(shape):
        return torch.zeros(shape, dtype=_TYPES[dtype])
    stored = torch.float16 if half else _TYPES[dtype]
    flat = torch.frombuffer(bytearray(content), dtype=stored)
    return (flat.float() if half else flat).view(shape)
