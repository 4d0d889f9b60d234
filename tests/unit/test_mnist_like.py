"""Digits in MNIST's form: the same for a seed, in its frame, of scans that no split shares."""

from __future__ import annotations

import numpy as np
import pytest

from laq import data
from laq.data import digits, mnist_like, sources

SETTINGS = {"kind": "mnist_like", "train_per_class": 40, "test_per_class": 20}


@pytest.fixture(scope="module")
def made() -> tuple[data.Dataset, data.Dataset]:
    return sources.make(SETTINGS, 0)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(made):
    again, other = sources.make(SETTINGS, 0), sources.make(SETTINGS, 1)
    for split, same, different in zip(made, again, other, strict=True):
        assert split.images.tobytes() == same.images.tobytes()
        assert split.images.shape == different.images.shape
        assert (split.images != different.images).any(axis=(1, 2, 3)).all()


def test_every_class_has_as_many_images_as_asked_for(made):
    for split, count in zip(made, (40, 20), strict=True):
        assert split.images.shape == (10 * count, 1, 28, 28)
        assert np.bincount(split.labels).tolist() == [count] * 10
        assert split.classes == tuple("0123456789")
        assert len(np.unique(split.images, axis=0)) == 10 * count


def test_images_have_mnists_frame(made):
    """Black paper, the ink's longer side 20 pixels, and its mass in the middle."""
    images = made[0].images[:, 0].astype(float)
    assert np.median(images) == 0 and images.max() == 255
    there = images >= 128
    sides = [np.ptp(np.flatnonzero(one.any(axis=axis))) + 1 for one in there for axis in (0, 1)]
    longer = np.reshape(sides, (-1, 2)).max(axis=1)
    assert longer.min() >= 17 and longer.max() <= 21  # thin ends are grey
    assert 19.5 < longer.mean() < 20.5
    # Where ink was not cut off at the border, the mass lies in the middle to rounding.
    whole = images[:, [0, -1]].sum(axis=(1, 2)) + images[:, :, [0, -1]].sum(axis=(1, 2)) == 0
    assert whole.mean() > 0.97
    mass = images[whole].sum(axis=(1, 2))
    for axis in (1, 2):
        middles = images[whole].sum(axis=axis) @ np.arange(28) / mass
        assert np.abs(middles - 13.5).max() < 0.1


def test_a_pixel_is_the_mean_of_the_ink_that_it_covers():
    """Against a page of 4 × 4 raster pixels a pixel: exact means, since nothing falls between."""
    rng = np.random.default_rng(0)
    ink = np.zeros((1, 112, 112), dtype=np.float32)
    ink[0, 16:96, 24:88] = rng.uniform(0.5, 1, (80, 64))
    ink += ink[:, ::-1]  # so that the mass is in the middle of the page, whatever was drawn
    ink = (ink + ink[:, :, ::-1]) / 4
    blocks = ink.reshape(28, 4, 28, 4).mean(axis=(1, 3))
    made = mnist_like.frame(ink)[0]
    assert np.abs(made - 255 * blocks).max() <= 0.5001


def test_no_scan_is_in_both_splits_and_half_of_the_images_are_scans(monkeypatch):
    seen: list[tuple[int, np.ndarray, int]] = []

    def draw(scanned: np.ndarray, drawn: np.ndarray, count: int, rng: object) -> np.ndarray:
        seen.append((count, scanned, len(drawn)))
        return np.zeros((count, 28, 28), dtype=np.uint8)

    monkeypatch.setattr(mnist_like, "draw", draw)
    sources.make(SETTINGS, 0)
    scans = {count: [s for n, s, _ in seen if n == count] for count in (40, 20)}
    assert {faces for _, _, faces in seen} == {16}
    whole = sum(len(split.labels) for split in digits.make({"test_fraction": 0.2}, 0))
    assert sum(len(s) for group in scans.values() for s in group) == whole == 1797
    train, test = ({one.tobytes() for s in scans[n] for one in s} for n in (40, 20))
    assert not train & test


def test_a_class_depends_on_no_other_and_sources_are_taken_in_turn():
    rng = np.random.default_rng(0)
    scanned, drawn = (np.zeros((n, mnist_like.CELL, mnist_like.CELL), "f4") for n in (3, 2))
    for i, cell in enumerate(scanned):  # bars of three widths tell the scans apart
        cell[5:35, 18 : 22 + 6 * i] = 1
    drawn[:, 18:22, 5:35] = 1  # and lying ones what is drawn
    images = mnist_like.draw(scanned, drawn, 12, rng)
    wide = [np.ptp(np.flatnonzero(one.any(axis=0))) for one in images >= 128]
    high = [np.ptp(np.flatnonzero(one.any(axis=1))) for one in images >= 128]
    assert all(h > w for w, h in zip(wide[:6], high[:6], strict=True))
    assert all(w > h for w, h in zip(wide[6:], high[6:], strict=True))
    mass = np.sort(images[:6].sum(axis=(1, 2)))
    assert (np.diff(mass)[1::2] > 3 * np.diff(mass)[::2].mean()).all()  # pairs of each width
