"""What calibration does: one variant at other bits and on other images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple


class Point(NamedTuple):
    """Bits a weight, calibration images, and whose: the ``subset``'s classes or ``all``."""

    bits: int
    images: int
    classes: str


def points(settings: dict[str, Any], bits: Sequence[int], images: Sequence[int]) -> list[Point]:
    """The points of a sweep, each once, by bits, images, and whose they are.

    ``settings`` (a variant's ``compress`` entry) as they are, at other ``bits``, and on other
    numbers of ``images``; each calibrated on the subset's classes, and on all.
    """
    base = settings["bits"], settings["images"]
    pairs = {base, *((b, base[1]) for b in bits), *((base[0], i) for i in images)}
    return [Point(*pair, classes) for pair in sorted(pairs) for classes in ("subset", "all")]
