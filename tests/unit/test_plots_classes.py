"""Figure 1: what is drawn stands where the table says, and no image hides another."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import pyplot as plt
from matplotlib.collections import EllipseCollection
from scipy.spatial.distance import pdist

from laq import data
from laq.data import Dataset
from laq.distances.divergence import class_gaussians
from laq.figures.classes import (
    LARGEST,
    REACH,
    RESOLUTION,
    Plane,
    class_centres,
    neighbour_colours,
    spread,
)
from laq.utils.errors import DataError
from laq.utils.files import write_parquet
from plot_classes import plot_classes


def plane(classes: int = 6, each: int = 30, shape=(3, 8, 6), apart: float = 5.0) -> Plane:
    """Round clouds of points; image i is full of the value i modulo 251."""
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(classes), each)
    points = generator.normal(size=(classes, 2))[labels] * apart
    points += generator.normal(size=points.shape) @ np.array([[1.0, 0.4], [0.0, 0.5]])
    index = generator.permutation(len(labels))
    values = (np.arange(len(labels)) % 251).astype(np.uint8)
    images = np.broadcast_to(values[:, None, None, None], (len(labels), *shape))
    names = [str(label) for label in range(classes)]
    return Plane(points, labels, index, images, class_gaussians(points, labels, names))


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@settings(deadline=None, max_examples=30)
@given(
    anchors=st.lists(st.tuples(*[st.floats(0, 4)] * 2), min_size=1, max_size=40),
    side=st.floats(0.1, 0.8),
)
def test_squares_never_overlap_and_never_leave_the_box(anchors, side):
    places, shrunk = spread(np.array(anchors), side, (4, 3))
    assert 0 < shrunk <= side
    assert len(anchors) == 1 or pdist(places, "chebyshev").min() >= shrunk
    assert (places >= shrunk / 2).all() and (places <= np.array([4, 3]) - shrunk / 2).all()


def test_a_square_lies_beside_its_own_anchor_and_no_larger_side_is_taken_away():
    anchors = np.array([[1.0, 1.0], [5.0, 1.0], [3.0, 4.0]])
    places, side = spread(anchors, 0.4, (6, 5))
    assert side == 0.4
    away = np.abs(places - anchors).max(axis=1)
    assert (away > side / 2).all() and (away < 2 * side).all()


def test_classes_at_one_place_are_laid_out_around_it():
    places, side = spread(np.full((300, 2), 2.5), 0.1, (6, 5))
    assert side == 0.1
    assert pdist(places, "chebyshev").min() >= side
    assert np.abs(places - 2.5).max() < 1.5  # 300 squares of 0.11 fill a disc of radius 1.1


def test_classes_share_a_colour_only_when_colours_run_out():
    centres = np.random.default_rng(1).normal(size=(40, 2))
    assert len(set(neighbour_colours(centres[:7], 7))) == 7
    colours = neighbour_colours(centres, 7)
    same = colours[:, None] == colours[None]
    distance = np.linalg.norm(centres[:, None] - centres[None], axis=2)
    twins, pairs = same & ~np.eye(40, dtype=bool), ~np.eye(40, dtype=bool)
    assert distance[twins].min() > 3 * distance[pairs].min()


def test_the_example_is_the_image_nearest_the_centre():
    drawn = plane()
    for label in range(6):
        centre = drawn.points[drawn.labels == label].mean(axis=0)
        away = np.hypot(*(drawn.points - centre).T)
        nearest = np.where(drawn.labels == label, away, np.inf).argmin()
        assert (drawn.example(label) == drawn.index[nearest] % 251).all()


def test_ellipses_are_the_gaussians_contours():
    drawn = plane()
    panel = class_centres(drawn, "Test").axes[0]
    ellipses = [c for c in panel.collections if isinstance(c, EllipseCollection)]
    assert len(ellipses) == 2  # filling and outline
    around = np.linspace(0, 2 * np.pi, 50)
    for one in ellipses:
        for label in range(6):
            long, short = one.get_widths()[label] / 2, one.get_heights()[label] / 2
            turn = np.radians(one.get_angles()[label])
            rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
            contour = rotation @ np.stack([long * np.cos(around), short * np.sin(around)])
            precision = np.linalg.inv(np.cov(drawn.points[drawn.labels == label].T))
            squared = np.einsum("ik,ij,jk->k", contour, precision, contour)
            np.testing.assert_allclose(squared, REACH**2, rtol=1e-6)


@pytest.mark.parametrize("apart", [(1.0, 1.0), (40.0, 1.0), (1.0, 40.0)])
def test_both_axes_have_one_scale_and_show_every_point(apart):
    drawn = plane()
    stretched = drawn.points * apart
    gaussians = class_gaussians(stretched, drawn.labels, list("abcdef"))
    panel = class_centres(
        Plane(stretched, drawn.labels, drawn.index, drawn.images, gaussians), "Test"
    ).axes[0]
    box = panel.get_window_extent()
    (left, right), (bottom, top) = panel.get_xlim(), panel.get_ylim()
    assert (right - left) / box.width == pytest.approx((top - bottom) / box.height)
    assert left < stretched[:, 0].min() and stretched[:, 0].max() < right
    assert bottom < stretched[:, 1].min() and stretched[:, 1].max() < top


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (3, 300, 200), (1, 5, 90)])
def test_images_keep_their_aspect_and_are_no_finer_than_print(shape):
    panel = class_centres(plane(shape=shape), "Test").axes[0]
    assert len(panel.images) == 6
    for image in panel.images:
        left, right, bottom, top = image.get_extent()
        assert (right - left) / (top - bottom) == pytest.approx(shape[2] / shape[1], rel=0.12)
        assert max(image.get_array().shape[:2]) == min(max(shape), LARGEST * RESOLUTION)
        assert image.get_array().shape[2] == 3


def study(folder, drawn: Plane) -> dict[str, str]:
    """The artifacts that figure 1 is drawn from, as the workflow writes them."""
    labels = np.empty_like(drawn.labels)
    labels[drawn.index] = drawn.labels
    names = tuple(f"class {label}" for label in range(drawn.labels.max() + 1))
    images = np.ascontiguousarray(drawn.images)
    data.save(Dataset(images, labels.astype(np.int64), names), folder / "train.npz")
    (folder / "classes.json").write_text(json.dumps(names))
    columns = {"index": drawn.index, "label": drawn.labels}
    columns |= {"umap_1": drawn.points[:, 0], "umap_2": drawn.points[:, 1]}
    table = pd.DataFrame(columns).sort_values("index", ignore_index=True)
    write_parquet(folder / "umap.parquet", table)
    return {
        "train": str(folder / "train.npz"),
        "classes": str(folder / "classes.json"),
        "coordinates": str(folder / "umap.parquet"),
    }


def test_two_runs_give_the_same_bytes(tmp_path):
    paths = study(tmp_path, plane(classes=2))
    for name in ("a", "b"):
        pdf, png = tmp_path / f"{name}.pdf", tmp_path / f"{name}.png"
        plot_classes(**paths, pdf=pdf, png=png, study="Test", shrinkage=0)
    for suffix in ("pdf", "png"):
        first, second = ((tmp_path / f"{name}.{suffix}").read_bytes() for name in "ab")
        assert first == second


def test_a_hundred_classes_of_many_images_make_a_small_file(tmp_path):
    paths = study(tmp_path, plane(classes=100, each=200, shape=(3, 32, 32)))
    pdf, png = tmp_path / "fig.pdf", tmp_path / "fig.png"
    plot_classes(**paths, pdf=pdf, png=png, study="Test", shrinkage=0)
    assert pdf.stat().st_size < 3e6


def test_coordinates_of_other_images_are_refused_by_name(tmp_path):
    paths = study(tmp_path, plane())
    table = pd.read_parquet(paths["coordinates"])
    table["label"] = table["label"].to_numpy()[::-1]
    write_parquet(paths["coordinates"], table)
    with pytest.raises(DataError, match=r"umap\.parquet is of other images"):
        plot_classes(**paths, pdf=tmp_path / "f.pdf", png=tmp_path / "f.png", study="", shrinkage=0)
    assert not (tmp_path / "f.pdf").exists()
