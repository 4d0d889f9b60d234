"""Figure 1: the classes in the plane, each shown as one of its images, with its spread."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection, LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from PIL import Image
from scipy.optimize import linear_sum_assignment
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist

from laq.distances.divergence import Gaussians
from laq.figures.style import PALETTE, STYLE, WIDTH, heading

Floats = NDArray[np.float64]

# Radius of an ellipse in standard deviations, and the share of a Gaussian that it holds.
REACH = 1.0
HELD = 1 - math.exp(-(REACH**2) / 2)
# Share of the panel that the example images take together, and their largest side in inches.
COVERED, LARGEST = 0.12, 0.38
# Distances over the side: of neighbouring images' centres, and of an image's from a class's.
GAP, CLEAR = 1.1, 0.95
STEPS = 600
CROWDED = 30  # overlapping pairs a square, beyond which pushing leads nowhere
RESOLUTION = 200  # pixels an inch of print, of an example image that has more
MARGINS = {"left": 0.55, "right": 0.1, "bottom": 0.7, "top": 0.32}  # inches


@dataclass(frozen=True, eq=False)
class Plane:
    """Images in the plane of the embedding, and the Gaussians of their classes.

    points: (n, 2) coordinates; labels: (n,) integers below C; index: (n,) the points' positions
    among the images, uint8 (m, channels, h, w); gaussians: of the C classes.
    """

    points: Floats
    labels: NDArray[np.integer]
    index: NDArray[np.integer]
    images: NDArray[np.uint8]
    gaussians: Gaussians

    def example(self, label: int) -> NDArray[np.uint8]:
        """The image of the class that lies nearest its centre: (channels, h, w)."""
        members = np.flatnonzero(self.labels == label)
        distances = np.linalg.norm(self.points[members] - self.gaussians.means[label], axis=1)
        return self.images[self.index[members[distances.argmin()]]]


def class_centres(plane: Plane, study: str) -> Figure:
    """All images as dots, each class as an ellipse of ``REACH`` standard deviations and an image.

    An image lies beside its class's centre, tied to it by a line, so that it hides no other and
    leaves the centres in sight. Colours only tell neighbours apart.
    """
    centres = plane.gaussians.means
    colours = np.array(PALETTE)[neighbour_colours(centres, len(PALETTE))]
    with plt.rc_context(STYLE):
        panel, size = _panel(plane.points, plane.gaussians)
        panel.set_title(heading(f"{study}: {len(centres)} classes in the UMAP plane", 9))
        dots = colours[plane.labels]
        area = np.clip(2e4 / len(dots), 0.6, 8)
        panel.scatter(*plane.points.T, s=area, c=dots, alpha=0.35, linewidths=0, rasterized=True)
        _draw_spread(panel, plane.gaussians, colours)
        _draw_examples(panel, size, plane, colours)
        panel.figure.text(
            MARGINS["left"] / WIDTH,
            0.04 / panel.figure.get_figheight(),
            f"Dots: training images. Ellipses: {REACH:g} standard deviation around each class's "
            f"centre ({HELD:.0%} of a Gaussian).\nExamples: the image nearest the centre, tied to "
            "it by a line. Colours only tell neighbours apart.",
            fontsize=7.5,
            color="0.3",
        )
    return panel.figure


def neighbour_colours(centres: Floats, count: int) -> NDArray[np.int64]:
    """For each of the centres (C, 2) a colour 0 … count - 1, equal ones far from each other.

    Greedy: a class takes the colour whose nearest centre so far is farthest.
    """
    colours = np.empty(len(centres), dtype=np.int64)
    nearest = np.full((len(centres), count), np.inf)  # of each colour, to each class
    for label, centre in enumerate(centres):
        colours[label] = nearest[label].argmax()
        distances = np.linalg.norm(centres - centre, axis=1)
        nearest[:, colours[label]] = np.minimum(nearest[:, colours[label]], distances)
    return colours


def spread(anchors: Floats, side: float, box: Sequence[float]) -> tuple[Floats, float]:
    """Centres (C, 2) of squares in the box (width, height), beside ``anchors``, none overlapping.

    Squares push each other, and anchors push squares, along the axis that takes the shorter way;
    springs pull each square back to its anchor. Squares may still hide an anchor where all is
    full, and where they find no room in ``STEPS`` they are put on a grid. Returns the side too:
    it is smaller than the one given where the box holds no such grid.
    """
    box = np.asarray(box, dtype=float)
    tree = KDTree(anchors)
    positions = _inside(anchors + side * _outwards(anchors), side, box)
    for step in range(STEPS):
        settled = step > STEPS / 2  # then squares only make room
        move = np.zeros_like(positions) if settled else 0.03 * (anchors - positions)
        pairs = KDTree(positions).query_pairs(GAP * side, p=np.inf, output_type="ndarray")
        if len(pairs) > CROWDED * len(anchors):
            break
        offsets = positions[pairs[:, 1]] - positions[pairs[:, 0]]
        if settled and (np.abs(offsets).max(axis=1) >= side).all():
            return positions, side
        push = _push(offsets, GAP * side)
        np.add.at(move, pairs[:, 0], -push)
        np.add.at(move, pairs[:, 1], push)
        if not settled:
            distances, nearest = tree.query(positions, p=np.inf)
            hit = distances < CLEAR * side
            move[hit] += _push(positions[hit] - anchors[nearest[hit]], CLEAR * side)
        positions = _inside(positions + move, side, box)
    return _on_grid(anchors, side, box)


def _on_grid(anchors: Floats, side: float, box: Floats) -> tuple[Floats, float]:
    """Distinct cells of a grid, with the least sum of squared distances to the anchors."""
    while np.floor(box / (GAP * side)).prod() < len(anchors):
        side *= 0.95
    counts = np.floor(box / (GAP * side)).astype(int)
    ticks = [(np.arange(n) + 0.5) * length / n for n, length in zip(counts, box, strict=True)]
    cells = np.stack(np.meshgrid(*ticks), axis=-1).reshape(-1, 2)
    _, assignment = linear_sum_assignment(cdist(anchors, cells, "sqeuclidean"))
    return cells[assignment], side


def _outwards(anchors: Floats) -> Floats:
    """Unit vectors (C, 2) from the middle of the nearest anchors to each; on a spiral if none."""
    _, nearest = KDTree(anchors).query(anchors, k=min(8, len(anchors)))
    directions = anchors - anchors[nearest.reshape(len(anchors), -1)].mean(axis=1)
    angles = 2.4 * np.arange(len(anchors))
    directions += 1e-6 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return directions / np.linalg.norm(directions, axis=1, keepdims=True)


def _push(apart: Floats, distance: float) -> Floats:
    """Part of the shift along one axis that brings the offsets ``apart`` (k, 2) to ``distance``."""
    deficit = distance - np.abs(apart)
    push = np.where(apart < 0, -1.0, 1.0) * deficit * 0.3
    push[np.arange(len(push)), deficit.argmax(axis=1)] = 0
    return push


def _inside(places: Floats, side: float, box: Floats) -> Floats:
    return np.clip(places, 0.55 * side, box - 0.55 * side)


def _panel(points: Floats, gaussians: Gaussians) -> tuple[Axes, Floats]:
    """Axes of equal scale around all points and ellipses, and their width and height in inches."""
    radii = REACH * np.sqrt(np.diagonal(gaussians.covariances, axis1=1, axis2=2))  # (C, 2)
    low = np.minimum(points.min(axis=0), (gaussians.means - radii).min(axis=0))
    high = np.maximum(points.max(axis=0), (gaussians.means + radii).max(axis=0))
    extent = np.maximum(high - low, 1e-9)
    width = WIDTH - MARGINS["left"] - MARGINS["right"]
    height = width * np.clip(extent[1] / extent[0], 0.55, 1.0)
    total = height + MARGINS["bottom"] + MARGINS["top"]
    figure = plt.figure(figsize=(WIDTH, total))
    panel = figure.add_axes(
        (MARGINS["left"] / WIDTH, MARGINS["bottom"] / total, width / WIDTH, height / total)
    )
    size = np.array([width, height])
    scale = 1.14 * (extent / size).max()  # units of the embedding an inch
    middle = (low + high) / 2
    low, high = middle - scale * size / 2, middle + scale * size / 2
    panel.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    panel.set_xlabel("UMAP 1", labelpad=2)
    panel.set_ylabel("UMAP 2", labelpad=2)
    return panel, size


def _draw_spread(panel: Axes, gaussians: Gaussians, colours: Floats) -> None:
    variances, axes = np.linalg.eigh(gaussians.covariances)  # ascending, (C, 2) and (C, 2, 2)
    short, long = (2 * REACH * np.sqrt(variances)).T
    angles = np.degrees(np.arctan2(axes[:, 1, 1], axes[:, 0, 1]))
    filled = {"facecolors": colours, "alpha": 0.18, "zorder": 1}
    outline = {"facecolors": "none", "edgecolors": colours, "linewidths": 0.8, "zorder": 1}
    for style in (filled, outline):
        ellipses = EllipseCollection(
            long,
            short,
            angles,
            units="xy",
            offsets=gaussians.means,
            offset_transform=panel.transData,
            **style,
        )
        panel.add_collection(ellipses)


def _draw_examples(panel: Axes, size: Floats, plane: Plane, colours: Floats) -> None:
    centres = plane.gaussians.means
    limits = np.array([panel.get_xlim(), panel.get_ylim()])
    scale = (limits[:, 1] - limits[:, 0]) / size
    side = min(LARGEST, math.sqrt(COVERED * size.prod() / len(centres)))
    positions, side = spread((centres - limits[:, 0]) / scale, side, size)
    positions = positions * scale + limits[:, 0]
    half_size, frame = side * scale / 2, min(0.8, 3 * side)
    lines = LineCollection(np.stack([centres, positions], axis=1), colors=colours, linewidths=0.6)
    panel.add_collection(lines)
    panel.scatter(*centres.T, s=6, c=colours, edgecolors="white", linewidths=0.3, zorder=2)
    for label, position in enumerate(positions):
        pixels = _pixels(plane.example(label), math.ceil(side * RESOLUTION))
        aspect = np.array([pixels.shape[1], pixels.shape[0]]) / max(pixels.shape[:2])
        low, high = position - half_size * aspect, position + half_size * aspect
        panel.imshow(
            pixels,
            extent=(low[0], high[0], low[1], high[1]),
            aspect="auto",
            interpolation="none",
            zorder=3,
        )
        panel.add_patch(
            Rectangle(low, *(high - low), fill=False, edgecolor=colours[label], lw=frame, zorder=4)
        )
    panel.set_xlim(limits[0])  # imshow changes the limits
    panel.set_ylim(limits[1])


def _pixels(image: NDArray[np.uint8], largest: int) -> NDArray[np.uint8]:
    """The image as (h, w, 3), no side longer than ``largest`` pixels."""
    channels = image if len(image) == 3 else np.repeat(image[:1], 3, axis=0)
    picture = Image.fromarray(np.ascontiguousarray(channels.transpose(1, 2, 0)))
    picture.thumbnail((largest, largest), Image.Resampling.LANCZOS)
    return np.asarray(picture)
