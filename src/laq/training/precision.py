"""Mixed precision: products in 16 bits, the rest in float32 (Micikevicius et al. 2018)."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from laq.utils.errors import ConfigError


def check(precision: str, device: torch.device) -> None:
    """Raise ``ConfigError`` where the device cannot train in this precision."""
    if precision == "float16" and device.type == "cpu":
        raise ConfigError(
            "precision: float16 needs a GPU, and the network is trained on the CPU; set bfloat16 "
            "or float32 (config key networks or variants)"
        )
    if precision == "bfloat16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise ConfigError(
            "precision: this GPU has no bfloat16; set float16 or float32 (config key networks or "
            "variants)"
        )


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """The context of a forward pass."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, getattr(torch, precision))


def scaler(precision: str, device: torch.device) -> torch.amp.GradScaler:
    """Keeps small gradients from vanishing in float16; without effect in the other precisions."""
    return torch.amp.GradScaler(device.type, enabled=precision == "float16")
