"""The figure of images made without data: which images, under which names."""

from __future__ import annotations

import numpy as np
import pytest

from laq.data import Dataset
from laq.figures.synthetic import ImageRow, made_images, title


def dataset(channels: int = 1) -> Dataset:
    """Sixteen images of four classes, each as bright as its place."""
    images = np.repeat(np.arange(16, dtype=np.uint8), channels * 64).reshape(16, channels, 8, 8)
    return Dataset(images, np.arange(16) // 4, ("a", "b", "c", "d" * 60))


def test_a_row_takes_its_classes_in_turn_and_first_images_first() -> None:
    row = ImageRow.of_classes("x", dataset(), [0, 2], 5)
    assert list(row.classes) == ["a", "c", "a", "c", "a"]
    assert row.images[:, 0, 0, 0].tolist() == [0, 8, 1, 9, 2]
    assert len(ImageRow.of_classes("x", dataset(), [1], 9).images) == 4
    assert ImageRow.first("x", dataset(), 20).images[:, 0, 0, 0].tolist() == list(range(16))


@pytest.mark.parametrize("channels", [1, 3])
def test_every_image_has_its_class_below_it_in_brackets_where_it_was_only_seen(
    channels: int,
) -> None:
    shown = dataset(channels)
    rows = [
        ImageRow.of_classes(title("odd", "training"), shown, [0, 3], 4),
        ImageRow.first(title("none", "synthetic"), shown, 3, asked=False),
    ]
    figure = made_images(rows, 4, "Study $x$")
    assert len(figure.axes) == 7
    below = [panel.texts[0].get_text() for panel in figure.axes]
    assert below[0] == "a" and below[1].startswith("ddd") and below[1].endswith("…")
    assert below[4:] == ["(a)"] * 3
    named = [" ".join(text.get_text().split()) for text in figure.texts]
    assert "training images: odd" in named and "optimised pixels: no class asked" in named
    for panel, value in zip(figure.axes, (0, 12, 1, 13, 0, 1, 2), strict=True):
        assert (np.asarray(panel.images[0].get_array()) == value).all()
    width, height = figure.get_size_inches()
    for panel in figure.axes:
        box = panel.get_position()
        assert box.x0 > 0 and box.x1 <= 1 and box.y0 > 0 and box.y1 < 1
        assert box.width * width == pytest.approx(box.height * height)
