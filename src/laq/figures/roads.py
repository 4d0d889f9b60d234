"""Figures 2 and 3: the rules of a study in rows of boxes, each below those whose files it takes.

An arrow leaves a box at the bottom, passes further rows in lanes between their boxes, and branches
to the boxes that take its files. So it may cross arrows, but no box. Lengths are in inches, y
grows downwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle, pairwise

import networkx as nx
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Patch, Rectangle
from matplotlib.path import Path
from scipy.optimize import isotonic_regression

from laq.figures.style import PALETTE, STYLE, WIDTH, heading, legend_columns, plain
from laq.figures.words import wrap

TITLE, SMALL, HEADING = 8.0, 7.0, 10.0  # font sizes in points
LINE = 1.3 / 72  # height of a line for each point of its font
PAD, INDENT = 0.07, 0.1  # between a box's edge and its text; of a paragraph's further lines
PER_ROW, WIDEST = 3, 2.9  # boxes in a row, and the greatest width of a box
SPACE, MARGIN = 0.09, 0.08  # between boxes and lanes of a row, and at the page's edges
GAP = 0.42  # between two rows
SWEEPS = 12

Stop = tuple[str, int]  # where an arrow of a rule is in a row: in the rule's box, or in a lane


def road(graph: nx.DiGraph, stages: Mapping[str, str], title: str) -> Figure:
    """The diagram of a graph of rules.

    Args:
        graph: with the paragraphs of each box as ``text``, and as ``before`` whether the rule
            belongs to another figure.
        stages: of all rules of the study in order, so that one has its colour in every diagram.

    Raises:
        networkx.NetworkXUnfeasible: the rules lead round in a circle.
    """
    looks = dict(zip(dict.fromkeys(stages.values()), map(_look, cycle(PALETTE)), strict=False))
    rows = rows_of(graph)
    ways = arrows(graph, rows)
    stops = sorted({stop for way in ways for stop in way} | set(rows.items()))
    with plt.rc_context({**STYLE, "axes.grid": False}):
        widths = _widths(stops, rows)
        x = place(stops, ways, widths)
        lines = {
            rule: [
                (line, INDENT if number else 0.0)
                for paragraph in graph.nodes[rule]["text"]
                for number, line in enumerate(wrap(paragraph, width - 2.4 * PAD, SMALL, INDENT))
            ]
            for (rule, row), width in widths.items()
            if row == rows[rule]
        }
        heights = {rule: 2 * PAD + LINE * (TITLE + SMALL * len(lines[rule])) for rule in rows}
        title = heading(title, HEADING)
        edge = 0.15 + HEADING * LINE * (1 + title.count("\n"))
        tops, bottoms = [], []
        for row in range(max(rows.values()) + 1):
            tops.append(edge)
            bottoms.append(edge + max(heights[rule] for rule in rows if rows[rule] == row))
            edge = bottoms[-1] + GAP
        shown = [stage for stage in looks if stage in {stages[rule] for rule in rows}]
        columns = legend_columns(shown)
        height = bottoms[-1] + 0.2 + 0.18 * -(-len(shown) // columns)
        figure = plt.figure(figsize=(WIDTH, height))
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(height, 0))
        axes.set_axis_off()
        axes.text(WIDTH / 2, 0.1, title, ha="center", va="top", fontsize=HEADING)
        for start, end in ways:
            (source, row), to_box = start, end in rows.items()
            leave = tops[row] + heights[source] if row == rows[source] else bottoms[row]
            others = sorted((a for a, b in ways if b == end), key=lambda stop: (x[stop], stop))
            step = min(0.16, widths[end] / (len(others) + 1))  # between the heads at a box
            enter = x[end] + step * (others.index(start) - (len(others) - 1) / 2)
            middle = bottoms[row] + GAP / 2
            points = [(x[start], y) for y in (leave, bottoms[row], middle)]
            points += [(enter, y) for y in (middle, tops[row + 1], bottoms[row + 1])]
            codes = [Path.MOVETO, Path.LINETO, *[Path.CURVE4] * 3, Path.LINETO]
            axes.add_patch(
                FancyArrowPatch(
                    path=Path(points[:-1], codes[:-1]) if to_box else Path(points, codes),
                    arrowstyle="-|>" if to_box else "-",
                    mutation_scale=7,
                    color=looks[stages[source]]["edgecolor"],
                    zorder=0.5,
                )
            )
        for rule, row in rows.items():
            width, look = widths[rule, row], looks[stages[rule]]
            if graph.nodes[rule]["before"]:
                look = {**look, "facecolor": "white", "linestyle": "--"}
            left, y = x[rule, row] - width / 2, tops[row]
            axes.add_patch(Rectangle((left, y), width, heights[rule], **look))
            left, y = left + PAD, y + PAD
            axes.text(left, y, plain(rule), fontsize=TITLE, weight="bold", va="top")
            for number, (text, indent) in enumerate(lines[rule]):
                line_y = y + LINE * (TITLE + SMALL * number)
                axes.text(left + indent, line_y, plain(text), fontsize=SMALL, va="top")
        handles = [Patch(label=plain(stage), **looks[stage]) for stage in shown]
        figure.legend(
            handles=handles, loc="lower center", ncols=columns, frameon=False, fontsize=SMALL
        )
    return figure


def _look(colour: tuple[float, float, float]) -> dict[str, tuple[float, ...] | str]:
    """Paint of a stage: pale behind black text, and dark enough for lines on white."""
    return {
        "facecolor": tuple(1 - 0.2 * (1 - channel) for channel in colour),
        "edgecolor": tuple(0.6 * channel for channel in colour),
    }


def rows_of(graph: nx.DiGraph) -> dict[str, int]:
    """The row of every rule: the first with room below all rules that it needs.

    A rule that needs none is as near as there is room to the first rule that needs it.
    """
    rows: dict[str, int] = {}
    sources = [rule for rule in graph if graph.succ[rule] and not graph.pred[rule]]
    for rule in nx.lexicographical_topological_sort(graph):
        if rule not in sources:
            row = max((rows[other] + 1 for other in graph.pred[rule] if other in rows), default=0)
            while list(rows.values()).count(row) == PER_ROW:
                row += 1
            rows[rule] = row
    for rule in sources:
        row = min(rows[other] for other in graph.succ[rule]) - 1
        while list(rows.values()).count(row) == PER_ROW:
            row -= 1
        rows[rule] = row
    numbers = {row: number for number, row in enumerate(sorted(set(rows.values())))}
    return {rule: numbers[row] for rule, row in rows.items()}


def arrows(graph: nx.DiGraph, rows: Mapping[str, int]) -> list[tuple[Stop, Stop]]:
    """Pieces of all arrows, each from a row to the next; those of one rule share their lanes."""
    pieces = set()
    for source, target in graph.edges:
        stops = [(source, row) for row in range(rows[source], rows[target])]
        pieces |= set(pairwise([*stops, (target, rows[target])]))
    return sorted(pieces)


def _widths(stops: Sequence[Stop], rows: Mapping[str, int]) -> dict[Stop, float]:
    """Widths of boxes, of which those in a row share the room beside its lanes; lanes have none."""
    widths = {}
    for row in range(max(rows.values()) + 1):
        present = [stop for stop in stops if stop[1] == row]
        boxes = [stop for stop in present if rows[stop[0]] == row]
        room = WIDTH - 2 * MARGIN - SPACE * (len(present) - 1)
        widths |= dict.fromkeys(present, 0.0)
        widths |= dict.fromkeys(boxes, min(WIDEST, room / len(boxes)))
    return widths


def place(
    stops: Sequence[Stop], ways: Sequence[tuple[Stop, Stop]], widths: Mapping[Stop, float]
) -> dict[Stop, float]:
    """Centres of boxes and lanes: those of a row apart, and arrows short.

    Sweeps down and up sort each row by the mean centre of its neighbours in the row before
    (Sugiyama, Tagawa, Toda 1981), and move it there as far as the widths allow, which is an
    isotonic regression. The sweep with the shortest arrows is taken.
    """
    x = dict.fromkeys(stops, WIDTH / 2)
    last = max(row for _, row in stops)
    trials = []
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for row in range(last + 1) if down else range(last, -1, -1):
            wanted = {}
            for stop in (stop for stop in stops if stop[1] == row):
                near = [a if down else b for a, b in ways if (b if down else a) == stop]
                wanted[stop] = float(np.mean([x[other] for other in near] or [x[stop]]))
            order = sorted(wanted, key=lambda stop: (round(wanted[stop], 6), stop))
            sizes = np.array([widths[stop] for stop in order])
            offsets = np.cumsum(sizes + SPACE) - SPACE - sizes / 2  # centres, packed to the left
            free = isotonic_regression([wanted[stop] for stop in order] - offsets).x
            room = WIDTH - MARGIN - offsets[-1] - sizes[-1] / 2
            x |= zip(order, (offsets + np.clip(free, MARGIN, room)).tolist(), strict=True)
        trials.append((round(sum(abs(x[a] - x[b]) for a, b in ways), 6), sweep, dict(x)))
    return min(trials)[2]
