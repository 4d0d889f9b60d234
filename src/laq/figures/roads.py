"""Figures 2 and 3: the rules of a study and what they hand to one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from numpy.typing import NDArray

from laq.figures.diagrams.boxes import (
    LINE,
    PAD,
    SMALL,
    TITLE,
    Arrow,
    Line,
    RoadStep,
    fit,
    notes_width,
    repeat,
    text_width,
)
from laq.figures.diagrams.lanes import Rectangle, Route
from laq.figures.style import PALETTE, STYLE, WIDTH, heading, plain

HEADING = 10.0  # points
LEGEND = 0.18  # height of a line, in inches
# Colours of the stages in order, as (number in the palette, least contrast to white). The first
# seven are far apart in lightness or in hue that a colour-blind eye sees; stages after them have
# dashed wires as well. Words on white are darkened further.
_PAINTS = (
    *((9, 3.0), (1, 3.0), (2, 11.0), (3, 7.0), (0, 11.0), (7, 3.0), (5, 3.0)),
    *((4, 4.5), (8, 4.5), (2, 4.5)),
)
_SOLID = 7
_DASHES = ("solid", (0, (4, 1.2)), (0, (1.5, 1)), (0, (6, 1, 1.5, 1)))
_WORDS = 4.5  # contrast of words (WCAG 2, level AA)

Colour = tuple[float, float, float]
Dash = str | tuple[int, tuple[float, ...]]


@dataclass(frozen=True)
class Paint:
    """What a stage is drawn with: its wires, words on white, and the inside of its boxes."""

    wire: Colour
    dash: Dash
    words: Colour
    face: Colour


def paint_of(stages: Sequence[str], stage: str) -> Paint:
    """A stage's paint, which its place among all stages of the study decides."""
    index = list(stages).index(stage)
    number, contrast = _PAINTS[index % len(_PAINTS)]
    colour = PALETTE[number]
    return Paint(
        wire=_darkened(colour, contrast),
        dash=_DASHES[index // _SOLID % len(_DASHES)],
        words=_darkened(colour, max(contrast, _WORDS)),
        face=tuple(1 - 0.22 * (1 - channel) for channel in colour),
    )


def _darkened(colour: Colour, contrast: float) -> Colour:
    """A colour, dark enough for a contrast to white."""
    shade = np.array(colour)
    while 1.05 / (_luminance(shade) + 0.05) < contrast:
        shade = 0.99 * shade
    return tuple(map(float, shade))


def _luminance(colour: NDArray[np.float64]) -> float:
    """Relative luminance of an sRGB colour, as WCAG defines it."""
    linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def road(
    steps: Mapping[str, RoadStep], arrows: Sequence[Arrow], stages: Sequence[str], title: str
) -> Figure:
    """The diagram of ``steps`` by name and of the ``arrows`` between them.

    ``stages``: all stages of the study in order, so that one has its paint in every diagram.
    """
    with plt.rc_context({**STYLE, "axes.grid": False}):
        boxes, layout = fit(steps, arrows, WIDTH)
        paints = {step.stage: paint_of(stages, step.stage) for step in steps.values()}
        title = heading(title, HEADING)
        wired = {steps[arrow.source].stage for arrow in arrows}
        present = [stage for stage in dict.fromkeys(stages) if stage in paints]
        legend = _legend_rows(present)
        top = 0.1 + HEADING * LINE * (1 + title.count("\n"))
        bottom = 0.12 + LEGEND * len(legend)
        height = top + layout.height + bottom
        figure = plt.figure(figsize=(WIDTH, height))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, WIDTH), ylim=(layout.height + bottom, -top))
        axes.set_axis_off()
        axes.text(WIDTH / 2, -top / 2, title, ha="center", va="center", fontsize=HEADING)
        routes = list(zip(arrows, layout.routes, strict=True))
        for number, (arrow, route) in enumerate(routes):
            paint = paints[steps[arrow.source].stage]
            _draw_route(axes, route, paint, number / len(arrows))
            _draw_words(axes, arrow.label, route.label, paint)
        for number, name, rectangle in repeat(layout, [_short(arrow.name) for arrow in arrows]):
            _draw_words(axes, [name], rectangle, paints[steps[arrows[number].source].stage])
        for name, rectangle in layout.boxes.items():
            _draw_box(axes, steps[name], boxes[name], rectangle, paints[steps[name].stage])
        for number, row in enumerate(legend):
            y = layout.height + 0.06 + LEGEND * (number + 0.5)
            _draw_legend(axes, {stage: paints[stage] for stage in row}, wired, y)
    return figure


