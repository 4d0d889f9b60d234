"""How a real number becomes a code of the grid: the quantizer Q of a greedy recursion.

With a the number in units of the grid's step (Zhang, Zhou & Saab, "Post-training quantization for
neural networks with provable guarantees", SIMODS 2023):

- ``nearest``: the nearest integer, halves to even (GPFQ, RTN, GPTQ);
- ``stochastic``: ⌊a⌋ or ⌈a⌉, with the probabilities whose mean is a (SGPFQ);
- ``soft``: the nearest integer to sign(a)·max(|a| − λ, 0), which promotes zeros (their L1);
- ``hard``: 0 up to |a| = λ and beyond it the nearest of λ, λ + 1, λ + 2, …, which are the levels
  of an alphabet with a gap, code ±1 being ±λ (their L0).

All are clipped to the range of the grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from laq.utils.errors import ConfigError

Kind = Literal["nearest", "stochastic", "soft", "hard"]
KINDS: tuple[str, ...] = get_args(Kind)


@dataclass(frozen=True, eq=False)
class Rounding:
    """A rounding rule.

    threshold: λ of ``soft``, in units of the alphabet's step. For ``hard`` λ is the smallest
        level of the alphabet.
    generator: draws for ``stochastic``, on the CPU, so that draws do not depend on the device.
    """

    kind: Kind = "nearest"
    threshold: float = 0.0
    generator: torch.Generator | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"rounding {self.kind!r} is unknown: choose {', '.join(KINDS)}")
        if not self.threshold >= 0:
            raise ConfigError(f"rounding threshold is {self.threshold}: it must be at least 0")
        if (self.kind == "stochastic") != (self.generator is not None):
            raise ValueError("a generator belongs to stochastic rounding, and to no other")

    def threshold_on(self, gap: float | None) -> float:
        """λ in units of the step, on an alphabet with this ``gap``."""
        return 1 + (gap or 0.0) if self.kind == "hard" else self.threshold

    def noise(self, *shape: int, like: Tensor) -> Tensor | None:
        """Uniform numbers in [0, 1) for ``codes``; None where the rule draws none.

        Rows are drawn one after the other, so that drawing them in blocks gives the same numbers.
        """
        if self.generator is None:
            return None
        draws = torch.rand(*shape, generator=self.generator, dtype=like.dtype)
        return draws.to(like.device)


def codes(
    values: Tensor,
    kind: Kind,
    threshold: float,
    low: Tensor,
    high: Tensor,
    noise: Tensor | None = None,
) -> Tensor:
    """Whole numbers for ``values``, both floats of one shape and in units of the step.

    threshold: λ in units of the step. low, high: their range, () or as ``values``. noise: for
    ``stochastic``, uniform in [0, 1).
    """
    if kind == "nearest":
        rounded = values.round()
    elif kind == "stochastic":
        rounded = (values + noise).floor_()
    else:
        excess = values.abs() - threshold
        if kind == "soft":
            magnitude = excess.clamp_(min=0).round_()
        else:
            magnitude = torch.where(excess > 0, excess.round() + 1, 0)
        rounded = magnitude.copysign_(values)
    return rounded.clamp_(low, high)
