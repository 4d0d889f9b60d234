"""Characters of four scripts, drawn from the font files that Matplotlib ships.

Every glyph of every face is rasterised once, large. An image is one of them seen through a random
affine map, coloured on a graded background, with noise. All images of a class are drawn together as
arrays, from a random stream of its own. An image therefore depends on the seed, the split, its
class and the count per class, and on nothing else. A study of the first ten classes sees the same
images of them as one of a hundred.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from laq.data.dataset import Dataset, Survey
from laq.utils.errors import DataError

# One character of each group that some face draws alike once size is random. Left out are O, Θ, θ
# (0), I, l (1), lower-case c k o p s u v w x z (their capitals), r (Γ), Λ (A), Π, И (H), π (n), χ
# (X), γ (Y), З (3), б, δ (6), Ь (b), Џ (Ц), and letters that two scripts share.
CHARACTERS = (
    "0123456789"
    "ABCDEFGHJKLMNPQRSTUVWXYZabdefghijmnqtyÆŒÞßæðøə"
    "ΓΔΞΣΦΨΩαβεζηλμξσςω"
    "БДЖЙЛЦЧШЩЪЫЭЮЯЂЃЄЇЉЊЋЌЎѢҐђ"
)

FACES = (
    "DejaVuSans.ttf",
    "DejaVuSans-Bold.ttf",
    "DejaVuSans-Oblique.ttf",
    "DejaVuSans-BoldOblique.ttf",
    "DejaVuSerif.ttf",
    "DejaVuSerif-Bold.ttf",
    "DejaVuSerif-Italic.ttf",
    "DejaVuSerif-BoldItalic.ttf",
    "DejaVuSansMono.ttf",
    "DejaVuSansMono-Bold.ttf",
    "DejaVuSansMono-Oblique.ttf",
    "DejaVuSansMono-BoldOblique.ttf",
    "STIXGeneral.ttf",
    "STIXGeneralBol.ttf",
    "STIXGeneralItalic.ttf",
    "STIXGeneralBolIta.ttf",
)

SIDE = 32  # pixels of an image

# The images' difficulty. Angles are in degrees, lengths in pixels, colours in 0…255. A pair is the
# range of a uniform draw; a single number is its bound on either side of zero.
LONGER_SIDE = (14.0, 26.0)
ROTATION = 20.0
SHEAR = 0.25
STRETCH = (0.85, 1.18)  # width over height, times the face's own
SHIFT = 4.0
CONTRAST = 60.0  # least distance of the two colours' luminances
GRADIENT = 40.0  # of each background channel, from the centre to the border
NOISE = (5.0, 25.0)  # standard deviation, one an image

MARGIN = 1.0  # pixels at the border that stay free of ink
RASTER = 40  # longer side of a rasterised glyph; over half of it, sampling does not alias
CELL = RASTER + 2  # a frame of zeros, so that samples beside the glyph are empty
LUMINANCE = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


def _class_name(character: str) -> str:
    """Shorten a Unicode name: "GREEK SMALL LETTER FINAL SIGMA" to "greek_final_sigma"."""
    if character.isdigit():
        return f"digit_{character}"
    script, case, _, *words = unicodedata.name(character).split()
    letter = "_".join(words).lower().replace("lamda", "lambda")
    return f"{script.lower()}_{letter.capitalize() if case == 'CAPITAL' else letter}"


def survey(settings: Mapping[str, Any]) -> Survey:
    """As many images of every class as the settings say."""
    names = class_names(settings)
    counts = (np.full(len(names), settings[f"{part}_per_class"]) for part in ("train", "test"))
    return Survey(names, *counts, image_bytes=3 * SIDE**2)


def _characters(settings: Mapping[str, Any]) -> str:
    return CHARACTERS[: settings["classes"]]


def class_names(settings: Mapping[str, Any]) -> list[str]:
    """Names such as "digit_7", "latin_A", "greek_omega", "cyrillic_Zhe".

    settings: ``classes``, how many of the list, from its beginning.
    """
    return [_class_name(character) for character in _characters(settings)]


def rasterise(characters: str) -> np.ndarray:
    """Draw every character in every face: float32 (characters, faces, CELL, CELL), ink 0…1.

    A glyph is centred and its longer side is RASTER pixels. Raises ``DataError`` naming the
    face, and the character it has no glyph for.
    """
    import matplotlib
    from matplotlib.ft2font import FT2Font
    from PIL import Image, ImageDraw, ImageFont

    em = 4 * RASTER
    cells = np.zeros((len(characters), len(FACES), CELL, CELL), dtype=np.float32)
    for column, face in enumerate(FACES):
        path = Path(matplotlib.get_data_path(), "fonts", "ttf", face)
        if not path.is_file():
            raise DataError(f"font file {path} is missing: reinstall matplotlib")
        charmap = FT2Font(str(path)).get_charmap()
        font = ImageFont.truetype(str(path), em, layout_engine=ImageFont.Layout.BASIC)
        for row, character in enumerate(characters):
            page = Image.new("L", (3 * em, 3 * em))
            ImageDraw.Draw(page).text((em, 2 * em), character, font=font, fill=255, anchor="ls")
            box = page.getbbox()
            if ord(character) not in charmap or box is None:
                raise DataError(
                    f"font {face} has no glyph for {character!r} (U+{ord(character):04X}), unlike "
                    "the file that Matplotlib ships: reinstall matplotlib"
                )
            glyph = page.crop(box)
            zoom = RASTER / max(glyph.size)
            size = [max(1, round(side * zoom)) for side in glyph.size]
            glyph = glyph.resize(size, Image.Resampling.BOX)
            corner = [(CELL - side) // 2 for side in size]
            cell = Image.new("L", (CELL, CELL))
            cell.paste(glyph, corner)
            cells[row, column] = np.asarray(cell, dtype=np.float32) / 255
    return cells


def _half_extents(cells: np.ndarray) -> np.ndarray:
    """Distance from each cell's centre to its outermost ink: (faces, CELL, CELL) to (faces, 2)."""
    distance = np.abs(np.arange(CELL) + 0.5 - CELL / 2) + 0.5
    horizontal = (cells.max(axis=1) > 0) * distance
    vertical = (cells.max(axis=2) > 0) * distance
    return np.stack([horizontal.max(axis=1), vertical.max(axis=1)], axis=1)


