"""Where a job computes, and how to make it compute the same twice."""

from __future__ import annotations

import numpy as np
import torch

from laq.errors import ConfigError


def pick(name: str) -> torch.device:
    """``auto``: CUDA when present, else the CPU; ``cpu`` or ``cuda``: that one.

    Raises:
        ConfigError: ``cuda`` is asked for and absent.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("config key device: cuda, but torch sees no GPU here; set auto or cpu")
    return torch.device(name)


def seed_everything(*key: int) -> torch.Generator:
    """Seed torch from ``key`` and return a CPU generator seeded alike.

    The key, one number or more, is mixed by numpy's SeedSequence, so that (0, 1), (1, 0) and
    (1,) are unrelated streams.
    Convolutions are told to be deterministic on CUDA.
    """
    # A spawn key: entropy given as one list would be padded, so that (1,) were (1, 0).
    sequence = np.random.SeedSequence(key[0], spawn_key=key[1:])
    mixed = int(sequence.generate_state(1, np.uint64)[0] >> 1)
    torch.manual_seed(mixed)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    return torch.Generator().manual_seed(mixed)
