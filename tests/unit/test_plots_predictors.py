"""Figure 9: what quantization costs, against Gram similarity and median ICD."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from laq.analysis.predictors import rank
from laq.figures.predictors import price
from laq.figures.style import looks
from plot_predictors import plot_predictors
from tests.unit.test_predictors import ARMS, HOW, files, made


@pytest.fixture(autouse=True)
def no_figures_left() -> Iterator[None]:
    yield
    plt.close("all")


def draw(table: pd.DataFrame, known: pd.DataFrame, title: str = "A study") -> Figure:
    return price(table, known, rank(table, known, ARMS, **HOW), title, "log", 0.95)


def shown(panel: Axes) -> np.ndarray:
    """The points (n, 2) of a panel."""
    marker = looks(["q3"])["q3"].marker
    (line,) = (line for line in panel.get_lines() if line.get_marker() == marker)
    return line.get_xydata()


def words(panel: Axes) -> str:
    return "\n".join(text.get_text() for text in panel.texts)


def test_points_are_what_the_table_ranks() -> None:
    table, known = made()
    figure = draw(table, known)
    left, right = figure.axes
    wide = table[table["scope"] == "subset"].pivot_table("top1", "subset", "variant")
    lost = 100 * (wide["original"] - wide["q3"]).to_numpy()
    np.testing.assert_allclose(shown(left), np.c_[known["gram_similarity"], lost], atol=1e-9)
    np.testing.assert_allclose(shown(right), np.c_[known["median_icd"], lost], atol=1e-9)
    assert left.get_xscale() == "linear" and right.get_xscale() == "log"
    found = rank(table, known, ARMS, **HOW).set_index(["outcome", "predictor"])["spearman"]
    for panel, predictor in ((left, "gram_similarity"), (right, "median_icd")):
        said = f"{found['drop', predictor]:.2f}".replace("-", "−")
        assert f"Spearman {said} (" in words(panel) and "n = 12" in words(panel)


def test_the_band_spans_the_floors_and_is_left_out_where_there_is_none() -> None:
    table, known = made()
    known["gram_floor"] = np.linspace(0.97, 0.98, 12)
    left, right = draw(table, known).axes
    level = left.collections[0].get_segments()
    np.testing.assert_allclose([abs(b[0] - a[0]) for a, b in level], 0.004)
    (band,) = left.patches
    assert band.get_x() == pytest.approx(0.97) and band.get_width() == pytest.approx(0.01)
    assert not right.patches
    assert left.get_xlim()[1] > 0.98
    figure = draw(table, known.assign(gram_floor=np.nan, gram_error=np.nan))
    assert not figure.axes[0].patches
    assert "Two draws" not in "".join(t.get_text() for t in figure.legends[0].get_texts())


def test_the_script_writes_both_formats(tmp_path: Path) -> None:
    table, known = made()
    subsets = known[["subset", "median_icd"]].assign(duplicate_of=None)
    ranked = rank(table, known, ARMS, **HOW)
    paths = files(tmp_path, accuracy=table, subsets=subsets, similarity=known, predictors=ranked)
    pdf, png = tmp_path / "fig9.pdf", tmp_path / "fig9.png"
    plot_predictors(
        **paths, pdf=str(pdf), png=str(png), title="A study", scale="log", confidence=0.95
    )
    assert pdf.read_bytes().startswith(b"%PDF") and b"CreationDate" not in pdf.read_bytes()
    assert png.read_bytes().startswith(b"\x89PNG")
