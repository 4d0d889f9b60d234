"""Integer operations: fixed point against exact fractions, layers against ONNX Runtime."""

from __future__ import annotations

import platform
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

from laq.integer.operations import (
    Accumulate,
    ActivationGrid,
    Clip,
    IntegerLayer,
    Logits,
    Maximum,
    Mean,
    Sum,
)
from laq.integer.rescaling import Multiplier, single
from laq.ptq import bias_steps
from laq.quantizers import uniform
from laq.quantizers.granularity import Blocks

torch.set_num_threads(1)

WIDE = (-torch.inf, torch.inf)
# Fixed point ends at 2^23, and a test takes twice the scale.
SCALES = st.floats(2.0**-40, 2.0**21, allow_nan=False)
ACCUMULATORS = st.integers(-(2**31), 2**31 - 1)


@given(st.lists(ACCUMULATORS, min_size=1, max_size=5), SCALES, st.sampled_from([24, 31]))
def test_products_are_those_of_exact_arithmetic(values: list[int], real: float, bits: int) -> None:
    multiplier = Multiplier.of(torch.tensor([real], dtype=torch.float64), bits)
    mantissa, shift = int(multiplier.mantissa), int(multiplier.shift)
    held = Fraction(mantissa, 2**shift)
    assert 1 <= shift <= 62 and 0 <= mantissa <= 2**bits
    assert abs(held - Fraction(real)) <= max(Fraction(real) / 2**bits, Fraction(1, 2**63))
    found = multiplier.times(torch.tensor(values))
    assert found.tolist() == [round(value * held) for value in values]  # halves to even


@given(st.integers(-(2**62), 2**62), st.integers(0, 38))
def test_integers_are_rounded_to_the_digits_of_float32(value: int, zeros: int) -> None:
    for number in (value, value >> zeros, (value >> zeros) << zeros):
        assert int(single(torch.tensor([number]))) == int(np.float32(number))


@given(SCALES, st.integers(-300, 300), st.integers(-2, 2), st.integers(0, 23))
def test_products_in_single_are_those_of_float32(
    real: float, code: int, off: int, digits: int
) -> None:
    """Next to halves, where float32 may not tell on which side a product lies, and on them."""
    mantissa, exponent = np.frexp(np.float32(real))
    short = np.ldexp(np.float32(round(float(mantissa) * 2**digits) or 1) / 2**digits, exponent)
    for scale in (np.float32(real), np.float32(short)):
        border = round((Fraction(code) + Fraction(1, 2)) / Fraction(float(scale))) + off
        values = [value for value in (border, border * 2, code * 1000 + off) if abs(value) < 2**31]
        multiplier = Multiplier.of(torch.tensor([float(scale)]), 24)
        found = multiplier.times_in_single(torch.tensor(values, dtype=torch.long))
        products = np.array(values, dtype=np.int64).astype(np.float32) * scale
        wanted = np.rint(products).astype(np.int64)
        inside = np.abs(products) < 512
        assert found.numpy()[inside].tolist() == wanted[inside].tolist()
        assert (np.abs(found.numpy()[~inside]) >= 511).all()


# Against ONNX Runtime


def draw(*shape: int, seed: int = 0, low: int = -128) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(low, 128, shape, generator=generator, dtype=torch.int8)


def run(operator: str, inputs: dict[str, Any], domain: str = "", **attributes: Any) -> Tensor:
    """What ONNX Runtime's kernel gives: the first input is given, others are constants."""
    (name, x), *constants = inputs.items()
    kind = TensorProto.INT8 if x.dtype == torch.int8 else TensorProto.UINT8
    node = helper.make_node(operator, list(inputs), ["result"], domain=domain, **attributes)
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info(name, kind, list(x.shape))],
        [helper.make_tensor_value_info("result", kind, None)],
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


# The kernels for x86 round as ours; others may rescale otherwise.
RARELY = 0 if platform.machine().lower() in ("x86_64", "amd64") else 0.001


def close(found: Tensor, wanted: Tensor, rarely: float = RARELY) -> None:
    """Codes alike, or elsewhere within one step of each other, and nearly all alike."""
    assert found.dtype == torch.int8 and found.shape == wanted.shape
    difference = (found.int() - wanted.int()).abs()
    assert difference.max() <= 1
    assert (difference > 0).float().mean() <= rarely
    assert len(wanted.unique()) > 50, "the comparison says little"


