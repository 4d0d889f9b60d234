"""Figure 4: the weights and levels it draws are those of the two files, for every alphabet."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.collections import LineCollection
from matplotlib.patches import StepPatch

from laq.checkpoints import packing
from laq.figures import weights
from laq.figures.weights import weights_before_and_after
from laq.models import networks
from laq.quantizers.packed_weight import PackedWeight
from laq.quantizers.uniform import Alphabet
from laq.utils.errors import ConfigError
from plot_weights import plot_weights

WEIGHT = torch.randn(20, 12, 3, 3, generator=torch.Generator().manual_seed(0))
SMALL = torch.randn(6, 20, generator=torch.Generator().manual_seed(1))
REPORT = [
    {"layer": "first", "error": None, "reason": "the first layer"},
    {"layer": "a", "error": 0.25, "reason": ""},
    {"layer": "b", "error": 0.5, "reason": ""},
]


def packed(weight, splits, per_channel=False, gap=None):
    """Nearest levels of ``weight``, its rows split into runs of (rows, bits)."""
    flat, runs, first = weight.flatten(1), [], 0
    for rows, bits in splits:
        alphabet = Alphabet.from_weights(flat, bits, "packed", 1.16, 1.0, per_channel)
        if gap:
            alphabet = alphabet.with_gap(gap)
        part = slice(first, first + rows)
        alphabet = alphabet.of_rows(part)
        even = replace(alphabet, gap=0.0)  # any codes will do
        codes = even.nearest(flat[part]).view(weight[part].shape)
        runs.append(PackedWeight(codes, alphabet))
        first += rows
    return runs


@pytest.fixture
def files(tmp_path):
    """Writes a parent and a compressed checkpoint of layers a and b; gives their paths."""

    def write(splits=((20, 4),), **options):
        state = {"a.weight": WEIGHT, "b.weight": SMALL, "first.weight": SMALL}
        parts = {"a.weight": packed(WEIGHT, splits, **options)}
        parts["b.weight"] = packed(SMALL, [(6, 4)])
        paths = tmp_path / "parent.safetensors", tmp_path / "quant.safetensors"
        packing.save(paths[0], state, {"variant": "original"})
        packing.save(paths[1], state, {"variant": "quant", "layers": REPORT}, parts)
        return paths

    yield write
    plt.close("all")


def stems(panel) -> dict[float, float]:
    """Level and height of the stems in a panel."""
    lines = next(c for c in panel.collections if isinstance(c, LineCollection))
    return {segment[0][0]: segment[1][1] for segment in lines.get_segments()}


def histograms(panel) -> list[tuple[np.ndarray, np.ndarray]]:
    """Heights and edges of the histograms in a panel."""
    return [
        (p.get_data().values, p.get_data().edges) for p in panel.patches if type(p) is StepPatch
    ]


@pytest.mark.parametrize("options", [{}, {"per_channel": True}, {"gap": 0.5}])
@pytest.mark.parametrize("splits", [((20, 4),), ((5, 5), (12, 3), (3, 2)), ((20, 16),)])
def test_weights_after_are_those_that_the_checkpoint_unpacks(files, splits, options):
    parent, quant = files(splits, **options)
    layer = weights.read(quant, packing.read(parent).state)
    assert [(run.filters, run.bits) for run in layer.runs] == list(splits)
    after = np.concatenate([run.after for run in layer.runs])
    restored = packing.read(quant).state["a.weight"].numpy().reshape(-1)
    np.testing.assert_allclose(after, restored, rtol=1e-6, atol=1e-12)
    before = WEIGHT.numpy().reshape(-1)
    change = np.linalg.norm(before - restored) / np.linalg.norm(before)
    assert layer.change == pytest.approx(change, rel=1e-5)


def test_stems_stand_on_the_levels_and_their_heights_are_shares_of_weights(files):
    parent, quant = files()
    panel = weights_before_and_after(weights.read(quant, packing.read(parent).state), "Test").axes[
        0
    ]
    values, counts = packing.read(quant).state["a.weight"].unique(return_counts=True)
    drawn = stems(panel)
    np.testing.assert_allclose(list(drawn), values.numpy(), rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(list(drawn.values()), counts.numpy() / WEIGHT.numel())


@pytest.mark.parametrize("bits", [8, 16, 32])
def test_levels_beyond_counting_become_a_histogram_whose_bins_hold_equally_many(files, bits):
    parent, quant = files(((20, bits),))
    layer = weights.read(quant, packing.read(parent).state)
    panel = weights_before_and_after(layer, "Test").axes[0]
    before, after = histograms(panel)
    np.testing.assert_array_equal(before[1], after[1])
    assert before[0].sum() == pytest.approx(1) and after[0].sum() == pytest.approx(1)
    in_steps = before[1] / layer.runs[0].step[0]
    widths = np.diff(in_steps).round()
    assert len(set(widths)) == 1 and widths[0] % 2 == 1
    assert 20 <= len(widths) <= 125


def test_every_run_of_filters_has_a_panel_of_its_own(files):
    parent, quant = files(((8, 5), (12, 3)))
    layer = weights.read(quant, packing.read(parent).state)
    figure = weights_before_and_after(layer, "Test")
    assert [panel.get_title("left") for panel in figure.axes] == [
        "8 filters at 5 bits",
        "12 filters at 3 bits",
    ]
    for panel, rows in zip(figure.axes, (WEIGHT[:8], WEIGHT[8:]), strict=True):
        assert sum(stems(panel).values()) == pytest.approx(1)
        assert f"became zero: {0:.0%}" not in panel.texts[0].get_text()
        assert len(stems(panel)) <= {8: 31, 12: 7}[len(rows)]


def test_an_unknown_layer_is_refused_with_the_layers_there_are(files):
    parent, quant = files()
    state = packing.read(parent).state
    with pytest.raises(ConfigError, match=r"figures\.weights\.layer is 'c'.*choose one of a, b"):
        weights.read(quant, state, "c")
    with pytest.raises(ConfigError, match=r"leaves in float \(the first layer\).*layers, a, b"):
        weights.read(quant, state, "first")
    with pytest.raises(ConfigError, match="holds no quantized layer"):
        weights.read(parent, state)


def test_with_an_image_the_parent_is_folded_as_compression_does(tmp_path):
    described = {"name": "small_resnet", "classes": 3, "channels": 1, "widths": [4]}
    network = networks.create(**described).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 2)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
    path = tmp_path / "parent.safetensors"
    packing.save(path, network.state_dict(), {"network": described})
    image = np.zeros((1, 1, 8, 8), dtype=np.uint8)
    plain, folded = (weights.parent_state(path, given) for given in (None, image))
    norm = network.stem[1]
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    expected = network.stem[0].weight * scale[:, None, None, None]
    torch.testing.assert_close(plain["stem.0.weight"], network.stem[0].weight.data)
    torch.testing.assert_close(folded["stem.0.weight"], expected.data)


def test_two_runs_give_the_same_bytes(files, tmp_path):
    parent, quant = files()
    place = {"study": "Test", "network": "net", "subset": "s", "variant": "quant", "layer": None}
    for name in ("x", "y"):
        pdf, png = tmp_path / f"{name}.pdf", tmp_path / f"{name}.png"
        plot_weights(quant, parent, [], [], pdf, png, **place)
    for suffix in ("pdf", "png"):
        first, second = ((tmp_path / f"{name}.{suffix}").read_bytes() for name in "xy")
        assert first == second
