"""Names of files repeated where their wires come back from a lane, far from their labels."""

from __future__ import annotations

from collections.abc import Sequence

from laq.figures.diagrams.boxes import text_width
from laq.figures.diagrams.lanes import LaneLayout, Rectangle

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
    upright = [
        (x1, min(y1, y2), max(y1, y2))
        for route in layout.routes
        for x1, y1, x2, y2 in route.pieces
        if x1 == x2
    ]
    found: list[tuple[int, str, Rectangle]] = []
    half = HEIGHT / 2
    for number, route in enumerate(layout.routes):
        for lane, y, end in route.returns:
            # Other lines come from above, from below, or run right through.
            crossing = [x for x, top, bottom in upright if top < y + half and bottom > y - half]
            taken = [(x - AWAY, x + AWAY) for x in crossing]
            taken += [
                (place.x - AWAY / 2, place.x + place.width + AWAY / 2)
                for _, _, place in found
                if abs(place.y + half - y) < 1.1 * HEIGHT
            ]
            for name in names[number]:
                width = text_width(name) + 0.03
                left = _free(taken, width, lane, end)
                if left is not None:
                    found.append((number, name, Rectangle(left, y - half, width, HEIGHT)))
                    break
    return found


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
