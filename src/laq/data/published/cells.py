"""What stands in one cell of a published log: a list, a distance, a rate.

Each function raises a ``ValueError`` that says what is wrong and what to do; the reader adds file,
line and column.
"""

from __future__ import annotations

import math
import re
from typing import TypeVar

_Item = TypeVar("_Item", int, str)

# How numpy writes what Python writes as [1, 2]: [1 2], array([1, 2]), [np.int64(1), np.int64(2)].
_ARRAY = re.compile(r"[A-Za-z_][\w.]*\((.*?)(?:,\s*dtype=[^()]*)?\)", re.DOTALL)
_SCALAR = re.compile(r"\b[A-Za-z_][\w.]*\(([^()]*)\)")
_QUOTED = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)\"""")
_WHOLE = re.compile(r"\d+(?:\.0*)?")


def indices(text: str) -> tuple[int, ...]:
    """Class indices, with or without commas between them, over several lines or not."""
    tokens = _items(_SCALAR.sub(r"\1", _inside(text)))
    for token in tokens:
        if not _WHOLE.fullmatch(token):
            raise ValueError(
                f"{_show(token)} is no class index; write whole numbers, as in [96, 33]"
            )
    return _distinct(tuple(int(token.split(".")[0]) for token in tokens))


def names(text: str) -> tuple[str, ...]:
    """Class names, quoted or not, with or without commas between them.

    Names without quotes that hold blanks need the commas.
    """
    inside = _inside(text)
    if not _QUOTED.search(inside):
        return _distinct(tuple(_items(inside)))
    rest = _SCALAR.sub(r"\1", _QUOTED.sub("", inside))
    if rest := re.sub(r"[\s,]", "", rest):
        raise ValueError(
            f"{_show(rest)} stands outside the quotes; write names as in ['sea', 'road']"
        )
    found = (one or other for one, other in _QUOTED.findall(inside))
    return _distinct(tuple(re.sub(r"\\(.)", r"\1", name) for name in found))


def distance(text: str) -> float:
    """A distance between classes: above 0, since curves are fitted to its logarithm."""
    value = _number(text)
    if value <= 0:
        raise ValueError(f"{text} must be above 0, it has no logarithm; correct or remove the row")
    return value


def rate(text: str) -> float:
    """A share of images, from 0 to 1."""
    value = _number(text)
    if 1 < value <= 100:
        raise ValueError(f"{text} is above 1; if the log is in percent, divide its rates by 100")
    if not 0 <= value <= 1:
        raise ValueError(f"{text} is no share of images; it must lie between 0 and 1")
    return value


def _number(text: str) -> float:
    if not text:
        raise ValueError("the cell is empty; fill it in or remove the row")
    try:
        value = float(text)
    except ValueError:
        hint = ", with a decimal point" if re.fullmatch(r"-?\d+,\d+", text) else ""
        hint = ", as a share from 0 to 1" if text.rstrip().endswith("%") else hint
        raise ValueError(f"{_show(text)} is no number; write one{hint}") from None
    if not math.isfinite(value):
        raise ValueError(f"{text} is no finite number; fill it in or remove the row")
    return value


def _items(inside: str) -> list[str]:
    """What stands between commas, or blanks where there are none; a comma may close the list."""
    if "," not in inside:
        return inside.split()
    items = [item.strip() for item in inside.split(",")]
    items = items[:-1] if not items[-1] else items
    if "" in items:
        raise ValueError("between two commas stands nothing; write lists as in [96, 33]")
    return items


def _inside(text: str) -> str:
    """A list's text without its brackets; they are optional, half a pair is a cell cut short."""
    text = text.strip()
    if array := _ARRAY.fullmatch(text):
        text = array[1].strip()
    for opened, closed in ("[]", "()", "{}"):
        if text.startswith(opened) != text.endswith(closed):
            raise ValueError(f"{_show(text)} is cut short; a list has both {opened} and {closed}")
        if text.startswith(opened):
            return text[1:-1].strip()
    return text


def _distinct(items: tuple[_Item, ...]) -> tuple[_Item, ...]:
    twice = dict.fromkeys(str(item) for item in items if items.count(item) > 1)
    if twice:
        raise ValueError(f"holds {', '.join(twice)} more than once; correct or remove the row")
    if len(items) < 2:
        raise ValueError("holds fewer than two classes; there is no distance between them")
    return items


def _show(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:39]}…")
