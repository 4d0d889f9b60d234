"""Glyphs: the list of characters, the faces, and what is drawn of them."""

from __future__ import annotations

import numpy as np
import pytest

from laq import data
from laq.data import glyphs, sources

FEW = {"kind": "glyphs", "classes": 7, "train_per_class": 9, "test_per_class": 4}


@pytest.fixture(scope="module")
def cells():
    return glyphs.rasterise(glyphs.CHARACTERS)


def test_a_hundred_distinct_classes_with_readable_names():
    names = sources.class_names({**FEW, "classes": 100})
    assert len(names) == len(set(names)) == len(set(glyphs.CHARACTERS)) == 100
    assert all(
        name.replace("_", "").isascii() and name.replace("_", "").isalnum() for name in names
    )
    assert {"digit_7", "latin_A", "latin_a", "greek_omega", "greek_lambda", "cyrillic_Zhe"} <= {
        *names
    }
    assert sources.class_names({**FEW, "classes": 12}) == names[:12]


def test_every_face_has_ink_for_every_character(cells):
    assert cells.shape == (100, len(glyphs.FACES), glyphs.CELL, glyphs.CELL)
    assert (cells.sum(axis=(2, 3)) > 0.05 * glyphs.RASTER**2).all()
    border = np.ones((glyphs.CELL, glyphs.CELL), dtype=bool)
    border[1:-1, 1:-1] = False
    assert not cells[:, :, border].any()


@pytest.mark.parametrize(
    ("faces", "least"),
    [(slice(face, face + 1), 0.09) for face in range(len(glyphs.FACES))] + [(slice(None), 0.1)],
)
def test_no_two_classes_are_drawn_alike(cells, faces, least):
    """In every face, and in the mean over faces, any two differ by a good part of their ink."""
    flat = cells[:, faces].mean(axis=1).reshape(100, -1).astype(np.float64)
    energy = (flat**2).sum(axis=1)
    apart = energy[:, None] + energy - 2 * flat @ flat.T
    relative = apart / np.minimum.outer(energy, energy)
    np.fill_diagonal(relative, np.inf)
    one, other = np.unravel_index(relative.argmin(), relative.shape)
    assert relative.min() > least, (glyphs.CHARACTERS[one], glyphs.CHARACTERS[other])


def test_shapes_counts_and_balance():
    train, test = sources.make(FEW, 0)
    assert train.images.shape == (63, 3, 32, 32)
    assert test.images.shape == (28, 3, 32, 32)
    assert train.images.dtype == np.uint8
    assert np.bincount(train.labels).tolist() == [9] * 7
    assert np.bincount(test.labels).tolist() == [4] * 7
    assert list(train.classes) == list(test.classes) == sources.class_names(FEW)


def test_the_seed_decides_every_byte():
    (train, test), (again, also) = sources.make(FEW, 3), sources.make(FEW, 3)
    assert train.images.tobytes() == again.images.tobytes()
    assert test.images.tobytes() == also.images.tobytes()
    other, another = sources.make(FEW, 4)
    assert not (train.images == other.images).all(axis=(1, 2, 3)).any()
    assert not (test.images == another.images).all(axis=(1, 2, 3)).any()


def test_a_class_is_drawn_the_same_among_fewer_classes():
    whole, _ = sources.make(FEW, 0)
    part, _ = sources.make({**FEW, "classes": 3}, 0)
    np.testing.assert_array_equal(part.images, data.of_classes(whole, range(3))[0])


def test_no_image_occurs_twice():
    train, test = sources.make({**FEW, "train_per_class": 40, "test_per_class": 40}, 0)
    images = np.concatenate([train.images, test.images]).reshape(7 * 80, -1)
    assert len(np.unique(images, axis=0)) == len(images)


def test_maps_keep_all_ink_inside(cells):
    """The mask's ink is the glyph's area times the map's determinant: nothing is cut off."""
    rng = np.random.default_rng(0)
    for character in range(0, 100, 9):
        face = rng.integers(len(glyphs.FACES), size=64)
        extents = glyphs._half_extents(cells[character])[face]
        matrix, shift = glyphs._affine(extents, rng)
        masks = glyphs._masks(cells[character], face, matrix, shift)
        expected = cells[character, face].sum(axis=(1, 2)) * np.linalg.det(matrix)
        np.testing.assert_allclose(masks.sum(axis=(1, 2)), expected, rtol=0.1)
        frame = np.concatenate([masks[:, 0], masks[:, -1], masks[:, :, 0], masks[:, :, -1]], axis=1)
        assert frame.max() < 0.5


def test_masks_are_what_scipy_interpolates(cells):
    from scipy.ndimage import affine_transform

    rng = np.random.default_rng(1)
    face = rng.integers(len(glyphs.FACES), size=5)
    matrix, shift = glyphs._affine(glyphs._half_extents(cells[30])[face], rng)
    masks = glyphs._masks(cells[30], face, matrix, shift)
    for index in range(5):
        # SciPy counts from the first pixel's centre, rows before columns.
        inverse = np.linalg.inv(matrix[index])[::-1, ::-1]
        centre = (glyphs.SIDE - 1) / 2 + shift[index][::-1]
        offset = (glyphs.CELL - 1) / 2 - inverse @ centre
        expected = affine_transform(
            cells[30, face[index]].astype(np.float64),
            inverse,
            offset,
            (glyphs.SIDE, glyphs.SIDE),
            order=1,
        )
        np.testing.assert_allclose(masks[index], expected, atol=1e-5)
