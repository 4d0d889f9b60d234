"""Which images calibrate, and a variant's settings as they reach the quantizer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from laq.compression import calibration_indices, compress
from laq.errors import ConfigError
from laq.networks import SmallResNet

torch.set_num_threads(1)

LABELS = np.arange(120) % 10
SETTINGS = {
    "method": "gpfq",
    "bits": 4,
    "alphabet": "packed",
    "scale": 1.16,
    "quantile": 1.0,
    "per_channel": False,
    "patches": "all",
    "fraction": 0.25,
    "keep": [],
}


def chosen(classes: str, count: int, subset=(2, 5, 7), seed: int = 0) -> np.ndarray:
    return calibration_indices(LABELS, list(subset), {"classes": classes, "images": count}, seed)


@settings(deadline=None)
@given(
    subset=st.sets(st.integers(0, 9), min_size=1, max_size=10),
    count=st.integers(1, 150),
    classes=st.sampled_from(["subset", "all"]),
    seed=st.integers(0, 2**31),
)
def test_so_many_distinct_images_of_the_right_classes_in_order(subset, count, classes, seed):
    indices = chosen(classes, count, subset, seed)
    eligible = {i for i in range(120) if classes == "all" or LABELS[i] in subset}
    assert set(indices) <= eligible
    assert len(set(indices)) == len(indices) == min(count, len(eligible))
    assert (np.diff(indices) > 0).all()
    again = chosen(classes, count, sorted(subset, reverse=True), seed)
    assert np.array_equal(indices, again)


def test_all_classes_at_the_same_count_come_from_outside_the_subset_too():
    inside, everywhere = chosen("subset", 30), chosen("all", 30)
    assert len(inside) == len(everywhere) == 30
    assert set(LABELS[inside]) == {2, 5, 7}
    assert set(LABELS[everywhere]) > {2, 5, 7}


@pytest.mark.parametrize("classes", ["subset", "all"])
def test_subsets_and_seeds_do_not_share_a_batch(classes):
    def places(subset: tuple[int, ...], seed: int) -> tuple[int, ...]:
        """Where the drawn images stand in the list they are drawn from."""
        eligible = np.flatnonzero(np.isin(LABELS, subset) | (classes == "all"))
        return tuple(np.searchsorted(eligible, chosen(classes, 20, subset, seed)))

    assert len({places((2, 5, 7), 0), places((2, 5, 7), 1), places((2, 5, 8), 0)}) == 3


def test_all_images_where_there_are_fewer():
    assert chosen("subset", 36).tolist() == [i for i in range(120) if i % 10 in (2, 5, 7)]
    assert chosen("all", 500).tolist() == list(range(120))


def compressed(**changes):
    torch.manual_seed(0)
    network = SmallResNet(4, widths=(3, 4))
    generator = torch.Generator().manual_seed(0)
    return compress(network, torch.rand(6, 3, 8, 8), SETTINGS | changes, generator)


def test_settings_reach_the_quantizer():
    plain = compressed()
    assert {(row.bits, row.levels, row.reason) for row in plain.layers} == {(4, 15, "")}
    assert compressed(alphabet="paper").layers[0].levels == 17
    assert compressed(bits=2).layers[0].levels == 3
    assert compressed(scale=2.32).layers[0].step == pytest.approx(2 * plain.layers[0].step)
    assert compressed(quantile=0.5).layers[0].step < plain.layers[0].step
    per_channel = compressed(per_channel=True)
    assert per_channel.packed["head.weight"].step.shape == (4, 1)
    drawn = compressed(patches="published", fraction=0.5)
    assert plain.layers[0].samples == 6 * 64
    assert drawn.layers[0].samples == round(0.5 * 6 * 9)  # 3×3 patches of the padded 8×8 image


def test_layers_kept_by_the_config_say_so():
    rows = {row.layer: row.reason for row in compressed(keep=["head"]).layers}
    assert rows.pop("head") == "kept in float by the config"
    assert set(rows.values()) == {""}
    with pytest.raises(ConfigError, match=r"heads.*compress\.keep"):
        compressed(keep=["heads"])


def test_the_same_generator_gives_the_same_codes():
    first, second = compressed(patches="published"), compressed(patches="published")
    for name, weight in first.packed.items():
        assert torch.equal(weight.codes, second.packed[name].codes)
    assert first.layers == second.layers
