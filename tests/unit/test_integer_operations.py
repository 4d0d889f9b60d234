"""Integer operations: fixed point against exact fractions, layers against ONNX Runtime."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from laq.errors import DataError
from laq.integer.operations import Accumulate, Clip, Grid, Layer, Logits, Maximum, Mean, Sum
from laq.integer.rescaling import Multiplier, shifted_

torch.set_num_threads(1)

WIDE = (-torch.inf, torch.inf)
SCALES = st.floats(2.0**-40, 2.0**29, allow_nan=False)


def nearest(number: Fraction) -> int:
    """The nearest whole number, halves upwards."""
    return (number + Fraction(1, 2)).__floor__()


@given(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=5), SCALES)
def test_products_are_those_of_exact_arithmetic(values: list[int], real: float) -> None:
    multiplier = Multiplier.of(torch.tensor([real], dtype=torch.float64))
    mantissa, shift = int(multiplier.mantissa), int(multiplier.shift)
    held = Fraction(mantissa, 2**shift)
    assert 1 <= shift <= 62 and 0 <= mantissa <= 2**31
    assert abs(held - Fraction(real)) <= max(Fraction(real) / 2**31, Fraction(1, 2**63))
    found = multiplier.times(torch.tensor(values))
    assert found.tolist() == [nearest(value * held) for value in values]


@given(
    st.tuples(st.integers(-255, 255), st.integers(-255, 255)),
    st.tuples(st.floats(2.0**-10, 2.0**10), st.floats(2.0**-10, 2.0**10)),
)
def test_sums_are_rounded_once(values: tuple[int, int], reals: tuple[float, float]) -> None:
    mantissas, shift = Multiplier.shared(reals)
    exact = sum(Fraction(m, 2**shift) * v for m, v in zip(mantissas, values, strict=True))
    total = torch.tensor(sum(m * v for m, v in zip(mantissas, values, strict=True)))
    assert int(shifted_(total, shift)) == nearest(exact)
    real = sum(Fraction(r) * v for r, v in zip(reals, values, strict=True))
    assert abs(exact - real) <= Fraction(255, 2**shift)


@pytest.mark.parametrize("real", [0.0, -1.0, 2.0**31, float("nan"), float("inf")])
def test_scales_out_of_range_are_refused(real: float) -> None:
    with pytest.raises(DataError, match="do not fit fixed point"):
        Multiplier.of(torch.tensor([0.5, real]))
    with pytest.raises(DataError, match="do not fit fixed point"):
        Multiplier.shared([0.5, real])


# Against ONNX Runtime


def draw(*shape: int, seed: int = 0, low: int = -128) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(low, 128, shape, generator=generator, dtype=torch.int8)


def run(operator: str, inputs: dict[str, Any], domain: str = "", **attributes: Any) -> Tensor:
    """What ONNX Runtime's kernel gives: the first input is given, others are constants."""
    (name, x), *constants = inputs.items()
    node = helper.make_node(operator, list(inputs), ["result"], domain=domain, **attributes)
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info(name, TensorProto.INT8, list(x.shape))],
        [helper.make_tensor_value_info("result", TensorProto.INT8, None)],
        [numpy_helper.from_array(np.asarray(value), key) for key, value in constants],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return torch.from_numpy(session.run(None, {name: x.numpy()})[0])


def scale(step: float) -> np.float32:
    return np.float32(step)


def close(found: Tensor, wanted: Tensor, rarely: float = 0.001) -> None:
    """Codes within one step of each other, and nearly all alike."""
    assert found.dtype == torch.int8 and found.shape == wanted.shape
    difference = (found.int() - wanted.int()).abs()
    assert difference.max() <= 1
    assert (difference > 0).float().mean() <= rarely
    assert len(wanted.unique()) > 50, "the comparison says little"


SOURCE, TARGET = Grid(0.02, -37), Grid(0.11, 5)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv2d(8, 16, 3, padding=1), (4, 8, 9, 9)),
        (nn.Conv2d(8, 16, (3, 2), stride=2, dilation=(2, 1), padding=(1, 2)), (4, 8, 12, 9)),
        (nn.Conv2d(16, 16, 3, groups=16), (2, 16, 9, 9)),
        (nn.Conv2d(600, 4, 3), (4, 600, 6, 6)),  # sums beyond float32
    ],
)
@pytest.mark.parametrize("per_channel", [False, True])
def test_convolutions_agree_with_onnx_runtime(layer, shape, per_channel: bool) -> None:
    weight, x = draw(*layer.weight.shape, low=-127, seed=1), draw(*shape)
    size = weight[0].numel() ** 0.5
    steps = torch.linspace(0.5, 2, len(weight)) if per_channel else torch.ones(len(weight))
    steps = steps * 0.06 / size
    bias = draw(len(weight), seed=2).long() * 100
    sums = Accumulate(layer, weight, bias, SOURCE)
    scales = steps.double() * np.float64(scale(SOURCE.step)) / np.float64(scale(TARGET.step))
    found = Layer(sums, scales, TARGET, WIDE)(x)
    wanted = run(
        "QLinearConv",
        {
            "x": x,
            "x_scale": scale(SOURCE.step),
            "x_zero": np.int8(SOURCE.zero),
            "w": weight,
            "w_scale": steps if per_channel else steps[0],
            "w_zero": np.zeros(len(weight) if per_channel else (), np.int8),
            "y_scale": scale(TARGET.step),
            "y_zero": np.int8(TARGET.zero),
            "bias": bias.int(),
        },
        strides=layer.stride,
        dilations=layer.dilation,
        pads=[*layer.padding, *layer.padding],
        group=layer.groups,
    )
    close(found, wanted)
    exact = layer._conv_forward(x.double() - SOURCE.zero, weight.double(), bias.double())
    assert torch.equal(sums(x), exact.long())


