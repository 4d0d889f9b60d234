"""Figure 1: what is drawn stands where the table says, and no image hides another."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.collections import EllipseCollection

from laq import data
from laq.data import Dataset
from laq.distances.divergence import class_gaussians
from laq.figures.classes import (
    REACH,
    Plane,
    class_centres,
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


def test_coordinates_of_other_images_are_refused_by_name(tmp_path):
    paths = study(tmp_path, plane())
    table = pd.read_parquet(paths["coordinates"])
    table["label"] = table["label"].to_numpy()[::-1]
    write_parquet(paths["coordinates"], table)
    with pytest.raises(DataError, match=r"umap\.parquet is of other images"):
        plot_classes(**paths, pdf=tmp_path / "f.pdf", png=tmp_path / "f.png", study="", shrinkage=0)
    assert not (tmp_path / "f.pdf").exists()