SOURCE, TARGET = ActivationGrid(0.02, -37), ActivationGrid(0.11, 5)


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
    scales = steps * scale(SOURCE.step) / scale(TARGET.step)
    found = IntegerLayer(sums, scales, TARGET, WIDE)(x)
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
    scales = steps.float() * scale(SOURCE.step) / scale(TARGET.step)
    found = IntegerLayer(sums, scales, TARGET, WIDE)(x)
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
    close(found, (faked / TARGET.step).round().add(TARGET.zero).to(torch.int8), rarely=0.001)
    clipped = IntegerLayer(sums, scales, TARGET, (0.0, 6.0))(x)
    assert torch.equal(clipped, found.clamp(TARGET.zero, TARGET.zero + round(6 / TARGET.step)))


@pytest.mark.parametrize("seed", range(8))
def test_sums_agree_with_onnx_runtime_on_all_pairs_of_codes(seed: int) -> None:
    random = np.random.default_rng(seed)
    steps, zeros = random.uniform(0.01, 0.1, 2).astype(np.float32), random.integers(-128, 128, 3)
    # As calibrated on what is added, where the middle of one may come to exact halves.
    whole = np.float32((float(steps[0]) * 254 + float(steps[1]) * random.integers(1, 255)) / 255)
    grids = [ActivationGrid(float(s), int(z)) for s, z in zip((*steps, whole), zeros, strict=True)]
    every = torch.arange(-128, 128, dtype=torch.int16)
    x, y = (each.flatten()[None] for each in torch.meshgrid(every, every, indexing="ij"))
    inputs = {"x": (x + 128).to(torch.uint8)}
    for name, grid in zip("xyz", grids, strict=True):
        inputs |= {f"{name}_scale": scale(grid.step), f"{name}_zero": np.uint8(grid.zero + 128)}
        if name == "x":
            inputs["y"] = (y + 128).to(torch.uint8)
    wanted = run("QLinearAdd", inputs, "com.microsoft").short() - 128
    close(Sum(*grids, WIDE)(x.to(torch.int8), y.to(torch.int8)), wanted.to(torch.int8))


@pytest.mark.parametrize("step", [2.0**-21, 1e-9, 1e-20, 2.0**-126])
def test_a_value_of_hardly_any_step_adds_nothing_as_in_onnx_runtime(step: float) -> None:
    tiny, grid = ActivationGrid(float(scale(step)), 7), ActivationGrid(float(scale(0.03)), -20)
    x, y = draw(1, 5000), draw(1, 5000, seed=1)
    arguments = {"x": (x.short() + 128).to(torch.uint8)}
    for name, own in (("x", tiny), ("y", grid), ("z", grid)):
        arguments |= {f"{name}_scale": scale(own.step), f"{name}_zero": np.uint8(own.zero + 128)}
        if name == "x":
            arguments["y"] = (y.short() + 128).to(torch.uint8)
    wanted = (run("QLinearAdd", arguments, "com.microsoft").short() - 128).to(torch.int8)
    assert torch.equal(wanted, y)
    assert torch.equal(Sum(tiny, grid, grid, WIDE)(x, y), y)
    assert torch.equal(Sum(grid, tiny, grid, WIDE)(y, x), y)
    assert (Mean(tiny, grid, WIDE, keep=True)(draw(2, 3, 4, 4)) == grid.zero).all()


@pytest.mark.parametrize("pixels", [(1, 2), (3, 2), (7, 7), (64, 64)])
def test_means_agree_with_onnx_runtime(pixels: tuple[int, int]) -> None:
    one, x = ActivationGrid(float(scale(0.03)), 11), draw(50, 8, *pixels)
    for step in (0.03, 0.011, 0.03 * 127 / 255):
        grid = ActivationGrid(float(scale(step)), 20)
        names = ("x", "x_scale", "x_zero", "y_scale", "y_zero")
        parts = (x, scale(one.step), np.int8(11), scale(grid.step), np.int8(20))
        arguments = dict(zip(names, parts, strict=True))
        wanted = run("QLinearGlobalAveragePool", arguments, "com.microsoft", channels_last=0)
        found = Mean(one, grid, WIDE, keep=True)(x)
        differing = found != wanted
        assert differing.float().mean() <= RARELY and found.shape == (50, 8, 1, 1)
        means = (x.double() - 11).mean((2, 3)) * one.step / grid.step + 20
        flat = Mean(one, grid, WIDE, keep=False)(x)
        assert torch.equal(flat, found.flatten(1))
        assert (flat - means.clamp(-128, 127)).abs().max() <= 0.5 + 1e-5


