"""AdaRound: rounding up or down, learned layer by layer (Nagel et al., ICML 2020).

Each weight goes to one of the two levels around it, l and l + s, with s the step. Which one is
relaxed to a number h between 0 and 1, a rectified sigmoid of a variable v (equation 23):

    q = l + s h        h = clip(σ(v) (ζ − γ) + γ, 0, 1)        ζ = 1.1, γ = −0.1

and v minimises the error of the layer's outputs plus a penalty that drives h to 0 or 1 (equations
24 and 25), X being the layer's inputs in the float network and X̃ those in the network quantized
so far:

    ‖X w − X̃ q‖² / u + λ Σ_t ( 1 − |2 h_t − 1|^β )

At the start q = w. Adam takes ``steps`` steps. The penalty is off in the first fifth of them, in
the others β falls from 20 to 2 along half a cosine. In the end h ≥ ½ rounds up.
Equations are those of arXiv 2004.10568.

It differs from the publication in three things:

- u is the mean over a neuron's weights of s_t² |X̃_t|². As published it is the number of samples,
  and λ then depends on the scale of weights and inputs. In this unit it does not.
- The activation function behind the layer is left out of the error.
- Gradients are those of all samples,

      ∂‖X w − X̃ q‖² / ∂q = −2 ( X̃ᵀX̃ (w − q) + X̃ᵀ(X − X̃) w )

  With X̃ᵀX̃, which is summed up once, a step costs d² multiply-adds a neuron however many samples
  there are; with fewer than d/2 samples m it is X̃ᵀ(X̃ (w − q)), at 2 m d. A minibatch of more
  samples costs more and gives a gradient with noise. Nothing is drawn at random.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from laq.ptq.hessian import Grams, grouped, squares
from laq.ptq.layer import QuantizedLayer, Samples, check, not_finite
from laq.quantizers.grids import Uniform
from laq.quantizers.rounding import Rounding
from laq.utils.errors import ConfigError, DataError

# Steps of Adam a layer. On a small network at 3 bits three times as many lowered the layers' errors
# by 8 %, and that of the network's outputs by 2 %.
STEPS = 1000

# ζ and γ.
ZETA, GAMMA = 1.1, -0.1

# λ, β at the start and at the end, and the share of steps without the penalty.
# On a small network at 2 to 4 bits λ from 0.1 to 1 gave like errors, and 0.01 larger ones.
PENALTY, BETAS, WARM_START = 0.3, (20.0, 2.0), 0.2

# Adam (Kingma & Ba, ICLR 2015): the learning rate, decay rates of both moments, ε.
RATE, DECAYS, EPSILON = 1e-2, (0.9, 0.999), 1e-8


@torch.no_grad()
def solve(
    weight: Tensor,
    samples: Samples,
    grid: Uniform,
    *,
    steps: int = STEPS,
    rounding: Rounding | None = None,
) -> QuantizedLayer:
    """Quantize ``weight`` (N, d) on ``samples`` of its inputs.

    All tensors are float32 or all float64, on one device. A weight beyond the outermost levels goes
    to the nearer of them. A neuron whose outputs on the samples are no nearer to the float
    network's than with nearest rounding gets nearest rounding. So the reported error, which is that
    of the codes returned, is never larger than nearest rounding's. Beside samples memory holds
    at most 3 d² numbers a group and 12 the size of the weight.

    Args:
        steps: of Adam. With 0 all weights go to their nearest levels.
        rounding: nearest, or None; there is no other here.

    Raises ``ConfigError`` for a negative number of steps. Raises ``DataError`` for shapes, dtypes
    or devices that do not match, and for values that are not finite; the caller adds the layer's
    name. Raises ``ValueError`` for a grid with a gap and for any other rounding.
    """
    check(weight, samples, grid)
    if steps < 0:
        raise ConfigError(f"steps is {steps}: it must be at least 0")
    if rounding is not None and rounding.kind != "nearest":
        raise ValueError(f"AdaRound learns how to round: its rounding cannot be {rounding.kind}")
    nearest = grid.nearest(weight)
    objective = Objective.of(weight, samples, grid)
    learned = grid.from_centred(objective.rounded(_learned(objective, steps)))
    errors, reference, norms = _errors(weight, grid, (nearest, learned), samples)
    better = errors[1] < errors[0]  # (G, n)
    codes = torch.where(better.view(-1, 1), learned, nearest)
    difference = torch.where(better, errors[1], errors[0])
    return QuantizedLayer.of(codes, grid, weight, samples, difference, reference, norms)


def _learned(objective: Objective, steps: int) -> Tensor:
    """v (G, d, n) after so many ``steps`` of Adam."""
    v = objective.start
    mean, square = torch.zeros_like(v), torch.zeros_like(v)
    for step in range(steps):
        gradient = objective.gradient(v, beta(step, steps))
        mean.lerp_(gradient, 1 - DECAYS[0])
        square.mul_(DECAYS[1]).addcmul_(gradient, gradient, value=1 - DECAYS[1])
        unbiased = [1 - decay ** (step + 1) for decay in DECAYS]
        root = (square / unbiased[1]).sqrt_().add_(EPSILON)
        v.addcdiv_(mean, root, value=-RATE / unbiased[0])
    return v


def beta(step: int, steps: int) -> float | None:
    """β at ``step``, from 0 on, out of ``steps``; None where the penalty is off."""
    start = WARM_START * steps
    if step < start:
        return None
    course = (step - start) / (steps - start)
    return BETAS[1] + (BETAS[0] - BETAS[1]) * (1 + math.cos(math.pi * course)) / 2


@dataclass(frozen=True, eq=False)
class Objective:
    """What v minimises, for G groups of n neurons of d weights. Tensors are (G, d, n).

    Weights and levels are in units of their step and less the grid's shift, so that levels are
    whole numbers.

    scaled: weights. low, high: the two levels of each. They are one level for weights on or beyond
    the last. step: of each weight. factors: matrices (G, …) whose product is X̃ᵀX̃. carried:
    X̃ᵀ(X − X̃) w, or None where inputs do not differ. unit: u of each neuron (G, 1, n).
    """

    scaled: Tensor
    low: Tensor
    high: Tensor
    step: Tensor
    factors: tuple[Tensor, ...]
    carried: Tensor | None
    unit: Tensor

    @classmethod
    def of(cls, weight: Tensor, samples: Samples, grid: Uniform) -> Objective:
        """Raises ``DataError`` for samples that are not finite."""
        steps = grid.steps(weight.shape)
        scaled = weight / steps - grid.shift
        down, bounds = scaled.floor(), grid.bounds(weight.shape, weight.dtype)
        w, scaled, low, high, step = (
            values.unflatten(0, (samples.groups, -1)).mT.contiguous()
            for values in (
                *(weight, scaled, down.clamp(*bounds), (down + 1).clamp(*bounds)),
                steps.expand_as(weight),
            )
        )
        carried: Tensor | None = None
        if 2 * samples.rows < samples.columns:
            inputs, quantized_inputs = samples.gather()
            x = grouped(quantized_inputs, samples.groups)  # (G, m, d)
            factors, norms = (x.mT, x), x.square().sum(1)
            if inputs is not quantized_inputs:
                carried = x.mT @ (grouped(inputs - quantized_inputs, samples.groups) @ w)
        else:
            grams = Grams.of(samples)
            factors, norms = (grams.inner,), grams.norms
            if grams.cross is not None:
                carried = grams.cross @ w
        if not norms.isfinite().all():
            raise DataError(not_finite(samples))
        unit = (step.square() * norms[..., None]).mean(1, keepdim=True)
        unit = torch.where(unit > 0, unit, 1)
        return cls(scaled, low, high, step, factors, carried, unit)

    @property
    def start(self) -> Tensor:
        """v of which q = w, between the two levels of each weight."""
        share = (self.scaled - self.low).clamp_(0, 1)
        return ((share - GAMMA) / (ZETA - GAMMA)).logit_()

    def gradient(self, v: Tensor, beta: float | None) -> Tensor:
        """The derivative with respect to ``v``, without the penalty where ``beta`` is None."""
        sigmoid = v.sigmoid()
        h = sigmoid * (ZETA - GAMMA) + GAMMA
        inside = (h >= 0) & (h <= 1)
        h.clamp_(0, 1)
        span = self.high - self.low  # 1, or 0
        error = (self.scaled - self.low).addcmul_(h, span, value=-1).mul_(self.step)  # w − q
        slope = error
        for factor in reversed(self.factors):
            slope = factor @ slope
        if self.carried is not None:
            slope += self.carried
        slope.mul_(span).mul_(self.step).div_(self.unit).mul_(-2)
        if beta is not None:
            centred = h.mul_(2).sub_(1)
            power = centred.abs().pow_(beta - 1).copysign_(centred)
            slope.add_(power, alpha=-2 * PENALTY * beta)
        return slope.mul_(sigmoid.mul_(1 - sigmoid)).mul_(ZETA - GAMMA).mul_(inside)

    def rounded(self, v: Tensor) -> Tensor:
        """Whole numbers (N, d): the higher level where h ≥ ½."""
        return torch.where(v >= 0, self.high, self.low).mT.flatten(0, 1).contiguous()


def _errors(
    weight: Tensor, grid: Uniform, candidates: Sequence[Tensor], samples: Samples
) -> tuple[list[Tensor], Tensor, Tensor]:
    """‖X w − X̃ q‖² of the ``candidates``, codes (N, d), and ‖X w‖², (G, n) each; |X̃_t|² (G, d).

    They are float64, and the outputs in the dtype of the samples: no large sums cancel.
    """
    w, *quantized = (
        matrix.unflatten(0, (samples.groups, -1)).mT  # (G, d, n)
        for matrix in (weight, *map(grid.values, candidates))
    )
    errors: list[Tensor | int] = [0] * len(quantized)
    reference = norms = 0
    for inputs, quantized_inputs in samples.chunks():
        x = grouped(quantized_inputs, samples.groups)  # (G, m_c, d)
        outputs = grouped(inputs, samples.groups) @ w  # (G, m_c, n)
        reference = reference + squares(outputs, dim=1)
        norms = norms + squares(x, dim=1)
        for index, q in enumerate(quantized):
            errors[index] = errors[index] + squares(outputs.baddbmm(x, q, alpha=-1), dim=1)
    return errors, reference, norms
