"""Quantized inputs of layers, against torch's own quantizers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.ao.quantization import MinMaxObserver

from laq.models.small_resnet import SmallResNet
from laq.ptq.activation_quantizer import InputQuantizer, attach, limits

torch.set_num_threads(1)


def values(*shape: int, seed: int = 0, shift: float = 0.0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) + shift


def calibrated(x: Tensor, bits: int = 8) -> InputQuantizer:
    quantizer = InputQuantizer(bits)
    quantizer.calibrate(x.amin().clamp(max=0), x.amax().clamp(min=0))
    return quantizer


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("shift", [0.0, 3.0, -3.0])
def test_step_and_zero_are_those_of_torch_s_observer(bits: int, shift: float) -> None:
    x = values(1000, shift=shift)
    low, high = limits(bits)
    observer = MinMaxObserver(
        torch.qint8, torch.per_tensor_affine, quant_min=low, quant_max=high, eps=1e-12
    )
    observer(x)
    step, zero = observer.calculate_qparams()
    quantizer = calibrated(x, bits)
    torch.testing.assert_close(quantizer.step, step[0])
    assert quantizer.zero == zero[0]


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_values_are_those_of_torch_s_fake_quantization(bits: int) -> None:
    x = values(64, 50)
    quantizer = calibrated(0.7 * x, bits)  # so that some values are clipped
    wanted = torch.fake_quantize_per_tensor_affine(x, quantizer.step, quantizer.zero, *limits(bits))
    # torch multiplies by the inverse of the step: halves may go the other way.
    at_half = ((x / quantizer.step).frac().abs() - 0.5).abs() < 1e-4
    assert at_half.sum() < 5
    torch.testing.assert_close(quantizer(x)[~at_half], wanted[~at_half])


def test_after_relu_all_codes_are_above_zero_and_zero_stays_exact() -> None:
    x = values(1000).relu()
    quantizer = calibrated(x)
    assert quantizer.zero == -128
    assert (quantizer(x)[x == 0] == 0).all()
    assert (quantizer(x) - x).abs().max() <= quantizer.step / 2 * (1 + 1e-5)


@pytest.mark.parametrize("x", [torch.zeros(2, 3), torch.full((2, 3), 1e-40), torch.ones(2, 3)])
def test_ranges_without_a_width_give_finite_values(x: Tensor) -> None:
    for quantizer in (calibrated(x), InputQuantizer(8, "dynamic")):
        torch.testing.assert_close(quantizer(x), x)


@pytest.mark.parametrize("shape", [(5, 3, 4, 4), (5, 7), (5, 6, 7)])
def test_a_dynamic_range_is_each_image_s_own(shape: tuple[int, ...]) -> None:
    x = values(*shape) * torch.arange(1, 6).view(-1, *[1] * (len(shape) - 1))
    quantizer = InputQuantizer(8, "dynamic")
    assert not quantizer.state_dict()
    together = quantizer(x)
    for image, found in zip(x, together, strict=True):
        assert torch.equal(quantizer(image[None])[0], found)
        torch.testing.assert_close(calibrated(image)(image), found)


def test_a_layer_sees_its_input_quantized_and_its_state_holds_the_grid() -> None:
    network = SmallResNet(3, channels=1, widths=(4, 4)).eval()
    x = torch.rand(2, 1, 8, 8)
    attach(network, {"head": {"bits": 3, "mode": "static"}})
    quantizer = network.head.input_quantizer
    quantizer.calibrate(torch.tensor(0.0), torch.tensor(0.5))
    seen = []
    network.head.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    network(x)
    assert len(seen[0].unique()) <= 8
    features = network.flatten(network.pool(network.stages(network.stem(network.normalize(x)))))
    assert torch.equal(seen[0], quantizer(features))
    assert {"head.input_quantizer.step", "head.input_quantizer.zero"} <= network.state_dict().keys()
