"""Layout of a diagram: boxes in rows, and between them arrows on tracks and lanes of their own.

A net leaves its source downwards through its label, runs on a track of the gap between two rows
to the ports of its targets, and on to farther rows in a lane beside the boxes. So no line
crosses a box or a label, whatever the graph. Lengths are in inches, y grows downwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import permutations, product

import networkx as nx

# Layout of a diagram: which boxes stand in which row, and where in it.


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
    """Rows of boxes, each below all its sources; one without sources is right above its targets."""
    graph = nx.DiGraph([(wire.source, target) for wire in wires for target in wire.targets])
    graph.add_nodes_from(sizes)
    if not nx.is_directed_acyclic_graph(graph):
        raise ValueError("the rules lead round in a circle")
    levels: dict[str, int] = {}
    for level, generation in enumerate(nx.topological_generations(graph)):
        levels.update(dict.fromkeys(sorted(generation), level))
    for name in sorted(graph):
        if graph.in_degree(name) == 0 and graph.out_degree(name):
            levels[name] = min(levels[target] for target in graph.successors(name)) - 1
    rows: list[list[str]] = []
    for level in sorted(set(levels.values())):
        # Boxes with the nearest targets come last, next to the row of these targets.
        names = sorted(n for n in levels if levels[n] == level)
        names.sort(key=lambda n: -min((levels[t] for t in graph.successors(n)), default=10**6))
        row: list[str] = []
        for name in names:
            width = sum(sizes[n][0] + GAP for n in [*row, name]) - GAP
            if row and width > room:
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
        centres = columns(rows, sizes, 0, 0)
        row = set(rows[number])
        return sum(abs(centres[a] - centres[b]) for a, b in pairs if a in row or b in row)

    for _, number in product(range(3), range(len(rows))):
        if 1 < len(rows[number]) <= _TRIED:
            trials = []
            for permutation in permutations(sorted(rows[number])):
                rows[number][:] = permutation
                trials.append((round(cost(number), 6), permutation))
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
        width = sum(sizes[name][0] for name in row)
        gap = max(GAP, (room - width) / (len(row) + 1)) if room else GAP
        x = left + (room - width - gap * (len(row) - 1)) / 2
        for name in row:
            centres[name] = x + sizes[name][0] / 2
            x += sizes[name][0] + gap
    return centres


LANE = 0.08  # between two lanes, and between two tracks
ARROW = 0.15  # from the lowest track to the boxes below
NEAR = 0.055  # two vertical lines that are closer look like one


@dataclass(frozen=True)
class Rectangle:
    """Left, top, width, height."""

    x: float
    y: float
    width: float
    height: float

    @property
    def centre(self) -> float:
        return self.x + self.width / 2

    @property
    def bottom(self) -> float:
        return self.y + self.height


@dataclass
class Route:
    """How a wire runs: its label's place, straight pieces (x1, y1, x2, y2), heads, junctions.

    returns: (lane, height, other end) of its tracks that come from a lane.
    """

    label: Rectangle
    pieces: list[tuple[float, float, float, float]] = field(default_factory=list)
    heads: list[tuple[float, float]] = field(default_factory=list)
    junctions: list[tuple[float, float]] = field(default_factory=list)
    returns: list[tuple[float, float, float]] = field(default_factory=list)


@dataclass(frozen=True)
class LaneLayout:
    """The places of boxes and wires; routes in the order of the wires."""

    boxes: Mapping[str, Rectangle]
    routes: Sequence[Route]
    height: float
    rows: int


def arrange(
    sizes: Mapping[str, tuple[float, float]], wires: Sequence[Wire], width: float
) -> LaneLayout:
    """Place boxes of the given sizes (width, height) and route the wires in a page's width.

    A box is widened to hold the labels of its wires side by side, and the wires that enter it.
    Rows that are wider than the page are broken into several.

    Raises:
        ValueError: the wires lead round in a circle.
    """
    sizes = {
        name: (max(w, labels_width(name, wires), _ports_width(name, wires)), h)
        for name, (w, h) in sizes.items()
    }
    room = width
    rows = assign(sizes, wires, room)
    # Lanes take room from the boxes, and so may break rows, which makes more lanes.
    while True:
        lanes = _lanes(rows, wires)
        counts = {
            side: 1 + max((n for s, n in lanes.values() if s == side), default=-1)
            for side in (-1, 1)
        }
        room = min(room, width - LANE * (counts[-1] + counts[1] + 2))
        new_rows = assign(sizes, wires, room)
        if new_rows == rows:
            break
        rows = new_rows
    # Lanes run beside the widest row, not along the edges of the page.
    widest = max(sum(sizes[name][0] + GAP for name in row) + GAP for row in rows)
    room = min(room, widest)
    left = (width - room - LANE * (counts[-1] + counts[1] + 2)) / 2 + LANE * (counts[-1] + 1)
    edges = {-1: left - LANE, 1: left + room + LANE}
    rows = order(rows, wires, sizes)
    x = columns(rows, sizes, left, room)
    lane_x = {i: edges[side] + side * LANE * n for i, (side, n) in lanes.items()}
    return _route(rows, x, sizes, wires, lane_x)


def _ports_width(name: str, wires: Sequence[Wire]) -> float:
    """Width for all wires that enter a box, and for lines above it that the ports avoid."""
    return 0.15 + 4 * NEAR * sum(name in wire.targets for wire in wires)


def _place(rows: Sequence[Sequence[str]]) -> dict[str, int]:
    return {name: number for number, row in enumerate(rows) for name in row}


def _lanes(rows: Sequence[Sequence[str]], wires: Sequence[Wire]) -> dict[int, tuple[int, int]]:
    """Side (-1 left, 1 right) and number of the lane of every wire that passes a row."""
    row_of = _place(rows)
    spans = {}
    for index, wire in enumerate(wires):
        start, end = row_of[wire.source], max(row_of[target] for target in wire.targets)
        if end > start + 1:
            spans[index] = (start, end)
    lanes: dict[int, tuple[int, int]] = {}
    load = {-1: 0, 1: 0}
    # Short wires get the inner lanes. Both sides get about the same number.
    for index in sorted(spans, key=lambda i: (spans[i][1] - spans[i][0], i)):
        side = min(load, key=lambda s: (load[s], s))
        load[side] += 1
        number = 0
        while any(
            lanes.get(other) == (side, number) and _meet(spans[other], spans[index])
            for other in spans
        ):
            number += 1
        lanes[index] = side, number
    return lanes


def _meet(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def _route(
    rows: Sequence[Sequence[str]],
    x: Mapping[str, float],
    sizes: Mapping[str, tuple[float, float]],
    wires: Sequence[Wire],
    lane: Mapping[int, float],
) -> LaneLayout:
    row_of = _place(rows)
    exits = _exits(x, sizes, wires)
    boxes: dict[str, Rectangle] = {}
    routes = [Route(Rectangle(0, 0, 0, 0)) for _ in wires]
    reached = dict.fromkeys(lane, 0.0)  # the y that each lane has reached
    y = 0.02
    for number, row in enumerate(rows):
        for name in row:
            w, h = sizes[name]
            boxes[name] = Rectangle(x[name] - w / 2, y, w, h)
        below = max(boxes[name].bottom for name in row)
        for index, wire in enumerate(wires):
            if row_of[wire.source] == number:
                w, h = wire.label
                top = boxes[wire.source].bottom + 0.05
                routes[index].label = Rectangle(exits[index] - w / 2, top, w, h)
                below = max(below, top + h)
        # Wires that enter the gap below this row, leave it, or both.
        entering: dict[int, list[str]] = {}
        for index, wire in enumerate(wires):
            ends = [t for t in wire.targets if row_of[t] == number + 1]
            if ends or (row_of[wire.source] == number and index in lane):
                entering[index] = ends
        if not entering:
            y = below + 0.1
            continue
        enters = {i: exits[i] if row_of[wires[i].source] == number else lane[i] for i in entering}
        ports = _ports(entering, enters, x, sizes)
        tracks = _tracks(entering, enters, ports, lane, row_of, wires, number)
        first_y = below + 0.06
        y = first_y + LANE * (len(tracks) - 1) + ARROW
        for depth, index in enumerate(tracks):
            track_y = first_y + LANE * depth
            route, starts = routes[index], row_of[wires[index].source] == number
            from_y = boxes[wires[index].source].bottom if starts else reached[index]
            stops = [ports[index, target] for target in entering[index]]
            continues = index in lane and max(row_of[t] for t in wires[index].targets) > number + 1
            ends = [enters[index], *stops, *([lane[index]] if starts and continues else [])]
            route.pieces.append((enters[index], from_y, enters[index], track_y))
            if max(ends) > min(ends):
                route.pieces.append((min(ends), track_y, max(ends), track_y))
            route.pieces += [(stop, track_y, stop, y) for stop in stops]
            route.heads += [(stop, y) for stop in stops]
            # A dot where three ways or more meet: from above, to both sides, downwards.
            leaving = [*stops, *([lane[index]] if continues else [])]
            route.junctions += [
                (end, track_y)
                for end in sorted(set(ends))
                if sum((end == enters[index], end in leaving, end > min(ends), end < max(ends))) > 2
            ]
            if index in reached:
                reached[index] = track_y
                if not starts:
                    far_end = max(ends, key=lambda end: abs(end - lane[index]))
                    route.returns.append((lane[index], track_y, far_end))
    return LaneLayout(boxes, routes, max(box.bottom for box in boxes.values()) + 0.02, len(rows))


def _exits(
    x: Mapping[str, float], sizes: Mapping[str, tuple[float, float]], wires: Sequence[Wire]
) -> dict[int, float]:
    """Where each wire leaves its box: in the middle of its label, labels side by side."""
    exits = {}
    for name in sizes:
        indices = [index for index, wire in enumerate(wires) if wire.source == name]
        if not indices:
            continue
        spare = (sizes[name][0] - sum(wires[i].label[0] for i in indices)) / len(indices)
        left = x[name] - sizes[name][0] / 2
        for index in indices:
            exits[index] = left + (spare + wires[index].label[0]) / 2
            left += spare + wires[index].label[0]
    return exits


def _ports(
    here: Mapping[int, Sequence[str]],
    enters: Mapping[int, float],
    x: Mapping[str, float],
    sizes: Mapping[str, tuple[float, float]],
) -> dict[tuple[int, str], float]:
    """Where the wires enter the boxes below: side by side, in the order in which they come.

    A single wire from right above its box goes straight on. No port lies where another wire goes
    down, or the two would look like one.
    """
    ports: dict[tuple[int, str], float] = {}
    for target in sorted({t for targets in here.values() for t in targets}):
        entering = sorted((i for i in here if target in here[i]), key=lambda i: (enters[i], i))
        half_width = sizes[target][0] / 2 - 0.12
        step = min(0.3, 2 * half_width / max(1, len(entering) - 1))
        for rank, index in enumerate(entering):
            port = x[target] + step * (rank - (len(entering) - 1) / 2)
            if len(entering) == 1 and abs(enters[index] - x[target]) < half_width:
                port = enters[index]
            occupied = [enters[i] for i in here if i != index]
            occupied += [other for (i, _), other in ports.items() if i != index]
            ports[index, target] = _clear(port, occupied, x[target], sizes[target][0] / 2 - 0.04)
    return ports


def _clear(wish: float, taken: Sequence[float], centre: float, reach: float) -> float:
    """The x nearest to ``wish`` that is near none ``taken``, within ``reach`` of ``centre``."""
    candidates = [wish + NEAR / 2 * k for k in range(int(4 * reach / NEAR) + 2)]
    candidates += [2 * wish - port for port in candidates]
    candidates += [other + side * NEAR for other in taken for side in (-1, 1)]
    candidates = [port for port in candidates if abs(port - centre) <= reach]
    free = [port for port in candidates if all(abs(port - other) > NEAR - 1e-9 for other in taken)]
    return min(free, key=lambda port: (round(abs(port - wish), 9), -port), default=wish)


def _tracks(
    here: Mapping[int, Sequence[str]],
    enters: Mapping[int, float],
    ports: Mapping[tuple[int, str], float],
    lane: Mapping[int, float],
    place: Mapping[str, int],
    wires: Sequence[Wire],
    number: int,
) -> list[int]:
    """The wires of a gap from the top track to the lowest, few of them crossing."""
    stops = {i: [ports[i, t] for t in here[i]] for i in here}
    spans = {}
    for i in here:
        coordinates = [enters[i], *stops[i]]
        if i in lane and place[wires[i].source] == number:
            coordinates.append(lane[i])
        spans[i] = (min(coordinates), max(coordinates))

    def crossings(upper: int, lower: int) -> int:
        low, high = spans[upper]
        above = low < enters[lower] < high
        low, high = spans[lower]
        return above + sum(low < stop < high for stop in stops[upper])

    tracks = sorted(here)
    for _ in range(len(tracks)):
        for k in range(len(tracks) - 1):
            upper, lower = tracks[k : k + 2]
            if crossings(lower, upper) < crossings(upper, lower):
                tracks[k : k + 2] = lower, upper
    return tracks
