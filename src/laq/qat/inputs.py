"""Inputs of layers on a grid in training, with a step that is learned as a weight's is.

The grid is that of ``laq.ptq.activation_quantizer``. Its zero is chosen on images and stays. Its
step is learned (Esser et al. 2020; with a zero of its own, Bhalgat et al. 2020, "LSQ+"). A module's
output is no parameter that could be pulled to a grid. So gradients pass this rounding straight
through, whatever the method of the weights.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn

from laq.ptq import activation_quantizer
from laq.ptq.activation_quantizer import NAME, InputQuantizer, InputSettings
from laq.qat.grid import LearnedRounding


class LearnedInput(nn.Module):
    """Takes the place of a static ``InputQuantizer`` while the network is trained.

    As in ``laq.qat.lsq``, the learned parameter is the step's ratio to ``unit``, its initial value.
    """

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits
        self.register_buffer("unit", torch.ones(()))
        self.ratio = nn.Parameter(torch.ones(()))
        self.register_buffer("zero", torch.zeros((), dtype=torch.int32))

    @property
    def step(self) -> Tensor:
        return self.unit * self.ratio

    def forward(self, x: Tensor) -> Tensor:
        low, high = (limit - self.zero for limit in activation_quantizer.limits(self.bits))
        largest = torch.maximum(-low, high)
        scale = (math.prod(x.shape[1:]) * largest) ** -0.5 / self.unit**2
        return LearnedRounding.apply(x, self.step, low, high, scale)

    def extra_repr(self) -> str:
        return f"bits={self.bits}"


def attach(network: nn.Module, bits: Mapping[str, int]) -> None:
    """Quantize the inputs of the layers that ``bits`` names from now on; see ``calibrate``."""
    specs = {name: {"bits": width, "mode": "static"} for name, width in bits.items()}
    activation_quantizer.attach(network, specs)
    for name, width in bits.items():
        layer = network.get_submodule(name)
        setattr(layer, NAME, LearnedInput(width).to(layer.weight.device))


def attached(network: nn.Module) -> Iterator[LearnedInput]:
    return (module for module in network.modules() if isinstance(module, LearnedInput))


@torch.no_grad()
def calibrate(network: nn.Module, images: Tensor) -> None:
    """Choose every grid on ``images``, as the network takes them, in the order of layers' calls.

    Ranges have the least mean squared error, on inputs computed from rounded weights and inputs.
    The range of a layer that is called several times is chosen on all calls so far, at each call.
    """
    calls: dict[nn.Module, list[Tensor]] = {}

    def widen(module: LearnedInput, arrived: tuple[Tensor]) -> None:
        calls.setdefault(module, []).append(arrived[0].clone())
        quantizer = InputQuantizer(module.bits).to(arrived[0].device)
        settings = InputSettings(module.bits, "static", "mse")
        activation_quantizer.calibrate(quantizer, lambda: iter(calls[module]), settings)
        module.unit.copy_(quantizer.step)
        module.zero.copy_(quantizer.zero)

    hooks = [module.register_forward_pre_hook(widen) for module in attached(network)]
    training = network.training
    try:
        network.eval()(images)
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()


def detach(network: nn.Module, names: Iterable[str]) -> dict[str, dict[str, object]]:
    """Replace learned inputs of the layers ``names`` by plain quantizers; returns their fields."""
    specs: dict[str, dict[str, object]] = {}
    for name in names:
        layer = network.get_submodule(name)
        learned_input = getattr(layer, NAME)
        quantizer = InputQuantizer(learned_input.bits)
        quantizer.load_state_dict({"step": learned_input.step.detach(), "zero": learned_input.zero})
        setattr(layer, NAME, quantizer.to(learned_input.unit.device).train(layer.training))
        specs[name] = {"bits": quantizer.bits, "mode": quantizer.mode}
    return specs
