"""Lines of text by their true width, and the user's words as they stand."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from matplotlib import rcParams
from matplotlib.font_manager import FontProperties, findSystemFonts, fontManager
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text
from matplotlib.textpath import text_to_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# Fonts that have the letters of a figure's text: as many of the installed ones as it takes.
#
# A font has only some of many scripts. Matplotlib takes a letter that it lacks from the further
# families of a text, where some are named, and otherwise draws an empty box.


logger = logging.getLogger(__name__)

_SHOWN = 20  # letters that a message lists
# Fonts that stand in for any letter, by a box.
_NO_LETTERS = ("Last Resort", ".Last Resort", "Adobe Blank", "Adobe NotDef", "Unicode BMP Fallback")


def families(text: str) -> list[str]:
    """Families for a text: Matplotlib's default, and installed ones with the letters it lacks."""
    return [*rcParams["font.family"], *_further(_lacking(text))[0]]


def supply(figure: Figure, name: str) -> None:
    """Give the figure's texts fonts that have their letters; say once which letters none has.

    ``name``: of the figure, for the message.
    """
    unsupported: set[str] = set()
    for text in figure.findobj(Text):
        if lacking := _lacking(text.get_text()):
            fallbacks, missing = _further(lacking)
            text.set_fontfamily([*text.get_fontfamily(), *fallbacks])
            unsupported |= missing
    if unsupported:
        letters = " ".join(sorted(unsupported)[:_SHOWN]) + " …" * (len(unsupported) > _SHOWN)
        logger.warning(
            "%s shows boxes in place of letters that no installed font has: %s; install one that "
            "has them (Noto has fonts for every script), delete the figure, and run again",
            name,
            letters,
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Without Matplotlib's own warnings of letters that are missing: ``supply`` says them once."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font")
        yield


def _lacking(text: str) -> frozenset[str]:
    """The letters of a text that the default font does not have."""
    return frozenset(
        letter for letter in text if not letter.isspace() and ord(letter) not in _own()
    )


@cache
def _own() -> frozenset[int]:
    return frozenset(FT2Font(fontManager.findfont(FontProperties())).get_charmap())


@cache
def _further(letters: frozenset[str]) -> tuple[tuple[str, ...], frozenset[str]]:
    """Installed families that have ``letters``, the fewest that will do; letters that none has."""
    if not letters:
        return (), letters
    coverage = {
        family: covered for family, path in _installed() if (covered := _held(path, letters))
    }
    chosen: list[str] = []
    missing = letters
    while coverage and (
        best := max(sorted(coverage), key=lambda family: len(coverage[family] & missing))
    ):
        if not coverage[best] & missing:
            break
        chosen.append(best)
        missing -= coverage.pop(best)
    return tuple(chosen), missing


def _installed() -> Iterator[tuple[str, str]]:
    """Family and file of the upright font of each family, also those installed of late."""
    registered = {font.fname for font in fontManager.ttflist}
    for path in sorted(set(findSystemFonts()) - registered):
        try:
            fontManager.addfont(path)
        except Exception as error:  # FreeType has errors of its own for what is no font
            logger.debug("%s cannot be read: %s", path, error)
    for family in sorted({font.name for font in fontManager.ttflist}):
        if not family.startswith(_NO_LETTERS):
            yield family, fontManager.findfont(FontProperties(family=[family]))


def _held(path: str, letters: frozenset[str]) -> frozenset[str]:
    """Those of ``letters`` for which a font has an outline: pictures in colour are not drawn."""
    try:
        font = FT2Font(path)
        mapped = [letter for letter in letters if ord(letter) in font.get_charmap()]
        return frozenset(letter for letter in mapped if font.scalable and _drawn(font, letter))
    except (OSError, RuntimeError):
        return frozenset()


def _drawn(font: FT2Font, letter: str) -> bool:
    font.set_size(12, 72)
    font.load_char(ord(letter))
    return len(font.get_path()[0]) > 0


def plain(text: str) -> str:
    """A text of the user's as it stands: a dollar sign begins no formula."""
    return text.replace("$", r"\$")


@cache
def text_width(text: str, size: float, weight: str = "normal") -> float:
    """Width of a line of text in inches, ``size`` in points."""
    if not text.strip():
        return 0.0
    font = FontProperties(family=families(text), size=size, weight=weight)
    with quiet():
        return float(text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]) / 72


def wrap(text: str, width: float, size: float, indent: float = 0.0) -> list[str]:
    """Break a text into lines of at most ``width`` inches: between words, else within them.

    ``indent``: the inches by which lines after the first are shorter.
    """
    lines: list[str] = []
    for word in text.split():
        if lines:
            room = width - indent * (len(lines) > 1)
            if text_width(f"{lines[-1]} {word}", size) <= room:
                lines[-1] += f" {word}"
                continue
        remainder = word
        while remainder:
            room = width - indent * bool(lines)
            count = len(remainder)
            while count > 1 and text_width(remainder[:count], size) > room:
                count -= 1
            lines.append(remainder[:count])
            remainder = remainder[count:]
    return lines
