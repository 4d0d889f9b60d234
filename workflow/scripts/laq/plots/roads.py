"""Figures 2 and 3: the rules of a study and what they hand to one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyBboxPatch
from matplotlib.textpath import text_to_path
from numpy.typing import NDArray

from laq.diagrams.lanes import Layout, Rectangle, Route, Wire, arrange
from laq.diagrams.placement import assign, labels_width
from laq.plots.style import PALETTE, STYLE, WIDTH

# In points: of a box's title, and of all other words.
TITLE, SMALL = 8.0, 7.0
LINE = 1.25 / 72  # height of a line, in inches for each point of its font
PAD = 0.07  # between a box's edge and its words, in inches
# The widest boxes that need no further row are taken.
BOX_WIDTHS = (2.8, 2.2, 1.8, 1.5)

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Step:
    """A box of one rule, or of several that take the same.

    titles: their names. words: what it does. stage: it has its colour from. notes: a line each.
    made: files that the road ends in. before: it belongs to another figure.
    """

    titles: tuple[str, ...]
    words: str
    stage: str
    notes: tuple[str, ...] = ()
    made: tuple[str, ...] = ()
    before: bool = False


@dataclass(frozen=True)
class Arrow:
    """What goes from one step to others; ``label``: its lines."""

    source: str
    targets: tuple[str, ...]
    label: tuple[str, ...]


def road(
    steps: Mapping[str, Step], arrows: Sequence[Arrow], stages: Sequence[str], title: str
) -> Figure:
    """The diagram of ``steps`` by name and of the ``arrows`` between them.

    ``stages``: all stages of the study in order, so that one has its colour in every diagram.
    """
    with plt.rc_context({**STYLE, "axes.grid": False}):
        boxes, layout = _fit(steps, arrows)
        shown = [stage for stage in stages if any(s.stage == stage for s in steps.values())]
        above, below = 0.25, 0.3
        height = above + layout.height + below
        figure = plt.figure(figsize=(WIDTH, height))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, WIDTH), ylim=(layout.height + below, -above))
        axes.set_axis_off()
        axes.text(WIDTH / 2, -above / 2, title, ha="center", va="center", fontsize=10)
        for number, (arrow, route) in enumerate(zip(arrows, layout.routes, strict=True)):
            colour = edge_colour(stages, steps[arrow.source].stage)
            _draw_route(axes, route, arrow.label, colour, number / len(arrows))
        for name, place in layout.boxes.items():
            _draw_box(axes, steps[name], boxes[name], place, stages)
        _draw_legend(axes, shown, stages, layout.height + below / 2)
    return figure


def edge_colour(stages: Sequence[str], stage: str) -> Colour:
    """A stage's colour, dark enough for words on white: a contrast of 4.5 (WCAG 2, level AA)."""
    colour = np.array(PALETTE[list(stages).index(stage) % len(PALETTE)])
    while 1.05 / (_luminance(colour) + 0.05) < 4.5:
        colour = 0.97 * colour
    return tuple(map(float, colour))


def _luminance(colour: NDArray[np.float64]) -> float:
    """Relative luminance of an sRGB colour, as WCAG defines it."""
    linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def _face_colour(stages: Sequence[str], stage: str) -> Colour:
    colour = PALETTE[list(stages).index(stage) % len(PALETTE)]
    return tuple(1 - 0.22 * (1 - part) for part in colour)


def _fit(
    steps: Mapping[str, Step], arrows: Sequence[Arrow]
) -> tuple[dict[str, tuple[str, ...]], Layout]:
    """Words of each box broken into lines, and the layout, boxes as wide as rows allow."""
    wires = [
        Wire(
            arrow.source,
            arrow.targets,
            (max(map(text_width, arrow.label)) + 0.06, SMALL * LINE * len(arrow.label)),
        )
        for arrow in arrows
    ]
    least = len(assign(dict.fromkeys(steps, (0.0, 0.0)), wires, WIDTH))
    for width in BOX_WIDTHS:
        lines = {
            name: _lines(step, max(width, labels_width(name, wires)))
            for name, step in steps.items()
        }
        sizes = {name: _size(step, lines[name], width) for name, step in steps.items()}
        layout = arrange(sizes, wires, WIDTH)
        if layout.rows == least:
            break
    return lines, layout


