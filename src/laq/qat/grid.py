"""Weights on the grid {−K, …, K} · step inside a network that is being trained, K = 2^(bits−1) − 1.

A layer's weight becomes a function of a float weight and of steps, by torch's parametrization. The
layer, the networks that hold it and their traces do not change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from laq.quantizers.packed_weight import PackedWeight
from laq.quantizers.uniform import Alphabet
from laq.utils.errors import DataError

# Rounding to a grid that gradients pass straight through (Bengio, Léonard & Courville 2013).


Limit = int | Tensor


class LearnedRounding(torch.autograd.Function):
    """round(clip(x / step, low, high)) · step with the gradients of Esser et al. (ICLR 2020).

    x: any shape. step: a shape that broadcasts to x. low ≤ 0 ≤ high: whole numbers. The gradient of
    x passes where x is not clipped. The gradient of step is round(x / step) − x / step where x is
    not clipped and the limit elsewhere; it is summed over x and multiplied by ``scale``.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, step: Tensor, low: Limit, high: Limit, scale: float | Tensor
    ) -> Tensor:
        ctx.save_for_backward(x, step)
        ctx.low, ctx.high, ctx.scale = low, high, scale
        return (x / step).round_().clamp_(low, high).mul_(step)

    @staticmethod
    def backward(ctx: Any, above: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        x, step = ctx.saved_tensors
        scaled = x / step
        inside = (scaled >= ctx.low) & (scaled <= ctx.high)
        codes = scaled.round().clamp_(ctx.low, ctx.high)
        slope = torch.where(inside, codes - scaled, codes)
        step_gradient = (above * slope).sum_to_size(step.shape) * ctx.scale
        # In the layout of x, which processes that share gradients expect.
        input_gradient = torch.mul(above, inside, out=torch.empty_like(x))
        return input_gradient, step_gradient, None, None, None


BITS = range(2, 9)

# Multiples of its initial step that ``fit`` tries. That step suits about 2 bits; more bits need
# smaller multiples.
_FACTORS = [2 ** (power / 8) for power in range(-16, 13)]


class GridWeight(nn.Module):
    """A layer's weight on a grid of ``bits``; subclasses say what it is while the layer trains.

    unit: the steps as they were set. Its shape is (), or (N, 1): one step for each of the weight's
    N rows.
    """

    unit: Tensor

    def __init__(self, bits: int, rows: int | None) -> None:
        super().__init__()
        self.bits = bits
        self.register_buffer("unit", torch.ones(() if rows is None else (rows, 1)))

    @property
    def step(self) -> Tensor:
        """The steps as they are, in the shape of ``unit``."""
        return self.unit

    @property
    def limit(self) -> int:
        """K, the largest code."""
        return 2 ** (self.bits - 1) - 1

    def steps(self, weight: Tensor) -> Tensor:
        """The steps in a shape that goes with ``weight`` (N, …)."""
        return along(self.step, weight)

    def rounded(self, weight: Tensor) -> Tensor:
        """The nearest points of the grid, bit for bit as ``PackedWeight.values`` gives them."""
        return nearest(weight, self.steps(weight), self.limit)

    def trained(self, weight: Tensor) -> Tensor:
        """The weight that a step of the training sees."""
        raise NotImplementedError

    def forward(self, weight: Tensor) -> Tensor:
        return self.trained(weight) if self.training else self.rounded(weight)

    def extra_repr(self) -> str:
        return f"bits={self.bits}, steps={self.unit.numel()}"

    @torch.no_grad()
    def packed(self, weight: Tensor) -> PackedWeight:
        """Codes and steps of ``weight`` (N, …). Raises ``DataError`` for an invalid step."""
        alphabet = Alphabet.of(self.step.detach(), self.bits, "packed")
        return PackedWeight(alphabet.nearest(weight.flatten(1)).view(weight.shape), alphabet)


def attach(
    network: nn.Module, kind: type[GridWeight], bits: Mapping[str, int], per_channel: bool
) -> None:
    """Give each layer of ``network`` that ``bits`` names a weight of that ``kind``, in place.

    Layers that share a weight with one of them get it as well. Steps are 1: see ``fit``.
    """
    for name, width in bits.items():
        weight = network.get_submodule(name).weight
        parametrization = kind(width, len(weight) if per_channel else None).to(weight)
        layers = [m for m in network.modules() if m._parameters.get("weight") is weight]
        for layer in layers:
            parametrize.register_parametrization(layer, "weight", parametrization, unsafe=True)


def attached(network: nn.Module) -> Iterator[tuple[GridWeight, nn.Parameter]]:
    """The weights on a grid, each once: the parametrization, and the float weight behind it."""
    visited = set()
    for module in network.modules():
        if isinstance(module, parametrize.ParametrizationList):
            weight = module[0]
            if isinstance(weight, GridWeight) and weight not in visited:
                visited.add(weight)
                yield weight, module.original


@torch.no_grad()
def fit(network: nn.Module) -> None:
    """Set every step, in place, to the one with the least error Σ (w − Q(w))² of its weights.

    The candidates are multiples of 2 mean |w| / √K, the initial step of Esser et al. (2020). Each
    is replaced by the least-squares step of its codes. Weights that are all 0 begin with the step
    of a fresh layer, from which training takes them.

    Raises ``DataError`` for weights that are not finite.
    """
    for weight, values in attached(network):
        rows = _sharing(weight, values)
        start = 2 * rows.abs().mean(1, keepdim=True) / weight.limit**0.5
        if not bool(start.isfinite().all()):
            raise DataError("weights are not finite, so they give no step")
        # Any step fits a row of zeros: it takes the mean step of the rows, or that of weights
        # within ±1/√d, as in a fresh layer. So does a row whose step has a square of 0.
        threshold = torch.finfo(start.dtype).tiny ** 0.5
        default = torch.full_like(start, (values[0].numel() * weight.limit) ** -0.5)
        fallback = start.mean().expand_as(start) if start.mean() > threshold else default
        start = torch.where(start > threshold, start, fallback)
        best_step, best_error = start, torch.full_like(start, torch.inf)
        for factor in _FACTORS:
            step = least_squares(rows, factor * start, weight.limit)
            error = (rows - nearest(rows, step, weight.limit)).square().sum(1, keepdim=True)
            best_step = torch.where(error < best_error, step, best_step)
            best_error = torch.minimum(error, best_error)
        weight.unit.copy_(best_step.view(weight.unit.shape))


@torch.no_grad()
def refit(weight: GridWeight, values: Tensor) -> None:
    """Set the steps, in place, to those nearest to ``values`` for the codes that they have now."""
    steps = least_squares(_sharing(weight, values), weight.unit.reshape(-1, 1), weight.limit)
    weight.unit.copy_(steps.view(weight.unit.shape))


def _sharing(weight: GridWeight, values: Tensor) -> Tensor:
    """The float weight with a row for each step."""
    return values.detach().reshape(weight.unit.numel(), -1)


def along(steps: Tensor, weight: Tensor) -> Tensor:
    """``steps``, () or (N, 1), in a shape that goes with ``weight`` (N, …)."""
    return steps.view(-1, *[1] * (weight.ndim - 1)) if steps.ndim else steps


def nearest(values: Tensor, step: Tensor, limit: int) -> Tensor:
    """The points nearest to ``values`` of the grid {−limit, …, limit} · step, which broadcasts."""
    return (values / step).round().clamp(-limit, limit) * step


def least_squares(rows: Tensor, step: Tensor, limit: int) -> Tensor:
    """The step that, for the codes ``step`` gives, is nearest to each row: (R, n), (R, 1) → (R, 1).

    Unchanged where all codes are 0.
    """
    codes = (rows / step).round().clamp(-limit, limit)
    squares = codes.square().sum(1, keepdim=True)
    solution = (rows * codes).sum(1, keepdim=True) / squares.clamp(min=1)
    return torch.where(solution > 0, solution, step)


@torch.no_grad()
def detach(network: nn.Module, names: Iterable[str]) -> dict[str, PackedWeight]:
    """Make plain parameters of the weights of the layers ``names``, with the values of their codes.

    Returns the packed weights by the parameters' names. The float weights are removed, also in
    layers that share a weight with one of ``names``.
    """
    packed: dict[str, PackedWeight] = {}
    for name in names:
        parametrizations = network.get_submodule(name).parametrizations.weight
        weight, values = parametrizations[0], parametrizations.original
        packed[f"{name}.weight"] = weight.packed(values)
        parameter = nn.Parameter(packed[f"{name}.weight"].values)
        layers = [m for m in network.modules() if parametrize.is_parametrized(m, "weight")]
        for layer in (m for m in layers if m.parametrizations.weight[0] is weight):
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
            layer.weight = parameter
    return packed
