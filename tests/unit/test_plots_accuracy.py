"""Figures 5 and 6, and the tables of curves and differences."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from scipy.stats import binomtest

from fit_curves import fit_curves as fit_curves_script
from laq.analysis.curves import Curves, fit_curves
from laq.figures.accuracy import SCOPES, CurveArm, accuracy_against_icd, intervals, points
from laq.figures.style import looks
from laq.utils.errors import DataError
from plot_accuracy import plot_accuracy

HOW = {"confidence": 0.95, "resamples": 200, "seed": 0}
FOUR = [CurveArm(None, variant) for variant in ("original", "quant", "ft", "ft_quant")]
LINES = {
    "original": (0.02, 0.75),
    "quant": (0.06, 0.6),
    "ft": (0.02, 0.85),
    "ft_quant": (0.07, 0.5),
}


@pytest.fixture(autouse=True)
def no_figures_left() -> Iterator[None]:
    yield
    plt.close("all")


def table(
    settings: tuple[str, ...] = ("net",),
    count: int = 12,
    repeats: int = 1,
    noise: float = 0.01,
    lines: dict[str, tuple[float, float]] = LINES,
) -> pd.DataFrame:
    """Accuracy about given curves a ln(x) + c; the quantized one crosses at e^3.75, about 43."""
    rng = np.random.default_rng(1)
    rows = []
    for setting in settings:
        for i, x in enumerate(np.geomspace(2, 300, count)):
            for variant, (a, c) in lines.items():
                for repeat in range(1, 1 + (1 if variant == "original" else repeats)):
                    for scope in ("all", "subset"):
                        rate = a * np.log(x) + c + noise * rng.normal()
                        correct = round(500 * min(rate, 1))
                        rows.append((setting, f"s{i:02d}", variant, repeat, scope, x, correct))
    columns = ["setting", "subset", "variant", "repeat", "scope", "median_icd", "correct"]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.assign(network=frame["setting"], n=500, top1=frame["correct"] / 500)


def curves(**kwargs) -> Curves:
    return fit_curves(table(**kwargs), **HOW)


def draw(of: Curves, arms: list[CurveArm] = FOUR, scale: str = "log", **kwargs) -> Figure:
    return accuracy_against_icd(of, arms, scale, "A study", **kwargs)


def of_variant(panel: Axes, variant: str, marker: bool) -> list:
    """The panel's lines in a variant's colour, with or without markers."""
    colour = looks([variant])[variant].colour
    return [
        line
        for line in panel.get_lines()
        if np.allclose(to_rgb(line.get_color()), colour) and (line.get_marker() != "None") == marker
    ]


def print_places(panel: Axes, variant: str) -> np.ndarray:
    """Where on the page (n, 2), in pixels, a panel shows a variant's points."""
    (line,) = of_variant(panel, variant, marker=True)
    return line.get_transform().transform(line.get_xydata())


# Points and intervals


def test_points_are_means_over_repeats() -> None:
    data = table(repeats=3)
    panel = draw(fit_curves(data, **HOW)).axes[1]
    rows = data[(data["variant"] == "quant") & (data["scope"] == "subset")]
    (drawn,) = of_variant(panel, "quant", marker=True)
    assert len(rows) == 36 and len(drawn.get_ydata()) == 12
    np.testing.assert_allclose(drawn.get_ydata(), 100 * rows.groupby("subset")["top1"].mean())
    np.testing.assert_allclose(drawn.get_xdata(), rows["median_icd"].unique())


def test_repeats_on_the_same_images_do_not_narrow_an_interval() -> None:
    data = table(repeats=4, noise=0)
    low, high = intervals(points(fit_curves(data, **HOW), "net", "quant", "all"), 0.9)
    counts = data[(data["variant"] == "quant") & (data["scope"] == "all") & (data["repeat"] == 1)]
    for at, correct in enumerate(counts["correct"]):
        expected = binomtest(int(correct), 500).proportion_ci(0.9, method="wilson")
        assert (low[at], high[at]) == pytest.approx(expected, abs=1e-12)


