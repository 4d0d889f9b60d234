"""Gram similarity of calibration sets: against plain sums, and by what it must be."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from laq.experiments import similarity
from laq.experiments.similarity import (
    COLUMNS,
    Gram,
    compare,
    draws,
    grams,
    of_draws,
    of_subset,
)
from laq.models.small_resnet import SmallResNet
from laq.ptq import calibration
from laq.ptq.calibration import calibration_pool
from laq.utils import seeds
from laq.utils.errors import DataError

torch.set_num_threads(1)


class Net(nn.Module):
    """A strided and a depthwise convolution, tokens into a linear layer called twice, a head."""

    def __init__(self) -> None:
        super().__init__()
        self.never = nn.Linear(2, 2)
        self.head = nn.Linear(12, 5)
        self.first = nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.depthwise = nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.tokens = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.depthwise(self.first(x).relu()).relu()
        x = self.tokens(input=x.flatten(2).mT)  # (n, positions, 6)
        x = self.tokens(x + 100)
        return self.head(torch.cat([x.mean(1), x.amax(1)], dim=1))


@pytest.fixture
def network() -> Net:
    torch.manual_seed(0)
    return Net()


def images(count: int = 7, seed: int = 0, side: int = 8) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, side, side), generator=generator, dtype=torch.uint8)


def matrix(gram: Gram) -> np.ndarray:
    """The Gram matrix (c, c), by inner products with matrices of one entry."""
    found = np.zeros((gram.channels, gram.channels))
    for i in range(gram.channels):
        for j in range(gram.channels):
            unit = torch.zeros(gram.channels, gram.channels, dtype=torch.float64)
            unit[i, j] = 1
            found[i, j] = gram.inner(Gram(gram.channels, samples=1, _total=unit))
    return found


def naive(maps: np.ndarray) -> np.ndarray:
    """Mean over images of F Fᵀ / (h·w), entry by entry; maps (n, c, h·w)."""
    n, c, positions = maps.shape
    found = np.zeros((c, c))
    for image in range(n):
        for i in range(c):
            for j in range(c):
                for place in range(positions):
                    product = float(maps[image, i, place]) * float(maps[image, j, place])
                    found[i, j] += product / (positions * n)
    return found


def test_matrices_are_those_of_a_plain_loop(network: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "CHUNK", 3)
    monkeypatch.setattr(similarity, "_PIECE", 8 * 6 * 5)  # five samples of six channels
    shown = images()
    found = grams(network, shown)
    assert list(found) == ["first", "depthwise", "tokens", "head"]
    with torch.no_grad():
        x = shown.float() / 255
        one = network.first(x).relu()
        two = network.depthwise(one).relu()
        three = network.tokens(network.tokens(two.flatten(2).mT) + 100)
        last = torch.cat([three.mean(1), three.amax(1)], dim=1)
    inputs = {
        "first": x.flatten(2),
        "depthwise": one.flatten(2),
        "tokens": two.flatten(2),  # the first of its two calls
        "head": last[:, :, None],  # 7 samples of 12 channels: never summed
    }
    for name, maps in inputs.items():
        np.testing.assert_allclose(matrix(found[name]), naive(maps.numpy()), rtol=1e-5)


def test_what_is_kept_is_never_more_than_the_matrix_or_the_samples() -> None:
    rows = torch.randn(9, 4)
    gram = Gram(4)
    for row in rows:
        gram.add(row[None])
        kept = gram._total.numel() if gram._total is not None else 4 * gram.samples
        assert kept <= 16
        assert gram._total is None or not gram._rows
    torch.testing.assert_close(torch.from_numpy(matrix(gram)), rows.double().T @ rows.double() / 9)


COUNTS = st.integers(1, 9)


@given(COUNTS, COUNTS, st.integers(1, 5), st.integers(0, 2**31))
@settings(deadline=None, max_examples=50)
def test_inner_products_do_not_depend_on_what_is_kept(m: int, k: int, c: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    left, right = (torch.randn(n, c, generator=generator, dtype=torch.float64) for n in (m, k))
    a, b = Gram(c), Gram(c)
    a.add(left)
    b.add(right)
    expected = ((left.T @ left / m) * (right.T @ right / k)).sum()
    assert a.inner(b) == pytest.approx(float(expected), rel=1e-9, abs=1e-12)
    assert b.inner(a) == pytest.approx(a.inner(b), rel=1e-12)


def of(rows: Tensor) -> dict[str, Gram]:
    gram = Gram(rows.shape[1])
    gram.add(rows)
    return {"layer": gram}


@given(st.integers(1, 6), st.floats(0.01, 100), st.integers(0, 2**31))
@settings(deadline=None, max_examples=50)
def test_scale_shows_in_the_distance_alone_and_the_order_of_channels_in_neither(
    c: int, scale: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    left, right = (torch.rand(8, c, generator=generator, dtype=torch.float64) for _ in range(2))
    plain = compare(of(left), of(right))
    assert 0 < plain.similarity <= 1 and plain.distance >= 0
    assert compare(of(scale * left), of(right)).similarity == pytest.approx(plain.similarity)
    stretched = compare(of(scale * right), of(right))
    assert stretched.similarity == pytest.approx(1)
    assert stretched.distance == pytest.approx(abs(scale**2 - 1), rel=1e-6, abs=1e-6)
    order = torch.randperm(c, generator=generator)
    shuffled = compare(of(left[:, order]), of(right[:, order]))
    assert shuffled == pytest.approx(plain, rel=1e-9, abs=1e-7)
    rows = torch.randperm(8, generator=generator)
    assert compare(of(left[rows]), of(right)) == pytest.approx(plain, rel=1e-9, abs=1e-7)


def test_one_set_is_like_itself_and_unlike_one_that_shares_no_channel(network: Net) -> None:
    found = grams(network, images())
    assert compare(found, grams(network, images())) == (1.0, 0.0)
    eye = torch.eye(2)
    assert compare(of(eye[:1]), of(eye[1:])) == (0.0, pytest.approx(2**0.5))
    assert compare(of(0 * eye), of(0 * eye)) == (1.0, 0.0)  # silent on both
    assert compare(of(0 * eye), of(eye)) == (0.0, 1.0)
    assert compare(of(eye), of(0 * eye)) == (0.0, float("inf"))


def test_inputs_that_are_not_finite_name_their_layer(network: Net) -> None:
    network.first.bias.data[2] = torch.inf
    with pytest.raises(DataError, match=r"layer depthwise: .* not finite"):
        grams(network, images())
    assert not any(module._forward_pre_hooks for module in network.modules())


# Draws

LABELS = np.repeat(np.arange(10), 30)


@pytest.mark.parametrize("seed", [0, 5])
def test_the_first_draw_is_what_calibrates_a_variant(seed: int) -> None:
    members = [7, 2, 4]
    found = draws(LABELS, members, 16, seed)
    recipe = {"images": 16, "batch": "shared"}
    for whose, classes in (("subset", members), ("all", None)):
        expected, _ = calibration_pool(LABELS, classes, members, recipe, seed)
        np.testing.assert_array_equal(found[whose][0], expected)


@given(
    st.sets(st.integers(0, 9), min_size=2, max_size=10),
    st.integers(1, 200),
    st.integers(0, 99),
)
@settings(deadline=None, max_examples=60)
def test_the_second_draw_is_disjoint_and_as_large_or_there_is_none(
    members: set[int], count: int, seed: int
) -> None:
    found = draws(LABELS, members, count, seed)
    within = np.isin(LABELS, list(members))
    for whose, population in (("subset", within), ("all", np.ones(300, dtype=bool))):
        first, second = found[whose]
        assert len(first) == min(count, within.sum())
        assert population[first].all()
        if second is None:
            assert 2 * len(first) > population.sum()
            continue
        assert len(second) == len(set(second)) == len(first)
        assert not set(second) & set(first)
        assert population[second].all()


def coloured(labels: np.ndarray, seed: int = 0) -> np.ndarray:
    """Noise (n, 3, 8, 8) in the colour of its class, for classes below 5 red."""
    noise = np.random.default_rng(seed).integers(0, 100, (len(labels), 3, 8, 8))
    noise[:, 0] += np.where(labels < 5, 150, 0)[:, None, None]
    noise[:, 2] += np.where(labels < 5, 0, 150)[:, None, None]
    return noise.astype(np.uint8)


@pytest.fixture
def small() -> SmallResNet:
    torch.manual_seed(0)
    return SmallResNet(10, widths=(8, 8)).eval()


def test_a_subset_of_its_own_kind_lies_below_the_floor_and_a_like_one_does_not(
    small: SmallResNet,
) -> None:
    shown = coloured(LABELS)
    red = of_subset(small, shown, LABELS, [0, 1, 2, 3], 40, repeats=1, seed=0)
    mixed = of_subset(small, shown, LABELS, [3, 4, 5, 6], 40, repeats=1, seed=0)
    assert red["images"] == 40 and red["layers"] == 7
    assert red["gram_similarity"] < red["gram_floor"] - 0.01
    assert red["gram_similarity"] < mixed["gram_similarity"] - 0.01
    assert red["gram_distance"] > 3 * red["gram_floor_distance"]
    # Images of two colours vary from draw to draw, those of one hardly.
    assert red["subset_floor"] > red["gram_floor"]
    assert 0.99 < red["subset_floor"] < 1


def test_more_images_raise_the_floor(small: SmallResNet) -> None:
    shown = coloured(LABELS)
    few, many = (
        of_subset(small, shown, LABELS, [1, 6], count, repeats=8, seed=0)["gram_floor"]
        for count in (4, 40)
    )
    assert 1 - many < 0.5 * (1 - few)


def test_repeats_are_averaged_each_drawn_as_a_variant_s_is(small: SmallResNet) -> None:
    shown = coloured(LABELS)
    apart = [
        of_draws(small, shown, LABELS, [1, 6], 8, seeds.of_repeat(3, repeat))
        for repeat in (1, 2, 3)
    ]
    found = of_subset(small, shown, LABELS, [1, 6], 8, repeats=3, seed=3)
    assert list(found) == list(COLUMNS)
    for name in ("gram_similarity", "gram_distance", "gram_floor", "subset_floor"):
        values = [each[name] for each in apart]
        assert len(set(values)) == 3
        assert found[name] == pytest.approx(np.mean(values))
    similarities = [each["gram_similarity"] for each in apart]
    assert found["gram_error"] == pytest.approx(np.std(similarities, ddof=1) / 3**0.5)
    assert (found["images"], found["repeats"], found["layers"]) == (8, 3, 7)
    assert np.isnan(of_subset(small, shown, LABELS, [1, 6], 8, 1, 3)["gram_error"])


def test_without_a_second_set_there_is_no_floor(small: SmallResNet) -> None:
    found = of_subset(small, coloured(LABELS), LABELS, [0, 1], 40, repeats=2, seed=0)  # 60 images
    assert np.isnan(found["subset_floor"]) and np.isnan(found["subset_floor_distance"])
    assert found["gram_floor"] < 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        every = of_subset(small, coloured(LABELS), LABELS, range(10), 300, repeats=1, seed=0)
    assert every["gram_similarity"] == 1 and every["gram_distance"] == 0
    assert np.isnan(every["gram_floor"])
