"""The text of a diagram's boxes, broken into lines, and the size of the boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from laq.figures import words
from laq.figures.diagrams.lanes import LaneLayout, Rectangle, Wire, arrange, labels_width

# Font sizes in points: of a box's title, and of all other text.
TITLE, SMALL = 8.0, 7.0
LINE = 1.25 / 72  # height of a line, in inches for each point of its font
PAD = 0.07  # between a box's edge and its words, in inches
INDENT = 0.15  # of a note's further lines
# Widths of boxes and of their notes, in inches; the pair that makes the lowest figure is taken. The
# widest notes leave room on the page for a dozen lanes on either side.
BOX_WIDTHS = (2.8, 2.2, 1.8, 1.5)
NOTE_WIDTHS = (5.0, 3.5, 0.0)


@dataclass(frozen=True)
class RoadStep:
    """A box of one rule, or of several with the same inputs.

    titles: their names. words: what the step does. stage: it gives the colour. notes: a line each,
    or several for a long note. made: files that no further step takes. before: whether the box
    belongs to another figure.
    """

    titles: tuple[str, ...]
    words: str
    stage: str
    notes: tuple[str, ...] = ()
    made: tuple[str, ...] = ()
    before: bool = False


@dataclass(frozen=True)
class Arrow:
    """Files that go from one step to others; ``label``: lines of text; ``name``: file names."""

    source: str
    targets: tuple[str, ...]
    label: tuple[str, ...]
    name: str = ""


@dataclass(frozen=True)
class Line:
    """A line of a box: in its middle, or ``indent`` inches from where its notes begin."""

    text: str
    indent: float | None = None


def fit(
    steps: Mapping[str, RoadStep], arrows: Sequence[Arrow], page: float
) -> tuple[dict[str, tuple[Line, ...]], LaneLayout]:
    """The lines of each box below its titles, and the lowest layout in a page's width (inches).

    Raises:
        ValueError: the arrows lead round in a circle.
    """
    wires = [
        Wire(
            arrow.source,
            arrow.targets,
            (max(map(text_width, arrow.label)) + 0.06, SMALL * LINE * len(arrow.label)),
        )
        for arrow in arrows
    ]
    widths = {name: labels_width(name, wires) for name in steps}
    layouts = []
    for width, notes in product(BOX_WIDTHS, NOTE_WIDTHS):
        lines = {
            name: _lines(step, max(width, widths[name]), max(width, widths[name], notes))
            for name, step in steps.items()
        }
        sizes = {name: _size(step, lines[name], width) for name, step in steps.items()}
        layouts.append((lines, arrange(sizes, wires, page)))
    return min(layouts, key=lambda layout: round(layout[1].height, 6))


def _lines(step: RoadStep, width: float, room: float) -> tuple[Line, ...]:
    """The lines of a box below its titles: words, notes, files.

    width: of the box. room: what it may be widened to, to hold its notes.
    """
    notes = []
    for note in step.notes:
        first, *further = wrap(note, room - 2 * PAD, INDENT)
        notes += [Line(first, 0.0), *(Line(line, INDENT) for line in further)]
    width = max(width - 2 * PAD, notes_width(notes))
    files = wrap("→ " + ", ".join(step.made), width) if step.made else []
    return (*map(Line, _balanced(step.words, width)), *notes, *map(Line, files))


def _balanced(text: str, width: float) -> list[str]:
    """A text in as few lines as a width allows, of about the same length."""
    lines = shorter = wrap(text, width)
    while 1 < len(lines) == len(shorter) and width > 0:
        lines, width = shorter, width - 0.05
        shorter = wrap(text, width)
    return lines


def _size(step: RoadStep, lines: Sequence[Line], width: float) -> tuple[float, float]:
    widest = [*(text_width(title, TITLE, "bold") for title in step.titles), notes_width(lines)]
    height = TITLE * LINE * len(step.titles) + SMALL * LINE * len(lines) + 1.6 * PAD
    # A box of another figure is no wider than its labels.
    return max(0 if step.before else width, max(widest) + 2 * PAD), height


def notes_width(lines: Sequence[Line]) -> float:
    """Width of the notes among a box's lines, in inches."""
    notes = [line for line in lines if line.indent is not None]
    return max((line.indent + text_width(line.text) for line in notes), default=0.0)


def text_width(text: str, size: float = SMALL, weight: str = "normal") -> float:
    """Width of a line of a box in inches."""
    return words.text_width(text, size, weight)


def wrap(text: str, width: float, indent: float = 0.0) -> list[str]:
    """Break the text of a box into lines; see ``words.wrap``."""
    return words.wrap(text, width, SMALL, indent)


# Names of files repeated where their wires come back from a lane, far from their labels.


AWAY = 0.1  # from the lane's corner, and from lines that cross
HEIGHT = 0.1  # of a name: fits between the tracks above and below its own


def repeat(layout: LaneLayout, names: Sequence[Sequence[str]]) -> list[tuple[int, str, Rectangle]]:
    """Places for the names of wires, each on a track that its wire enters from a lane.

    The place is the one next to the lane that no other line and no other name runs through.

    Args:
        names: of each wire, the best first; the first that finds a place is taken, if any does.

    Returns:
        Numbers of wires, names and places.
    """
    verticals = [
        (x1, min(y1, y2), max(y1, y2))
        for route in layout.routes
        for x1, y1, x2, y2 in route.pieces
        if x1 == x2
    ]
    placed: list[tuple[int, str, Rectangle]] = []
    half_height = HEIGHT / 2
    for number, route in enumerate(layout.routes):
        for lane, y, end in route.returns:
            # Other lines come from above, from below, or run right through.
            crossing = [
                x
                for x, top, bottom in verticals
                if top < y + half_height and bottom > y - half_height
            ]
            blocked = [(x - AWAY, x + AWAY) for x in crossing]
            blocked += [
                (box.x - AWAY / 2, box.x + box.width + AWAY / 2)
                for _, _, box in placed
                if abs(box.y + half_height - y) < 1.1 * HEIGHT
            ]
            for name in names[number]:
                width = text_width(name) + 0.03
                left = _free(blocked, width, lane, end)
                if left is not None:
                    placed.append((number, name, Rectangle(left, y - half_height, width, HEIGHT)))
                    break
    return placed


def _free(
    taken: Sequence[tuple[float, float]], width: float, lane: float, end: float
) -> float | None:
    """Left edge of the place next to the lane, between it and the end, that nothing takes."""
    low, high = min(lane, end) + AWAY, max(lane, end) - AWAY
    starts = [low, high - width, *(b for _, b in taken), *(a - width for a, _ in taken)]
    starts = [
        start
        for start in starts
        if low <= start <= high - width + 1e-9
        and all(start + width <= a + 1e-9 or start >= b - 1e-9 for a, b in taken)
    ]
    return min(starts, key=lambda start: (abs(start + width / 2 - lane), start), default=None)
