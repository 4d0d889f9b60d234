"""Lines of text by their true width, and the user's words as they stand."""

from __future__ import annotations

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path


def plain(text: str) -> str:
    """A text of the user's as it stands: a dollar sign begins no formula."""
    return text.replace("$", r"\$")


def text_width(text: str, size: float, weight: str = "normal") -> float:
    """Width of a line of text in inches, ``size`` in points."""
    if not text.strip():
        return 0.0
    font = FontProperties(size=size, weight=weight)
    return float(text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]) / 72


def wrap(text: str, width: float, size: float, weight: str = "normal") -> list[str]:
    """Break a text into lines of at most ``width`` inches: between words, else within them."""
    lines: list[str] = []
    for word in text.split():
        if lines and text_width(f"{lines[-1]} {word}", size, weight) <= width:
            lines[-1] += f" {word}"
            continue
        lines.append("")
        for letter in word:
            if lines[-1] and text_width(lines[-1] + letter, size, weight) > width:
                lines.append("")
            lines[-1] += letter
    return lines
