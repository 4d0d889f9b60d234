"""Layers are solved for inputs that are quantized when they arrive, whatever way they come."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from laq.ptq import calibration, fx_runner
from laq.ptq.activation_quantizer import BINS, InputQuantizer, InputSettings, apply, calibrate
from laq.ptq.sequential import QuantizedNetwork, quantize_network
from tests.unit.test_sequential import ALL as ALL_PATCHES
from tests.unit.test_sequential import (
    alphabet,
    codes_of,
    example,
    first_input,
    forward_order,
    images,
    matrix,
    naive,
    naive_codes,
    quantize,
)

torch.set_num_threads(1)


def minmax(x: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Step and zero, as torch's affine quantizers have them, in float64."""
    low, high = x.amin().clamp(max=0), x.amax().clamp(min=0)
    step = ((high - low) / (2**bits - 1)).float()
    return step, (-(low / step)).round() - 2 ** (bits - 1)


def fake(x: Tensor, step: Tensor, zero: Tensor, bits: int) -> Tensor:
    half = 2 ** (bits - 1)
    return ((x / step).round() + zero).clamp(-half, half - 1).sub(zero) * step


def reference(
    network: nn.Module, batch: Tensor, quantizer: Callable[[Tensor], Callable[[Tensor], Tensor]]
) -> dict[str, Tensor]:
    """Codes by the definition: a layer's X̃ is quantized by what ``quantizer`` makes of it."""
    quantized, codes = copy.deepcopy(network), {}
    for name in forward_order(network, batch):
        layer = quantized.get_submodule(name)
        x, arrived = first_input(network, name, batch), first_input(quantized, name, batch)
        own = quantizer(every_input(quantized, name, batch))
        layer.register_forward_pre_hook(lambda _, args, own=own: (own(args[0]),))
        x, xq = (matrix(layer, value, ALL_PATCHES, None) for value in (x, own(arrived)))
        levels = alphabet(layer.weight.detach().flatten(1))
        rows = layer.weight.detach().flatten(1)
        steps = levels.step.expand(len(rows), 1)
        codes[f"{name}.weight"] = naive_codes(rows, x, xq, steps, levels.largest).view_as(
            layer.weight
        )
        layer.weight.data = codes[f"{name}.weight"] * levels.step
    return codes


def every_input(network: nn.Module, name: str, batch: Tensor) -> Tensor:
    """All numbers that layer ``name`` gets, at its first call and at later ones."""
    seen: list[Tensor] = []
    handle = network.get_submodule(name).register_forward_pre_hook(
        lambda _, args: seen.append(args[0].flatten())
    )
    with torch.no_grad():
        network(batch.clone())
    handle.remove()
    return torch.cat(seen)


def static(arrived: Tensor) -> Callable[[Tensor], Tensor]:
    grid = minmax(arrived, 4)
    return lambda x: fake(x, *grid, 4)