def test_bars_have_the_confidence_asked_for() -> None:
    of = curves()
    lengths = []
    for confidence in (0.5, 0.99):
        bars = draw(of, confidence=confidence).axes[0].collections[0].get_segments()
        low, high = intervals(points(of, "net", "original", "all"), confidence)
        np.testing.assert_allclose(np.ptp(bars, axis=1)[:, 1], 100 * (high - low))
        lengths.append(np.ptp(bars, axis=1)[:, 1])
    assert (lengths[0] < lengths[1]).all()


def test_the_line_is_the_fitted_curve_and_within_its_band() -> None:
    of = curves()
    panel = draw(of).axes[0]
    (line,) = of_variant(panel, "quant", marker=False)
    x, fit = line.get_xdata(), of.fits["net", "quant", "all"]
    np.testing.assert_allclose(line.get_ydata(), 100 * (fit.a * np.log(x) + fit.c))
    assert (x.min(), x.max()) == pytest.approx((2, 300))
    edges = panel.collections[-1].get_paths()[0].vertices  # the last band, of FT + Quant
    low, high = of.fits["net", "ft_quant", "all"].band(x)
    assert edges[:, 1].min() == pytest.approx(100 * low.min())
    assert edges[:, 1].max() == pytest.approx(100 * min(high.max(), 1))


def test_too_few_subsets_are_drawn_without_a_curve() -> None:
    panel = draw(curves(count=2), crossed="quant").axes[0]
    assert not of_variant(panel, "quant", marker=False)
    assert len(of_variant(panel, "quant", marker=True)) == 1


# Panels and arms


def test_each_setting_has_a_row_unless_some_are_asked_for() -> None:
    of = curves(settings=("net", "log"))
    figure = draw(of)
    assert [panel.get_title().strip() for panel in figure.axes] == [*SCOPES.values()] * 2
    assert [[text.get_text() for text in panel.texts] for panel in figure.axes] == [
        ["net"],
        [],
        ["log"],
        [],
    ]
    one = draw(of, settings=["log"])
    assert [panel.get_title() for panel in one.axes] == ["All classes", "Subset's classes only"]


def test_only_the_arms_asked_for_are_drawn_and_named() -> None:
    figure = draw(curves(), [CurveArm(None, "original"), CurveArm(None, "quant", "4 bits")])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["Original", "4 bits"]
    assert not of_variant(figure.axes[0], "ft", marker=True)


def test_an_arm_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(DataError, match=r"no accuracy of net/mp53 on all to draw.*net/quant"):
        draw(curves(), [CurveArm(None, "mp53")])


def test_words_of_the_user_are_no_formulas() -> None:
    arms = [CurveArm(None, "original"), CurveArm(None, "quant", "$a$ net of $b$")]
    figure = accuracy_against_icd(
        curves(noise=0.001), arms, "log", "$5 and $6", scopes=["all"], crossed="quant"
    )
    assert figure._suptitle.get_text() == r"\$5 and \$6"
    label = r"\$a\$ net of \$b\$"
    assert figure.legends[0].get_texts()[1].get_text() == label
    assert figure.axes[0].texts[0].get_text().startswith(f"{label} crosses Original at")


# The crossing


def crossed_at(panel: Axes) -> list[tuple[float, float]]:
    """The ends in x of the marks at the panel's foot: a tick and perhaps an interval."""
    foot = panel.get_xaxis_transform()
    bars = [bar for bar in panel.collections if bar.get_transform() == foot]
    return [tuple(segment[:, 0]) for bar in bars for segment in bar.get_segments()]


def test_a_crossing_is_marked_on_all_at_its_place() -> None:
    of = curves()
    on_all, on_subset = draw(of, crossed="quant").axes
    crossing = of.crossings["net", "quant", "all"]
    assert crossing.x == pytest.approx(np.exp(3.75), rel=0.3)
    (text,) = on_all.texts
    assert crossed_at(on_all) == [(crossing.x, crossing.x), (crossing.low, crossing.high)]
    assert text.get_text().startswith(f"Quant crosses Original at {crossing.x:.2g} (")
    assert not on_subset.texts and not crossed_at(on_subset)


# Another study's curves


