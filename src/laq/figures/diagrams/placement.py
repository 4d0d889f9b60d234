"""Layout of a diagram: which boxes stand in which row, and where in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations, product

import networkx as nx

GAP = 0.16  # between two boxes of a row, in inches
# Rows of more boxes than this are left as they come: their orders are too many to try.
_TRIED = 6


@dataclass(frozen=True)
class Wire:
    """One arrow with several heads: rule, label's size (width, height), rules it goes to."""

    source: str
    targets: tuple[str, ...]
    label: tuple[float, float]


def labels_width(name: str, wires: Sequence[Wire]) -> float:
    widths = [wire.label[0] for wire in wires if wire.source == name]
    return sum(widths) + 0.12 * max(0, len(widths) - 1)


def assign(
    sizes: Mapping[str, tuple[float, float]], wires: Sequence[Wire], room: float
) -> list[list[str]]:
    """Boxes below all that they take from; what takes from nothing, right above its takers."""
    graph = nx.DiGraph([(wire.source, target) for wire in wires for target in wire.targets])
    graph.add_nodes_from(sizes)
    if not nx.is_directed_acyclic_graph(graph):
        raise ValueError("the rules lead round in a circle")
    level: dict[str, int] = {}
    for number, generation in enumerate(nx.topological_generations(graph)):
        level.update(dict.fromkeys(sorted(generation), number))
    for name in sorted(graph):
        if graph.in_degree(name) == 0 and graph.out_degree(name):
            level[name] = min(level[target] for target in graph.successors(name)) - 1
    rows: list[list[str]] = []
    for number in sorted(set(level.values())):
        # Those that are waited for the longest come last, next to the row that takes them.
        names = sorted(n for n in level if level[n] == number)
        names.sort(key=lambda n: -min((level[t] for t in graph.successors(n)), default=10**6))
        row: list[str] = []
        for name in names:
            taken = sum(sizes[n][0] + GAP for n in [*row, name]) - GAP
            if row and taken > room:
                rows.append(row)
                row = []
            row.append(name)
        rows.append(row)
    return rows


def order(
    rows: Sequence[list[str]], wires: Sequence[Wire], sizes: Mapping[str, tuple[float, float]]
) -> list[list[str]]:
    """Boxes of a row in the order that makes the arrows to neighbours short."""
    rows = [list(row) for row in rows]
    pairs = [(wire.source, target) for wire in wires for target in wire.targets]

    def cost(number: int) -> float:
        near = columns(rows, sizes, 0, 0)
        row = set(rows[number])
        return sum(abs(near[a] - near[b]) for a, b in pairs if a in row or b in row)

    for _, number in product(range(3), range(len(rows))):
        if 1 < len(rows[number]) <= _TRIED:
            trials = []
            for order in permutations(sorted(rows[number])):
                rows[number][:] = order
                trials.append((round(cost(number), 6), order))
            rows[number][:] = min(trials)[1]
    return rows


def columns(
    rows: Sequence[Sequence[str]],
    sizes: Mapping[str, tuple[float, float]],
    left: float,
    room: float,
) -> dict[str, float]:
    """Centre of every box: a row's boxes side by side, in the middle of the page."""
    centres = {}
    for row in rows:
        taken = sum(sizes[name][0] for name in row)
        gap = max(GAP, (room - taken) / (len(row) + 1)) if room else GAP
        x = left + (room - taken - gap * (len(row) - 1)) / 2
        for name in row:
            centres[name] = x + sizes[name][0] / 2
            x += sizes[name][0] + gap
    return centres
