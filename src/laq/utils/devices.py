"""The device that a job computes on, and the settings that make its results repeatable."""

from __future__ import annotations

import numpy as np
import torch

from laq.utils import gpus, seeds
from laq.utils.errors import ConfigError


def pick(name: str) -> torch.device:
    """``auto``: CUDA when present, else the CPU; ``cpu`` or ``cuda``: that one.

    On CUDA, convolutions are deterministic and stay in float32. TF32, cuDNN's default, would add a
    rounding of its own to the one under study.

    Raises:
        ConfigError: ``cuda`` is asked for and absent.
        AllocationError: SLURM gave this job a GPU, and torch sees none.
    """
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    available = torch.cuda.is_available()
    if name != "cpu" and not available:
        gpus.check_seen()
    if name == "auto":
        return torch.device("cuda" if available else "cpu")
    if name == "cuda" and not available:
        raise ConfigError("config key device: cuda, but torch sees no GPU here; set auto or cpu")
    return torch.device(name)


def generator(seed: int, *purpose: str | int) -> torch.Generator:
    """A generator on the CPU for ``purpose`` (see ``laq.utils.seeds``)."""
    sequence = np.random.SeedSequence(seeds.key(seed, *purpose))
    return torch.Generator().manual_seed(int(sequence.generate_state(1, np.uint64)[0] >> 1))


def seed_everything(seed: int, *purpose: str | int) -> torch.Generator:
    """Seed torch for ``purpose`` and return a CPU generator seeded alike."""
    rng = generator(seed, *purpose)
    torch.manual_seed(rng.initial_seed())
    return rng