def test_published_curves_are_dashed_on_an_axis_of_their_own() -> None:
    published = fit_curves(table(("log",)).assign(median_icd=lambda t: t["median_icd"] / 50), **HOW)
    alone, laid_over = draw(curves()), draw(curves(), published=published)
    assert laid_over.axes[0].get_xlim() == alone.axes[0].get_xlim()
    tops = laid_over.axes[2:]
    assert len(tops) == 2
    for top, scope in zip(tops, ("all", "subset"), strict=True):
        assert "own features" in top.get_xlabel()
        assert {line.get_linestyle() for line in top.get_lines()} == {"--"}
        (line,) = of_variant(top, "quant", marker=False)
        fit = published.fits["log", "quant", scope]
        np.testing.assert_allclose(line.get_ydata(), 100 * fit.at(line.get_xdata()))
        assert top.get_xlim()[1] < 10  # 300 / 50 and a margin
    texts = [text.get_text() for text in laid_over.legends[0].get_texts()]
    assert texts[-1] == "published"


# Scripts


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    data = table(repeats=2).drop(columns="setting")
    twin = data[data["subset"] == "s04"].assign(subset="twin", correct=0, top1=0.0)
    both = pd.concat([data, twin])
    both.to_csv(tmp_path / "accuracy.csv", index=False)
    chosen = both[["subset", "median_icd"]].drop_duplicates("subset")
    chosen = chosen.assign(duplicate_of=[""] * (len(chosen) - 1) + ["s04"])
    chosen.to_csv(tmp_path / "subsets.csv", index=False)
    return {key: str(tmp_path / f"{key}.csv") for key in ("accuracy", "subsets")}


def settings(**more) -> dict:
    arms = [[None, arm.variant, None] for arm in FOUR]
    given = {"title": "A study", "scale": "log", "arms": arms, "settings": [], "crossed": "quant"}
    given |= {"scopes": ["all", "subset"], "published": [], **HOW}
    return json.loads(json.dumps(given | more))  # as params hand them over


def test_the_figure_is_written_twice_with_the_same_bytes(files: dict, tmp_path: Path) -> None:
    for run in "ab":
        (tmp_path / run).mkdir()
        outputs = {key: str(tmp_path / run / f"fig5.{key}") for key in ("pdf", "png")}
        plot_accuracy(**files, **outputs, **settings())
    for file in ("fig5.pdf", "fig5.png"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_tables_of_curves_and_differences_leave_duplicates_out(files: dict, tmp_path: Path) -> None:
    outputs = {key: str(tmp_path / f"{key}_out.csv") for key in ("curves", "differences")}
    fit_curves_script(**files, **outputs, controls={}, **HOW)
    made = pd.read_csv(outputs["curves"]).set_index(["setting", "variant", "scope"])
    assert made.loc[("net", "quant", "all"), ["n", "subsets"]].tolist() == [24, 12]
    data = table(repeats=2)
    rows = data[(data["variant"] == "quant") & (data["scope"] == "all")]
    slope, intercept = np.polyfit(np.log(rows["median_icd"]), rows["top1"], 1)
    fitted = made.loc[("net", "quant", "all"), ["a", "c"]].astype(float)
    np.testing.assert_allclose(fitted, [slope, intercept], rtol=1e-6)
    compared = pd.read_csv(outputs["differences"])
    assert set(compared["reference"]) == {"original", "quant", "ft"}
    assert (compared["n"] == 12).all()


# The published study


LOG = Path(__file__).parents[3] / "shared/published/Quantization_Log_resnet50_4bit.csv"


@pytest.mark.skipif(not LOG.exists(), reason="the published logs are not here")
def test_the_published_curves_cross_where_their_equations_say(files: dict, tmp_path: Path) -> None:
    from laq.data.published import read

    of = fit_curves(read(LOG, "4bit", 100), **HOW)
    panel = draw(of, scale="linear", crossed="quant").axes[0]
    fits = of.fits["4bit", "quant", "all"], of.fits["4bit", "original", "all"]
    at = np.exp((fits[1].c - fits[0].c) / (fits[0].a - fits[1].a))
    assert crossed_at(panel)[0] == pytest.approx((at, at))
    assert panel.texts[0].get_text() == "Quant crosses Original at 13 (11 to 15)"
    outputs = {key: str(tmp_path / f"fig5.{key}") for key in ("pdf", "png")}
    plot_accuracy(**files, **outputs, **settings(published=[str(LOG)]))
    assert Path(outputs["pdf"]).stat().st_size > 10_000