def test_maxima_and_clips_leave_codes_on_their_grid() -> None:
    x = draw(2, 3, 7, 7)
    pool = nn.MaxPool2d(3, 2, padding=1)
    assert torch.equal(Maximum(pool)(x), pool(x.double()).to(torch.int8))
    assert torch.equal(Clip(ActivationGrid(0.1, 7), (0.0, torch.inf))(x), x.clamp(min=7))


def test_logits_of_channels_come_in_one_unit() -> None:
    layer, weight, x = nn.Linear(50, 6), draw(6, 50, low=-127, seed=1), draw(16, 50)
    steps = torch.linspace(0.001, 0.003, 6, dtype=torch.float64)
    sums = Accumulate(layer, weight, torch.arange(6) * 1000, SOURCE)
    found = Logits(sums, steps)(x)
    assert found.dtype == torch.int32
    exact = sums(x) * (steps / steps.max())
    assert (found - exact).abs().max() <= 0.5 + 1e-4
    assert torch.equal(Logits(sums, steps[:1].expand(6))(x), sums(x).int())


# Steps for which biases fit

BLOCKS = [Blocks.of("per_tensor"), Blocks.of("per_channel"), Blocks.of("per_channel_group", 2)]


@pytest.mark.parametrize("blocks", BLOCKS, ids=lambda blocks: str(blocks.rows))
@pytest.mark.parametrize("make", [uniform.symmetric, uniform.asymmetric])
def test_a_step_is_made_as_large_as_its_bias_asks_and_no_other_is(make, blocks) -> None:
    layer, step = nn.Linear(20, 6), torch.tensor(0.01)
    with torch.no_grad():
        layer.weight[1:3] *= torch.tensor([[1e-9], [1e-30]])
        layer.bias.copy_(torch.tensor([0.5, 0.5, -0.7, 0.0, 1e-9, 3.0]))
    before = make(layer.weight.detach(), 8, blocks)
    ((_, grid),) = bias_steps.fitted([(6, before)], layer, step, on_grid=True)
    units = grid.steps((6, 20)).double().expand(6, 1)[:, 0] * step.double()
    assert (layer.bias.double().abs() / units).max() <= bias_steps.LARGEST
    if blocks.rows == 1:
        changed = (grid.step != before.step).flatten()
        assert changed.tolist() == [False, True, True, False, False, False]
        fits = bias_steps.fitted([(1, before.of_rows(slice(0, 1)))], layer_of(layer, 0), step, True)
        assert fits[0][1] is not None and torch.equal(fits[0][1].step, before.step[:1])
    codes = grid.nearest(layer.weight.detach())
    others = [0, 3, 4, 5]
    torch.testing.assert_close(
        grid.values(codes)[others], layer.weight.detach()[others], rtol=0, atol=0.01
    )


def layer_of(layer: nn.Linear, row: int) -> nn.Linear:
    part = nn.Linear(layer.in_features, 1)
    part.weight.data, part.bias.data = (
        layer.weight.data[row : row + 1],
        layer.bias.data[row : row + 1],
    )
    return part


def test_a_filter_of_next_to_nothing_without_a_bias_takes_a_step_only_on_a_grid() -> None:
    layer = nn.Linear(20, 3, bias=False)
    with torch.no_grad():
        layer.weight[1] *= 1e-20
    before = uniform.symmetric(layer.weight.detach(), 8, Blocks.of("per_channel"))
    for on_grid in (False, True):
        ((_, grid),) = bias_steps.fitted([(3, before)], layer, torch.tensor(0.01), on_grid)
        assert (grid is before) == (not on_grid)
    assert not grid.nearest(layer.weight.detach())[1].any()
