"""Lines of text by their true width, and the user's words as they stand."""

from __future__ import annotations

from functools import cache

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from laq.figures.fonts import families, quiet


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

    ``indent``: what the lines after the first have less, in inches.
    """
    lines: list[str] = []
    for word in text.split():
        if lines:
            room = width - indent * (len(lines) > 1)
            if text_width(f"{lines[-1]} {word}", size) <= room:
                lines[-1] += f" {word}"
                continue
        rest = word
        while rest:
            room = width - indent * bool(lines)
            letters = len(rest)
            while letters > 1 and text_width(rest[:letters], size) > room:
                letters -= 1
            lines.append(rest[:letters])
            rest = rest[letters:]
    return lines