def dynamic(_: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda x: torch.stack([fake(image, *minmax(image, 4), 4) for image in x])


@pytest.mark.parametrize("mode", ["static", "dynamic"])
@pytest.mark.parametrize("name", ["small_resnet", "twice", "tokens"])
def test_codes_are_those_of_a_recursion_on_quantized_inputs(name: str, mode: str) -> None:
    network, batch = example(name)
    result = quantize(network, batch, inputs=InputSettings(4, mode))
    wanted = reference(network, batch, {"static": static, "dynamic": dynamic}[mode])
    found = codes_of(result)
    assert list(found) == list(wanted)
    for key, codes in wanted.items():
        assert torch.equal(found[key], codes), key


@pytest.fixture
def untraceable(monkeypatch: pytest.MonkeyPatch) -> None:
    def trace(_: nn.Module) -> None:
        raise fx_runner.UntraceableError("for this test")

    monkeypatch.setattr(fx_runner, "trace", trace)


def same(found: QuantizedNetwork, wanted: QuantizedNetwork) -> None:
    one, other = found.network.state_dict(), wanted.network.state_dict()
    assert one.keys() == other.keys()
    for key in one:
        torch.testing.assert_close(one[key], other[key], rtol=1e-6, atol=1e-9)
    assert found.layers == wanted.layers


@pytest.mark.parametrize("settings", [InputSettings(8), InputSettings(4, range="mse")])
def test_a_network_without_a_graph_gives_the_same(settings, request) -> None:
    network, batch = example("small_resnet")
    walked = quantize(network, batch, inputs=settings)
    request.getfixturevalue("untraceable")
    same(quantize(network, batch, inputs=settings), walked)


def test_chunks_make_no_difference_to_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    network, batch = example("small_resnet")
    settings = InputSettings(8, range="percentile", percentile=99)
    whole = quantize(network, batch, inputs=settings)
    monkeypatch.setattr(calibration, "CHUNK", 2)
    found = quantize(network, batch, inputs=settings)
    for row, wanted in zip(found.layers, whole.layers, strict=True):
        assert row.input_step == pytest.approx(wanted.input_step, rel=1e-6)
        assert row.input_zero == wanted.input_zero


def test_the_result_is_built_again_from_its_transforms() -> None:
    network, batch = example("small_resnet")
    result = quantize(network, batch, inputs=InputSettings(8))
    (entry,) = result.transforms
    assert entry.pop("kind") == "input_quantizers"
    fresh = apply(copy.deepcopy(network), **entry)
    fresh.load_state_dict(result.network.state_dict())
    with torch.no_grad():
        assert torch.equal(fresh(batch), result.network(batch))
    assert not any("input_quantizer" in key for key in network.state_dict())


def test_the_layer_report_says_what_became_of_inputs() -> None:
    network, batch = example("small_resnet")
    skip_layers = {"head": "kept"}
    rows = {row.layer: row for row in quantize(network, batch, inputs=InputSettings(8)).layers}
    assert {row.input_bits for row in rows.values()} == {8}
    # After ReLU nothing lies below zero, which is the lowest code.
    assert rows["stages.0.conv2"].input_zero == -128
    assert -128 < rows["stem.0"].input_zero < 127
    step, _ = minmax(first_input(network, "stem.0", batch), 8)
    assert rows["stem.0"].input_step == float(step)
    dynamic_inputs = quantize(
        network, batch, inputs=InputSettings(4, "dynamic"), skip_layers=skip_layers
    )
    (first, *_, last) = dynamic_inputs.layers
    assert (first.input_bits, first.input_step, first.input_zero) == (4, None, None)
    assert (last.layer, last.input_bits) == ("head", None)


def test_the_float_network_keeps_its_inputs() -> None:
    network, batch = example("small_resnet")
    seen = []

    def watching(weight, samples, levels):
        seen.append(samples.gather())
        return naive(weight, samples, levels)

    quantize_network(
        network,
        batch,
        solver=watching,
        alphabets=lambda _, weight: [(len(weight), alphabet(weight))],
        sampling=ALL_PATCHES,
        inputs=InputSettings(2),
    )
    first = first_input(network, "stem.0", batch)
    x, xq = seen[0]
    assert torch.equal(x, matrix(network.stem[0], first, ALL_PATCHES, None))
    assert len(x.unique()) > 50 and len(xq.unique()) <= 4


@pytest.mark.parametrize("how", ["percentile", "mse", "kl"])
def test_ranges_from_a_histogram_are_those_of_the_values(how: str) -> None:
    """The range that the values themselves would get, but for the width of a few bins."""
    from laq.quantizers import observers

    x = torch.randn(8, 2000, generator=torch.Generator().manual_seed(0)).relu() ** 2
    quantizer = InputQuantizer(8)
    settings = InputSettings(8, range=how, percentile=99)
    calibrate(quantizer, lambda: x.split(3), settings)
    low, high = observers.choose(x.view(1, -1), 8, how, False, quantile=0.99)
    width = float(x.max()) / BINS
    assert float(quantizer.step) * 255 == pytest.approx(float(high - low), abs=3 * width)
    assert float(quantizer.step) * 255 < float(x.max()) - 3 * width or how == "mse"
    assert quantizer.zero == -128


class Pyramid(nn.Module):
    """One head on maps of two scales, the coarse one of ten times the range; a block of layers
    that is applied twice; and a layer that has two names."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.block = nn.Sequential(nn.Linear(8, 8), nn.ReLU())
        self.alias = self.head
        self.fc = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        fine = self.stem(x).relu()
        coarse = 10 * nn.functional.avg_pool2d(fine, 2)
        maps = [self.head(fine).relu().mean((2, 3)), self.alias(coarse).relu().mean((2, 3))]
        y = self.block(torch.cat(maps, 1))
        return self.fc(self.block(20 * y))


class Branching(Pyramid):
    """The same, and torch.fx cannot trace it."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if x.sum() > -1 else x


@pytest.mark.parametrize("how", ["minmax", "percentile", "mse", "kl"])
@pytest.mark.parametrize(("kind", "batch"), [(Pyramid, None), (Pyramid, 12), (Branching, None)])
def test_a_range_covers_all_calls_of_a_layer(how, kind, batch, monkeypatch) -> None:
    monkeypatch.setattr(calibration, "CHUNK", 5)
    torch.manual_seed(2)
    network, x = kind().double().eval(), images(12, 2, 8, 8)
    grids = {"alphabets": lambda name, w: [(len(w), alphabet(w, 8))]}
    settings = InputSettings(8, "static", how, 99.9)
    result = quantize(network, x, inputs=settings, batch=batch, **grids)
    for name in ("head", "block.0"):
        quantizer = result.network.get_submodule(f"{name}.input_quantizer")
        largest = float((127 - quantizer.zero) * quantizer.step)
        wanted = float(every_input(network, name, x).max())
        assert largest == pytest.approx(wanted, rel=0.05 if how == "minmax" else 0.5), name
    with torch.no_grad():
        exact, found = network(x), result.network(x)
    assert (found - exact).norm() < (0.03 if how in ("minmax", "mse") else 0.2) * exact.norm()


def test_a_quantizer_of_the_networks_own_covers_all_calls() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.grid, self.a, self.b = InputQuantizer(8), nn.Linear(4, 4), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.b(self.grid(10 * self.a(self.grid(x)).relu()))

    torch.manual_seed(0)
    network = Own().eval()
    network.grid.enabled = False
    x = images(12, 4).float()
    for batch in (None, 12):
        result = quantize(
            network, x, batch=batch, alphabets=lambda _, w: [(len(w), alphabet(w, 8))]
        )
        grid = result.network.grid
        assert float((127 - grid.zero) * grid.step) == pytest.approx(
            float((10 * network.a(x).relu()).max()), rel=0.05
        )
