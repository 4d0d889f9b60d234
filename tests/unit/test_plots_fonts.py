"""Letters of scripts that Matplotlib's own font does not have."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.t2CharStringPen import T2CharStringPen
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import pyplot as plt
from matplotlib.font_manager import fontManager
from PIL import Image

from laq.figures import words
from laq.figures.style import heading, save
from laq.figures.words import text_width

CAT, DOG = "\u732b", "\u72ac"  # in Chinese characters
FISH = "\U0001f41f"
WIDE = 1500  # of the font's letters, in thousandths of its size


def font_file(path: Path, letters: str, outlines: bool = True) -> Path:
    """A font called by its file's name whose letters are full squares, or have no outline."""
    opentype = path.suffix == ".otf"
    builder = FontBuilder(1000, isTTF=not opentype)
    builder.setupGlyphOrder([".notdef", "square"])
    builder.setupCharacterMap(dict.fromkeys(map(ord, letters), "square"))
    glyphs = {}
    for name in (".notdef", "square"):
        pen = T2CharStringPen(WIDE, None) if opentype else TTGlyphPen(None)
        if name == "square" and outlines:
            pen.moveTo((0, 0))
            for corner in ((0, 900), (WIDE, 900), (WIDE, 0)):
                pen.lineTo(corner)
            pen.closePath()
        glyphs[name] = pen.getCharString() if opentype else pen.glyph()
    if opentype:
        builder.setupCFF(path.stem, {}, glyphs, {})
    else:
        builder.setupGlyf(glyphs)
    builder.setupHorizontalMetrics(dict.fromkeys(glyphs, (WIDE, 0)))
    builder.setupHorizontalHeader(ascent=900, descent=-100)
    builder.setupNameTable({"familyName": path.stem, "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)
    return path


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[str]]:
    """Files of fonts that the system has besides Matplotlib's own; add to it."""
    files: list[str] = []
    own = [font for font in fontManager.ttflist if "matplotlib" in font.fname]
    monkeypatch.setattr(fontManager, "ttflist", own)
    monkeypatch.setattr(words, "findSystemFonts", lambda: files)

    def forget() -> None:
        for cached in (words._further, text_width):
            cached.cache_clear()
        fontManager._findfont_cached.cache_clear()

    forget()
    yield files
    forget()


def drawn(folder: Path, text: str) -> np.ndarray:
    """The picture of a figure with this title, in both formats; anything unsaid fails."""
    figure = plt.figure(figsize=(3, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.suptitle(heading(text), fontsize=20)
        save(figure, folder / "fig.png", folder / "fig.pdf")
    assert (folder / "fig.pdf").stat().st_size
    return np.asarray(Image.open(folder / "fig.png").convert("L"))


@pytest.mark.parametrize("suffix", ["ttf", "otf"])
def test_letters_are_drawn_in_an_installed_font_that_has_them(
    installed: list[str], suffix: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    boxes = drawn(tmp_path, f"A {CAT}")
    assert "no installed font has" in caplog.text
    caplog.clear()
    installed.append(str(font_file(tmp_path / f"Squares.{suffix}", CAT)))
    words._further.cache_clear()
    letters = drawn(tmp_path, f"A {CAT}")
    assert not caplog.records
    # A full square in place of the outline of a box.
    assert (letters < 128).sum() > 2 * (boxes < 128).sum()


def test_letters_that_no_font_has_are_said_once(
    installed: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    installed.append(str(font_file(tmp_path / "Squares.ttf", CAT)))
    # Fonts of coloured pictures say that they have letters, and Matplotlib draws nothing of them.
    installed.append(str(font_file(tmp_path / "Pictures.ttf", FISH, outlines=False)))
    drawn(tmp_path, f"{FISH} {CAT} {DOG} {DOG} A")
    (record,) = caplog.records
    assert record.levelno == logging.WARNING and record.name.startswith("laq.")
    assert f"fig shows boxes in place of letters that no installed font has: {DOG} {FISH};" in (
        record.getMessage()
    )