def _affine(extents: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Random maps from cell to image, both centred: matrices (n, 2, 2), shifts (n, 2).

    extents (n, 2) are half the width and height of the glyphs. A map that would carry ink
    over the image's border shrinks until it fits, and shifts within the room that is left.
    """
    n = len(extents)
    angle = np.deg2rad(rng.uniform(-ROTATION, ROTATION, n))
    cos, sin = np.cos(angle), np.sin(angle)
    shear = rng.uniform(-SHEAR, SHEAR, n)
    stretch = np.sqrt(rng.uniform(*STRETCH, n))
    zoom = rng.uniform(*LONGER_SIDE, n) / RASTER
    # rotation · shear · stretch, row by row
    matrix = np.empty((n, 2, 2))
    matrix[:, 0, 0] = cos * stretch
    matrix[:, 0, 1] = (cos * shear - sin) / stretch
    matrix[:, 1, 0] = sin * stretch
    matrix[:, 1, 1] = (sin * shear + cos) / stretch
    matrix *= zoom[:, None, None]

    room = SIDE / 2 - MARGIN
    half_size = (np.abs(matrix) * extents[:, None, :]).sum(axis=2)
    shrink = np.minimum(1, room / half_size.max(axis=1))
    matrix *= shrink[:, None, None]
    max_shift = np.minimum(SHIFT, room - half_size * shrink[:, None])
    return matrix, rng.uniform(-1, 1, (n, 2)) * max_shift


def _masks(
    cells: np.ndarray, face: np.ndarray, matrix: np.ndarray, shift: np.ndarray
) -> np.ndarray:
    """Sample glyphs through affine maps, with linear interpolation: (n, SIDE, SIDE), 0…1."""
    centres = np.arange(SIDE) + 0.5 - SIDE / 2
    x = (centres - shift[:, :1])[:, None, :]
    y = (centres - shift[:, 1:])[:, :, None]
    inverse = np.linalg.inv(matrix)[:, :, :, None, None]

    def source(row: int) -> tuple[np.ndarray, np.ndarray]:
        position = inverse[:, row, 0] * x + inverse[:, row, 1] * y + (CELL - 1) / 2
        position = np.clip(position, 0, CELL - 1)
        index = np.minimum(position.astype(np.int64), CELL - 2)
        return index, (position - index).astype(np.float32)

    (column, right), (line, down) = source(0), source(1)
    corner = (face[:, None, None] * CELL + line) * CELL + column
    ink = cells.reshape(-1)
    upper = ink[corner] * (1 - right) + ink[corner + 1] * right
    lower = ink[corner + CELL] * (1 - right) + ink[corner + CELL + 1] * right
    return upper * (1 - down) + lower * down


def _colours(n: int, rng: np.random.Generator) -> np.ndarray:
    """Pairs of colours at least CONTRAST apart in luminance: (n, 2, channels)."""
    pairs = rng.uniform(0, 255, (n, 2, 3))
    while True:
        luminance = pairs @ LUMINANCE
        too_near = np.abs(luminance[:, 0] - luminance[:, 1]) < CONTRAST
        if not too_near.any():
            return pairs
        pairs[too_near] = rng.uniform(0, 255, (int(too_near.sum()), 2, 3))


def draw(cells: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw n images of one character.

    cells: float32 (faces, CELL, CELL), its glyphs. Returns uint8 (n, 3, SIDE, SIDE).
    """
    face = rng.integers(len(cells), size=n)
    matrix, shift = _affine(_half_extents(cells)[face], rng)
    mask = _masks(cells, face, matrix, shift)[:, None]

    colours = _colours(n, rng).astype(np.float32)[..., None, None]
    ink, paper = colours[:, 0], colours[:, 1]
    ramp = np.linspace(-1, 1, SIDE, dtype=np.float32)
    slope = rng.uniform(-GRADIENT / 2, GRADIENT / 2, (n, 3, 2, 1, 1)).astype(np.float32)
    paper = paper + slope[:, :, 0] * ramp + slope[:, :, 1] * ramp[:, None]
    noise = rng.standard_normal((n, 3, SIDE, SIDE), dtype=np.float32)
    noise *= rng.uniform(*NOISE, (n, 1, 1, 1)).astype(np.float32)
    image = paper + (ink - paper) * mask + noise
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def make(settings: Mapping[str, Any], seed: int) -> tuple[Dataset, Dataset]:
    """Draw the train and the test split, each ordered by class; images (n, 3, 32, 32).

    settings: ``classes``, ``train_per_class``, ``test_per_class``.
    """
    from tqdm import tqdm

    characters = _characters(settings)
    counts = (settings["train_per_class"], settings["test_per_class"])
    classes = tuple(class_names(settings))
    cells = rasterise(characters)
    splits = []
    with tqdm(total=len(characters) * sum(counts), desc="glyphs", unit=" images") as progress:
        for split, count in enumerate(counts):
            images = np.empty((len(characters), count, 3, SIDE, SIDE), dtype=np.uint8)
            for label, glyphs in enumerate(cells):
                stream = np.random.SeedSequence(seed, spawn_key=(split, label))
                images[label] = draw(glyphs, count, np.random.default_rng(stream))
                progress.update(count)
            labels = np.repeat(np.arange(len(characters), dtype=np.int64), count)
            splits.append(Dataset(images.reshape(-1, 3, SIDE, SIDE), labels, classes))
    train, test = splits
    return train, test