def test_linear_layers_agree_with_onnx_runtime_and_with_fake_quantization() -> None:
    layer, weight, x = nn.Linear(300, 40), draw(40, 300, low=-127, seed=1), draw(64, 300)
    steps = torch.full((40,), 0.004, dtype=torch.float64)
    sums = Accumulate(layer, weight, torch.zeros(40, dtype=torch.long), SOURCE)
    found = Layer(sums, steps * SOURCE.step / TARGET.step, TARGET, WIDE)(x)
    wanted = run(
        "QLinearMatMul",
        {
            "x": x,
            "x_scale": scale(SOURCE.step),
            "x_zero": np.int8(SOURCE.zero),
            "w": weight.T.contiguous(),
            "w_scale": scale(0.004),
            "w_zero": np.int8(0),
            "y_scale": scale(TARGET.step),
            "y_zero": np.int8(TARGET.zero),
        },
    )
    close(found, wanted)
    real = (x.float() - SOURCE.zero) * SOURCE.step @ (weight.float() * 0.004).T
    faked = torch.fake_quantize_per_tensor_affine(real, TARGET.step, TARGET.zero, -128, 127)
    close(found, (faked / TARGET.step).round().add(TARGET.zero).to(torch.int8))
    clipped = Layer(sums, steps * SOURCE.step / TARGET.step, TARGET, (0.0, 6.0))(x)
    assert torch.equal(clipped, found.clamp(TARGET.zero, TARGET.zero + round(6 / TARGET.step)))


def test_sums_and_means_agree_with_onnx_runtime() -> None:
    one, other, x, y = Grid(0.03, 11), Grid(0.07, -90), draw(4, 8, 9, 9), draw(4, 8, 9, 9, seed=1)
    grids = {"x": one, "y": other, "z": TARGET}
    numbers = {
        key: value
        for name, grid in grids.items()
        for key, value in (
            (f"{name}_scale", scale(grid.step)),
            (f"{name}_zero", np.int8(grid.zero)),
        )
    }
    order = ("x", "x_scale", "x_zero", "y", "y_scale", "y_zero", "z_scale", "z_zero")
    inputs = {"x": x, "y": y, **numbers}
    wanted = run("QLinearAdd", {key: inputs[key] for key in order}, "com.microsoft")
    close(Sum(one, other, TARGET, WIDE)(x, y), wanted)

    small = Grid(0.003, 20)
    names = ("x", "x_scale", "x_zero", "y_scale", "y_zero")
    parts = (x, scale(0.03), np.int8(11), scale(0.003), np.int8(20))
    arguments = dict(zip(names, parts, strict=True))
    wanted = run("QLinearGlobalAveragePool", arguments, "com.microsoft", channels_last=0)
    found = Mean(one, small, WIDE, keep=True)(x)
    assert found.shape == (4, 8, 1, 1) and (found.int() - wanted.int()).abs().max() <= 1
    means = (x.double() - 11).mean((2, 3)) * 0.03 / 0.003 + 20
    wanted = means.round().clamp(-128, 127).to(torch.int8)
    assert torch.equal(Mean(one, small, WIDE, keep=False)(x), wanted)


def test_maxima_and_clips_leave_codes_on_their_grid() -> None:
    x = draw(2, 3, 7, 7)
    pool = nn.MaxPool2d(3, 2, padding=1)
    assert torch.equal(Maximum(pool)(x), pool(x.double()).to(torch.int8))
    assert torch.equal(Clip(Grid(0.1, 7), (0.0, torch.inf))(x), x.clamp(min=7))


def test_logits_of_channels_come_in_one_unit() -> None:
    layer, weight, x = nn.Linear(50, 6), draw(6, 50, low=-127, seed=1), draw(16, 50)
    steps = torch.linspace(0.001, 0.003, 6, dtype=torch.float64)
    sums = Accumulate(layer, weight, torch.arange(6) * 1000, SOURCE)
    found = Logits(sums, steps)(x)
    assert found.dtype == torch.int32
    exact = sums(x) * (steps / steps.max())
    assert (found - exact).abs().max() <= 0.5 + 1e-4
    assert torch.equal(Logits(sums, steps[:1].expand(6))(x), sums(x).int())


def test_sums_beyond_32_bits_are_refused() -> None:
    layer, weight = nn.Linear(2**17, 1), torch.full((1, 2**17), 127)
    with pytest.raises(DataError, match="do not fit an accumulator of 32 bits"):
        Accumulate(layer, weight, torch.zeros(1, dtype=torch.long), Grid(1.0, -128))
