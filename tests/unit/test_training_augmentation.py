"""Random changes of training images, against loops over their pixels and torchvision's own."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from laq.training import TRAINING, Recipe
from laq.training.augmentation import GREY, Augmentation, erase, flip, policy, shift

torch.set_num_threads(1)

QUICK = settings(deadline=None, max_examples=25)
SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 5), st.integers(1, 5))


def pictures(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, shape, generator=generator).to(torch.uint8)


def augmented(images: Tensor, seed: int = 0, part: slice = slice(None), **changes) -> Tensor:
    """The part of a batch as a process with that part sees it."""
    recipe = Recipe.of(TRAINING, {"shift": 0, **changes})
    change = Augmentation(recipe, torch.Generator().manual_seed(seed))
    return change(images[part], len(images), part)


@QUICK
@given(pixels=st.integers(1, 3), shape=SHAPES, seed=st.integers(0, 99))
def test_shifting_is_that_of_a_loop(pixels, shape, seed):
    images = pictures(shape, seed)
    n, channels, h, w = shape
    dy, dx = torch.randint(-pixels, pixels + 1, (2, n), generator=torch.manual_seed(seed))
    expected = torch.empty_like(images)
    for i in range(n):
        for c in range(channels):
            for y in range(h):
                for x in range(w):
                    row = min(max(y + int(dy[i]), 0), h - 1)
                    column = min(max(x + int(dx[i]), 0), w - 1)
                    expected[i, c, y, x] = images[i, c, row, column]
    assert torch.equal(shift(images, dy, dx), expected)


@QUICK
@given(shape=SHAPES, seed=st.integers(0, 99))
def test_flipping_changes_left_and_right_of_those_named(shape, seed):
    images = pictures(shape, seed)
    which = torch.arange(len(images)) % 2 == seed % 2
    flipped = flip(images, which)
    for image, result, turned in zip(images, flipped, which, strict=True):
        expected = torch.tensor([[row[::-1] for row in channel] for channel in image.tolist()])
        assert torch.equal(result, expected.to(torch.uint8) if turned else image)


@QUICK
@given(shape=SHAPES, side=st.integers(1, 6), seed=st.integers(0, 99))
def test_erasing_is_that_of_a_loop(shape, side, seed):
    images = pictures(shape, seed)
    n, channels, h, w = shape
    generator = torch.manual_seed(seed)
    rows, columns = (torch.randint(0, end, (n,), generator=generator) for end in (h, w))
    expected = images.clone()
    for i in range(n):
        for c in range(channels):
            for y in range(int(rows[i]) - side // 2, int(rows[i]) - side // 2 + side):
                for x in range(int(columns[i]) - side // 2, int(columns[i]) - side // 2 + side):
                    if 0 <= y < h and 0 <= x < w:
                        expected[i, c, y, x] = GREY
    assert torch.equal(erase(images, side, rows, columns), expected)


@pytest.mark.parametrize(("name", "kind"), [("randaugment", "RandAugment"), ("trivial", None)])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_policy_changes_each_image_as_torchvision_would_from_its_own_seed(name, kind, channels):
    from torchvision.transforms import v2

    images = pictures((6, channels, 12, 10))
    seeds = torch.tensor([3, 1, 4, 1, 5, 9])
    change = getattr(v2, kind or "TrivialAugmentWide")()
    expected = []
    for image, seed in zip(images, seeds.tolist(), strict=True):
        torch.manual_seed(seed)
        expected.append(change(image))
    assert torch.equal(policy(images, name, seeds), torch.stack(expected))


def test_a_policy_leaves_torch_s_own_generator_alone():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    augmented(pictures((2, 3, 8, 8)), policy="randaugment")
    assert torch.equal(torch.rand(3), expected)


ALL = {"shift": 2, "flip": True, "erase": 3, "policy": "trivial"}


@settings(deadline=None, max_examples=10)
@given(count=st.integers(1, 9), cut=st.integers(0, 9), seed=st.integers(0, 99))
def test_parts_of_a_batch_are_changed_as_the_whole_is(count, cut, seed):
    images = pictures((count, 3, 8, 8), seed)
    whole = augmented(images, seed, **ALL)
    assert whole.dtype == torch.uint8 and whole.shape == images.shape
    parts = [augmented(images, seed, part, **ALL) for part in (slice(0, cut), slice(cut, None))]
    assert torch.equal(torch.cat(parts), whole)


def test_the_generator_goes_on_alike_whatever_the_part():
    images = pictures((5, 3, 8, 8))
    after = []
    for part in (slice(0, 5), slice(3, 3), slice(1, 2)):
        generator = torch.Generator().manual_seed(0)
        change = Augmentation(Recipe.of(TRAINING, ALL), generator)
        change(images[part], 5, part)
        after.append(generator.get_state())
    assert torch.equal(after[0], after[1]) and torch.equal(after[0], after[2])