def _lines(step: Step, width: float) -> tuple[str, ...]:
    """What a box says below its titles: words, notes, files, each broken into lines."""
    made = wrap("→ " + ", ".join(step.made), width - 2 * PAD) if step.made else []
    return (*wrap(step.words, width - 2 * PAD), *step.notes, *made)


def _size(step: Step, lines: Sequence[str], width: float) -> tuple[float, float]:
    widest = [text_width(title, TITLE, "bold") for title in step.titles]
    widest += [text_width(note) for note in step.notes]
    height = TITLE * LINE * len(step.titles) + SMALL * LINE * len(lines) + 1.6 * PAD
    # What comes from another figure is no wider than its labels.
    return max(0 if step.before else width, max(widest) + 2 * PAD), height


@cache
def text_width(text: str, size: float = SMALL, weight: str = "normal") -> float:
    """Width of a line of text in inches."""
    if not text.strip():
        return 0.0
    font = FontProperties(size=size, weight=weight)
    return float(text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]) / 72


def wrap(text: str, width: float) -> list[str]:
    """Break a text into lines of at most a width, where its words allow."""
    lines: list[str] = []
    for word in text.split():
        if lines and text_width(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _draw_box(
    axes: Axes, step: Step, lines: Sequence[str], place: Rectangle, stages: Sequence[str]
) -> None:
    axes.add_patch(
        FancyBboxPatch(
            (place.x, place.y),
            place.width,
            place.height,
            boxstyle="round,pad=0,rounding_size=0.05",
            facecolor="white" if step.before else _face_colour(stages, step.stage),
            edgecolor=edge_colour(stages, step.stage),
            linestyle=(0, (4, 2)) if step.before else "solid",
            linewidth=1,
            zorder=4,
        )
    )
    style = {"va": "center", "zorder": 5}
    y = place.y + 0.8 * PAD
    for title in step.titles:
        at = y + TITLE * LINE / 2
        axes.text(place.centre, at, title, fontsize=TITLE, weight="bold", ha="center", **style)
        y += TITLE * LINE
    left = place.centre - max(map(text_width, step.notes), default=0) / 2
    for line in lines:
        note = line in step.notes
        axes.text(
            left if note else place.centre,
            y + SMALL * LINE / 2,
            line,
            fontsize=SMALL,
            ha="left" if note else "center",
            color="0.25" if note else "black",
            **style,
        )
        y += SMALL * LINE


def _draw_route(
    axes: Axes, route: Route, label: Sequence[str], colour: Colour, order: float
) -> None:
    """A wire over those drawn before it, with a white casing where it crosses them."""
    for width, paint in ((2.4, "white"), (1.1, colour)):
        for x1, y1, x2, y2 in route.pieces:
            axes.plot(
                [x1, x2],
                [y1, y2],
                color=paint,
                linewidth=width,
                zorder=1 + order,
                solid_capstyle="projecting" if paint is colour else "butt",
            )
    for x, y in route.junctions:
        axes.plot(x, y, "o", color=colour, markersize=2.6, zorder=1 + order)
    for x, y in route.heads:
        axes.annotate(
            "",
            (x, y),
            (x, y - 0.1),
            zorder=3,
            arrowprops={
                "arrowstyle": "-|>",
                "color": colour,
                "linewidth": 1.1,
                "shrinkA": 0,
                "shrinkB": 0,
                "mutation_scale": 7,
            },
        )
    box = route.label
    axes.add_patch(plt.Rectangle((box.x, box.y), box.width, box.height, color="white", zorder=2))
    for number, line in enumerate(label):
        y = box.y + SMALL * LINE * (number + 0.5)
        axes.text(
            box.centre, y, line, fontsize=SMALL, color=colour, ha="center", va="center", zorder=3
        )


def _draw_legend(axes: Axes, shown: Sequence[str], stages: Sequence[str], y: float) -> None:
    """The stages' colours in one line."""
    words = [text_width(stage) + 0.35 for stage in shown]
    x = (WIDTH - sum(words)) / 2
    for stage, width in zip(shown, words, strict=True):
        axes.add_patch(
            FancyBboxPatch(
                (x, y - 0.045),
                0.13,
                0.09,
                boxstyle="round,pad=0,rounding_size=0.02",
                facecolor=_face_colour(stages, stage),
                edgecolor=edge_colour(stages, stage),
            )
        )
        axes.text(x + 0.18, y, stage, fontsize=SMALL, va="center")
        x += width