def _draw_box(
    axes: Axes, step: RoadStep, lines: Sequence[Line], place: Rectangle, paint: Paint
) -> None:
    axes.add_patch(
        FancyBboxPatch(
            (place.x, place.y),
            place.width,
            place.height,
            boxstyle="round,pad=0,rounding_size=0.05",
            facecolor="white" if step.before else paint.face,
            edgecolor=paint.wire,
            linestyle=(0, (4, 2)) if step.before else "solid",
            linewidth=1,
            zorder=4,
        )
    )
    style = {"va": "center", "zorder": 5}
    y = place.y + 0.8 * PAD
    for title in step.titles:
        title_y = y + TITLE * LINE / 2
        axes.text(
            place.centre, title_y, plain(title), fontsize=TITLE, weight="bold", ha="center", **style
        )
        y += TITLE * LINE
    left = place.centre - notes_width(lines) / 2
    for line in lines:
        is_note = line.indent is not None
        axes.text(
            left + line.indent if is_note else place.centre,
            y + SMALL * LINE / 2,
            plain(line.text),
            fontsize=SMALL,
            ha="left" if is_note else "center",
            color="0.25" if is_note else "black",
            **style,
        )
        y += SMALL * LINE


def _draw_route(axes: Axes, route: Route, paint: Paint, order: float) -> None:
    """A wire over those drawn before it, with a white casing where it crosses them."""
    for width, colour, dash in ((2.6, "white", "solid"), (1.2, paint.wire, paint.dash)):
        for x1, y1, x2, y2 in route.pieces:
            axes.plot(
                [x1, x2],
                [y1, y2],
                color=colour,
                linewidth=width,
                linestyle=dash,
                zorder=1 + order,
                solid_capstyle="butt" if colour == "white" else "projecting",
            )
    for x, y in route.junctions:
        axes.plot(x, y, "o", color=paint.wire, markersize=2.8, zorder=1 + order)
    for x, y in route.heads:
        axes.annotate(
            "",
            (x, y),
            (x, y - 0.1),
            zorder=3,
            arrowprops={
                "arrowstyle": "-|>",
                "color": paint.wire,
                "linewidth": 1.2,
                "shrinkA": 0,
                "shrinkB": 0,
                "mutation_scale": 7,
            },
        )


def _draw_words(axes: Axes, lines: Sequence[str], place: Rectangle, paint: Paint) -> None:
    """Words on a wire, which is hidden behind them."""
    axes.add_patch(
        plt.Rectangle((place.x, place.y), place.width, place.height, color="white", lw=0, zorder=2)
    )
    for number, line in enumerate(lines):
        axes.text(
            place.centre,
            place.y + place.height * (number + 0.5) / len(lines),
            plain(line),
            fontsize=SMALL,
            color=paint.words,
            ha="center",
            va="center",
            zorder=3,
        )


def _short(name: str) -> list[str]:
    """A file's name, and the name without its suffix for where the first finds no room."""
    return list(dict.fromkeys([name, name.partition(".")[0]])) if name else []


def _legend_rows(shown: Sequence[str]) -> list[list[str]]:
    """The stages in as many lines as the page needs."""
    rows: list[list[str]] = [[]]
    for stage in shown:
        if rows[-1] and sum(map(_legend_width, [*rows[-1], stage])) > WIDTH - 0.2:
            rows.append([])
        rows[-1].append(stage)
    return rows


def _legend_width(stage: str) -> float:
    return 0.37 + text_width(stage)


def _draw_legend(axes: Axes, paints: Mapping[str, Paint], wired: set[str], y: float) -> None:
    """A line of stages: their boxes, and the wires that leave them."""
    x = (WIDTH - sum(map(_legend_width, paints))) / 2 + 0.08
    for stage, paint in paints.items():
        if stage in wired:
            wire_x = [x - 0.06, x + 0.19]
            axes.plot(wire_x, [y, y], color=paint.wire, lw=1.2, ls=paint.dash, zorder=1)
        axes.add_patch(
            FancyBboxPatch(
                (x, y - 0.045),
                0.13,
                0.09,
                boxstyle="round,pad=0,rounding_size=0.02",
                facecolor=paint.face,
                edgecolor=paint.wire,
                zorder=2,
            )
        )
        left = x + (0.22 if stage in wired else 0.18)
        axes.text(left, y, plain(stage), fontsize=SMALL, va="center")
        x += _legend_width(stage)
