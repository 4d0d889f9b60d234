"""A layer's columns walked in order: weights in, codes out, on the CPU or on CUDA."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from laq.alphabets import Alphabet
from laq.rounding import KINDS, Rounding


@dataclass(frozen=True, eq=False)
class Walk:
    """State of one layer's recursion.

    weight: (G, n, d), G groups of n neurons. steps: (G, n). codes: (G, n, d) integers, filled
    column by column. Sums, errors and levels are in units of the step.
    """

    weight: Tensor
    steps: Tensor
    codes: Tensor
    alphabet: Alphabet
    rounding: Rounding
    threads: int

    @classmethod
    def of(
        cls, weight: Tensor, alphabet: Alphabet, rounding: Rounding, groups: int, threads: int
    ) -> Walk:
        """The start of a walk over ``weight`` (N, d); ``threads`` those of compiled loops."""
        weight = weight.detach().contiguous().unflatten(0, (groups, -1))
        steps = alphabet.step.expand(weight.shape[0] * weight.shape[1], 1).view(weight.shape[:2])
        codes = torch.empty_like(weight, dtype=alphabet.dtype)
        return cls(weight, steps.contiguous(), codes, alphabet, rounding, threads)

    def scaled(self, columns: slice) -> Tensor:
        """The weights of some columns in units of the step, (G, B, n)."""
        return (self.weight[..., columns] / self.steps[..., None]).mT.contiguous()

    def path(self, x: Tensor, drift: Tensor | None, inner: Tensor, cross: Tensor) -> Tensor:
        """Walk all columns as ``recursion.path`` does; return ‖u‖² (G, n) float64."""
        from laq import recursion

        groups, neurons, columns = self.weight.shape
        noise = self.rounding.noise(columns, groups * neurons, like=x)
        return recursion.path(
            self.weight,
            self.steps,
            x,
            drift,
            inner,
            cross,
            noise,
            self._rule(),
            self.codes,
            self.threads,
        )

    def block(
        self,
        columns: slice,
        base: Tensor,
        weight: Tensor,
        mix: Tensor,
        alive: Tensor,
    ) -> Tensor:
        """Walk a block of columns as ``recursion.block`` does; return e (G, B, n), in ``base``."""
        groups, neurons, _ = self.weight.shape
        noise = self.rounding.noise(base.shape[1], groups * neurons, like=base)
        arguments = (base, weight, mix, alive, noise, self._rule(), self.codes)
        if base.is_cuda:
            from laq import recursion_cuda

            recursion_cuda.block(*arguments, columns.start)
        else:
            from laq import recursion

            recursion.block(*arguments, columns.start, self.threads)
        return base

    def _rule(self) -> tuple:
        """Place in KINDS, threshold, limit and gap, the numbers in the weights' dtype."""
        gap, limit = self.alphabet.gap, self.alphabet.limit(self.weight.dtype)
        numbers = [self.rounding.threshold_on(gap), limit, gap or 0.0]
        number = torch.empty(0, dtype=self.weight.dtype).numpy().dtype.type
        return KINDS.index(self.rounding.kind), *(number(value) for value in numbers)
