"""Digits in the form of MNIST, 28 × 28 grey, of scans and fonts that libraries already bring.

A source is one of scikit-learn's 8 × 8 scans of handwriting, or a digit in one of Matplotlib's
fonts. It is seen through a random affine map that also bends. Its strokes are made thicker or
thinner. It is brought into the frame as MNIST's digits were (LeCun et al. 1998, sec. III.A): the
longer side of the ink is 20 pixels, the centre of mass is in the middle, all else is black.

No scan is in both splits. An image depends on the seed, the split, its class and the count per
class, and on nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from laq.data import digits, glyphs
from laq.data.dataset import Dataset, Survey

SIDE, BOX = 28, 20  # pixels of an image, and of the longer side of its ink

SCANNED = 0.5  # share of the images that are scans; the others are drawn from fonts
TEST_SCANS = 0.2  # share of the scans of each class that only the test split sees

# The images' difficulty. Angles are in degrees. A pair is the range of a uniform draw; a single
# number is its bound on either side of zero.
ROTATION = 12.0
SHEAR = 0.2
STRETCH = (0.75, 1.33)  # width over height, times the source's own
BEND = (1.5, 3.0)  # standard deviation of a knot's displacement, in pixels of the raster: of
# scans, which have a writer's own bends, and of drawn digits
LEVEL = (0.25, 0.5)  # where a stroke ends between no ink and full ink: thick to thin

KNOTS = 5  # along a side: displacements are drawn there, and smooth between
EDGE = 0.07  # how far grey levels run on either side of LEVEL
BLUR = 1.5  # pixels: the softness of a glyph's edge, so that LEVEL moves it
CHUNK = 512  # images at once, so that memory does not grow with their number
CELL, RASTER = glyphs.CELL, glyphs.RASTER
CANVAS = 56  # pixels of the raster that ink is warped on; a turned and sheared cell fits


def class_names(settings: Mapping[str, Any]) -> list[str]:
    """The ten digits."""
    return digits.class_names(settings)


def survey(settings: Mapping[str, Any]) -> Survey:
    """As many images of every class as the settings say."""
    names = class_names(settings)
    counts = (np.full(len(names), settings[f"{part}_per_class"]) for part in ("train", "test"))
    return Survey(names, *counts, image_bytes=SIDE**2)


def make(settings: Mapping[str, Any], seed: int) -> tuple[Dataset, Dataset]:
    """Draw the train and the test split, each ordered by class; images (n, 1, 28, 28).

    settings: ``train_per_class``, ``test_per_class``.
    """
    classes = tuple(class_names(settings))
    font_cells = _font_cells("".join(classes))
    scans = digits.make({"test_fraction": TEST_SCANS}, seed)
    splits = []
    for split, key in enumerate(("train_per_class", "test_per_class")):
        count = settings[key]
        images = np.empty((len(classes), count, 1, SIDE, SIDE), dtype=np.uint8)
        for label in range(len(classes)):
            scan_cells = _scan_cells(scans[split].images[scans[split].labels == label])
            rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(split, label)))
            images[label, :, 0] = draw(scan_cells, font_cells[label], count, rng)
        labels = np.repeat(np.arange(len(classes), dtype=np.int64), count)
        splits.append(Dataset(images.reshape(-1, 1, SIDE, SIDE), labels, classes))
    train, test = splits
    return train, test


def draw(
    scanned: np.ndarray, drawn: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Images of one digit, uint8 (count, 28, 28): first scans, then drawn ones.

    scanned, drawn: float32 (m, CELL, CELL), ink 0…1, the sources of either. Scans are taken in
    turn, so that all are seen equally often.
    """
    scans = round(count * SCANNED)
    scan_indices = rng.permutation(np.resize(rng.permutation(len(scanned)), scans))
    faces = rng.integers(len(drawn), size=count - scans)
    cells = np.concatenate([scanned, drawn])
    sources = np.concatenate([scan_indices, len(scanned) + faces])
    bends = np.repeat(BEND, [scans, count - scans])
    chunks = np.array_split(np.arange(count), -(-count // CHUNK))
    return np.concatenate([frame(warp(cells[sources[p]], bends[p], rng)) for p in chunks])


def warp(cells: np.ndarray, bend: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """See each cell through a random map and pen: (n, CELL, CELL) to (n, CANVAS, CANVAS), 0…1.

    bend (n,): standard deviation of displacements, in pixels.
    """
    n = len(cells)
    angle = np.deg2rad(rng.uniform(-ROTATION, ROTATION, n))
    cos, sin = np.cos(angle), np.sin(angle)
    shear = rng.uniform(-SHEAR, SHEAR, n)
    stretch = np.exp(0.5 * rng.uniform(*np.log(STRETCH), n))
    # From canvas to cell: the inverse of the rotation, shear and stretch of an image.
    across = np.stack([cos + shear * sin, sin - shear * cos]) / stretch
    down = np.stack([-sin, cos]) * stretch

    knots = rng.normal(0, bend, (2, KNOTS, KNOTS, n)).astype(np.float32)
    bends = _SMOOTH @ knots.transpose(3, 0, 1, 2) @ _SMOOTH.T  # (n, 2, CANVAS, CANVAS)
    centres = (np.arange(CANVAS) + 0.5 - CANVAS / 2).astype(np.float32)

    def place(row: np.ndarray, bend: np.ndarray) -> np.ndarray:
        row = row.astype(np.float32)[:, :, None, None]
        return row[0] * centres + row[1] * centres[:, None] + bend + (CELL - 1) / 2

    ink = _sample(cells, place(across, bends[:, 0]), place(down, bends[:, 1]))
    level = rng.uniform(*LEVEL, n).astype(np.float32)[:, None, None]
    return np.clip((ink - level) / (2 * EDGE) + 0.5, 0, 1)


def frame(ink: np.ndarray) -> np.ndarray:
    """MNIST's frame: the longer side of the ink is BOX, the centre of mass the image's.

    ink: (n, side, side), 0…1, some in every image. Returns uint8 (n, SIDE, SIDE), each pixel the
    mean of the ink that it covers.
    """
    side = ink.shape[-1]
    extents, centres = [], []
    for axis in (2, 1):  # the axis to sum over: rows are left, then columns
        mask = ink.max(axis=axis) >= 0.5
        first, last = mask.argmax(axis=1), side - mask[:, ::-1].argmax(axis=1)
        extents.append(last - first)
        mass = ink.sum(axis=axis, dtype=np.float64)
        centres.append(mass @ (np.arange(side) + 0.5) / mass.sum(axis=1))
    scale = np.maximum(*extents) / BOX  # pixels of the raster in one of the image
    down, across = (_coverage(centre, scale, side) for centre in centres)
    images = down @ ink @ across.transpose(0, 2, 1) / (scale**2)[:, None, None]
    return np.rint(255 * np.clip(images, 0, 1)).astype(np.uint8)


def _coverage(middle: np.ndarray, scale: np.ndarray, side: int) -> np.ndarray:
    """How much of a raster pixel one of the image covers, along an axis: (n, SIDE, side)."""
    edges = middle[:, None] + (np.arange(SIDE + 1) - SIDE / 2) * scale[:, None]
    start, stop = edges[:, :-1, None], edges[:, 1:, None]
    pixel = np.arange(side)
    return np.clip(np.minimum(stop, pixel + 1) - np.maximum(start, pixel), 0, None)


def _sample(cells: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Cells at places x, y (n, CANVAS, CANVAS), with linear interpolation; no ink beyond a cell."""
    column, line = (np.clip(position, 0, CELL - 1.001) for position in (x, y))
    left, top = column.astype(np.int32), line.astype(np.int32)
    right, low = column - left, line - top
    corner = (np.arange(len(cells), dtype=np.int32)[:, None, None] * CELL + top) * CELL + left
    ink = cells.reshape(-1)
    upper = ink[corner] * (1 - right) + ink[corner + 1] * right
    lower = ink[corner + CELL] * (1 - right) + ink[corner + CELL + 1] * right
    return upper * (1 - low) + lower * low


def _font_cells(characters: str) -> np.ndarray:
    """Every digit in every face: (digits, faces, CELL, CELL), with soft edges."""
    from scipy.ndimage import gaussian_filter

    return _framed(gaussian_filter(glyphs.rasterise(characters), (0, 0, BLUR, BLUR)))


def _scan_cells(images: np.ndarray) -> np.ndarray:
    """Scans, uint8 (n, 1, 8, 8), as cells (n, CELL, CELL): grey levels become slopes."""
    from PIL import Image

    cells = np.zeros((len(images), CELL, CELL), dtype=np.float32)
    edge = (CELL - RASTER) // 2
    for cell, image in zip(cells, images[:, 0], strict=True):
        # A border without ink, so that strokes at the edge end there.
        page = Image.fromarray(np.pad(image, 1).astype(np.float32) / 255)
        page = page.resize((RASTER, RASTER), Image.Resampling.BICUBIC)
        cell[edge:-edge, edge:-edge] = np.asarray(page)
    return _framed(cells)


def _framed(cells: np.ndarray) -> np.ndarray:
    """Cells with a frame of zeros, from 0 to 1: what lies beyond is no ink."""
    cells = np.clip(cells, 0, 1)
    cells[..., (0, -1), :] = 0
    cells[..., :, (0, -1)] = 0
    return cells


# Cubic B-splines over KNOTS points that span the canvas, (CANVAS, KNOTS): rows sum to nearly one.
def _smooth() -> np.ndarray:
    positions = np.linspace(0, KNOTS - 1, CANVAS)
    distance = np.abs(positions[:, None] - np.arange(KNOTS))
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = (2 - distance) ** 3 / 6
    return np.where(distance < 1, near, np.where(distance < 2, far, 0)).astype(np.float32)


_SMOOTH = _smooth()
