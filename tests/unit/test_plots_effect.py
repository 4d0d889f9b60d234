"""Figure 8: gain by calibration images and bits, and predictions inside the subset."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from laq.analysis.observations import arm
from laq.analysis.statistics import mean_interval
from laq.figures.effect import Base, effect, gains, inside
from laq.figures.style import looks
from laq.utils.errors import DataError
from plot_effect import plot_effect

BASE = Base(4, 64)
HOW = {"confidence": 0.95, "resamples": 200, "seed": 0}
PAIRS = [(2, 64), (3, 64), (4, 16), (4, 64), (4, 256), (32, 64)]


@pytest.fixture(autouse=True)
def no_figures_left() -> Iterator[None]:
    yield
    plt.close("all")


def tables(
    count: int = 8, networks: tuple[str, ...] = ("net",), repeats: int = 1
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Accuracy of the original and a sweep: each point has a gain of its own, and noise."""
    rng = np.random.default_rng(2)
    accuracy, sweep = [], []
    for network in networks:
        for i in range(count):
            common = {"network": network, "subset": f"s{i}", "median_icd": 2.0 + i, "n": 500}
            for scope in ("all", "subset"):
                base = {**common, "scope": scope, "repeat": 1}
                correct, within = 400 + 5 * i, 450 + i
                accuracy.append({**base, **_counts(correct, within), "variant": "original"})
                for bits, images in PAIRS:
                    for classes in ("subset", "all"):
                        for repeat in range(1, repeats + 1):
                            gain = bits + images // 16 - 20 * (classes == "all")
                            gain += rng.integers(-8, 9)
                            ids = {"bits": bits, "images": images, "classes": classes}
                            counts = _counts(correct + gain, within + gain)
                            sweep.append({**base, **ids, **counts, "repeat": repeat})
    accuracy = pd.DataFrame(accuracy)
    return accuracy.assign(setting=accuracy["network"]), pd.DataFrame(sweep)


def _counts(correct: int, within: int) -> dict[str, float]:
    return {"correct": correct, "top1": correct / 500, "in_subset": within}


def draw(accuracy: pd.DataFrame, sweep: pd.DataFrame, base: Base = BASE) -> Figure:
    return effect(accuracy, sweep, base, "A study", **HOW)


def drawn(panel: Axes, key: str) -> np.ndarray:
    """The points (n, 2) that a panel shows in a variant's look."""
    look = looks([key])[key]
    lines = [
        line
        for line in panel.get_lines()
        if line.get_marker() == look.marker and np.allclose(to_rgb(line.get_color()), look.colour)
    ]
    return np.concatenate([line.get_xydata() for line in lines])


def test_gains_are_mean_differences_of_the_same_subsets() -> None:
    accuracy, sweep = tables(repeats=2)
    sweep = sweep[sweep["scope"] == "all"]
    original = arm(accuracy, "net", "original", "all")
    made = gains(sweep, original, partial(mean_interval, **HOW))
    assert len(made) == 12 and (made["n"] == 8).all()
    for _, row in made.iterrows():
        part = sweep[
            (sweep[["bits", "images", "classes"]] == row[["bits", "images", "classes"]]).all(axis=1)
        ]
        # Equal numbers of repeats: the mean of means is the mean.
        expected = 100 * (part["top1"].mean() - original.mean())
        assert row["value"] == pytest.approx(expected)
        assert row["low"] < row["value"] < row["high"]


def test_a_subset_that_the_original_lacks_is_no_observation() -> None:
    accuracy, sweep = tables()
    original = arm(accuracy, "net", "original", "all").drop("s3")
    made = gains(sweep[sweep["scope"] == "all"], original, partial(mean_interval, **HOW))
    assert (made["n"] == 7).all()


def test_panels_show_the_points_that_differ_from_the_base_in_one_setting() -> None:
    accuracy, sweep = tables()
    figure = draw(accuracy, sweep)
    images, bits, _ = figure.axes
    made = gains(
        sweep[sweep["scope"] == "all"],
        arm(accuracy, "net", "original", "all"),
        partial(mean_interval, **HOW),
    ).set_index(["bits", "images", "classes"])["value"]
    for key, classes in (("quant", "subset"), ("agnostic", "all")):
        np.testing.assert_allclose(
            drawn(images, key), [(i, made[4, i, classes]) for i in (16, 64, 256)]
        )
        expected = [(place, made[b, 64, classes]) for place, b in enumerate((2, 3, 4, 32))]
        rounded = expected[:3] if key == "quant" else expected
        np.testing.assert_allclose(drawn(bits, key), rounded)
    np.testing.assert_allclose(drawn(bits, "bits32"), [(3, made[32, 64, "subset"])])
    assert images.get_xscale() == "log"
    assert [text.get_text() for text in images.get_xticklabels()] == ["16", "64", "256"]
    assert [text.get_text() for text in bits.get_xticklabels()] == ["2", "3", "4", "32"]


def test_predictions_inside_are_shares_over_all_classes() -> None:
    accuracy, sweep = tables(repeats=2)
    sweep = sweep[sweep["scope"] == "all"]
    shares = inside(accuracy, sweep, "net", BASE)
    assert list(shares) == ["original", "agnostic", "quant", "bits32"]
    np.testing.assert_allclose(shares["original"], [100 * (450 + i) / 500 for i in range(8)])
    part = sweep[(sweep["bits"] == 32) & (sweep["classes"] == "subset") & (sweep["subset"] == "s2")]
    assert len(part) == 2
    assert shares["bits32"]["s2"] == pytest.approx(100 * part["in_subset"].mean() / 500)


def test_the_third_panel_shows_changes_within_subsets_and_the_originals_share() -> None:
    accuracy, sweep = tables()
    panel = draw(accuracy, sweep).axes[2]
    shares = inside(accuracy, sweep[sweep["scope"] == "all"], "net", BASE)
    for place, key in enumerate(("agnostic", "quant", "bits32")):
        change = (shares[key] - shares["original"]).mean()
        np.testing.assert_allclose(drawn(panel, key), [(place, change)])
    assert panel.get_xlabel() == f"Original: {shares['original'].mean():.1f} % inside"


def test_without_32_bits_the_control_is_left_out() -> None:
    accuracy, sweep = tables()
    figure = draw(accuracy, sweep[sweep["bits"] != 32])
    assert len(figure.axes[2].get_xticks()) == 2


def test_a_sweep_of_one_setting_alone_is_drawn() -> None:
    accuracy, sweep = tables()
    images, bits, _ = draw(accuracy, sweep[sweep["images"] == 64]).axes
    assert len(drawn(images, "quant")) == 1
    assert len(drawn(bits, "quant")) == 3 and len(drawn(bits, "bits32")) == 1


def inside_frame(panel: Axes) -> bool:
    """Whether each marker, where it is drawn and not where its data are, is in the panel."""
    frame, room = panel.get_window_extent(), 2 * panel.figure.dpi / 72
    at = [
        line.get_transform().transform(line.get_xydata())[:, 0]
        for line in panel.get_lines()
        if line.get_marker() in "sX*"
    ]
    places = np.concatenate(at)
    return bool((places - room >= frame.x0).all() and (places + room <= frame.x1).all())


@pytest.mark.parametrize("counts", [[64], [16, 64, 256], [2**power for power in range(1, 13)]])
def test_any_number_of_image_counts_is_seen_and_labelled(counts: list[int]) -> None:
    accuracy, sweep = tables()
    part = sweep[(sweep["bits"] == 4) & (sweep["images"] == 64)]
    figure = draw(accuracy, pd.concat([part.assign(images=count) for count in counts]))
    figure.draw_without_rendering()
    panel = figure.axes[0]
    assert len(drawn(panel, "quant")) == len(counts) and inside_frame(panel)
    assert_apart(panel)
    if len(counts) <= 3:
        texts = [text.get_text() for text in panel.get_xticklabels()]
        assert texts == [f"{count:,}" for count in counts]


@pytest.mark.parametrize("bits", [[4], [2, 3, 4, 32], [2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 24, 32]])
def test_any_number_of_bits_is_seen_and_labelled(bits: list[int]) -> None:
    accuracy, sweep = tables()
    part = sweep[(sweep["bits"] == 4) & (sweep["images"] == 64)]
    figure = draw(accuracy, pd.concat([part.assign(bits=count) for count in bits]))
    figure.draw_without_rendering()
    assert all(inside_frame(panel) for panel in figure.axes)
    assert_apart(figure.axes[1])


def assert_apart(panel: Axes) -> None:
    """Labels of ticks on the x axis, of which the ends are there, have a gap between them."""
    texts = panel.get_xticklabels()
    assert texts[0].get_text() and texts[-1].get_text()
    boxes = [text.get_window_extent() for text in texts if text.get_text()]
    gap = 1.5 * panel.figure.dpi / 72
    assert all(one.x1 + gap < other.x0 for one, other in pairwise(boxes))


def test_a_great_loss_at_few_bits_does_not_hide_what_the_others_gain() -> None:
    accuracy, sweep = tables()
    sweep.loc[sweep["bits"] == 2, "top1"] -= 0.3
    figure = draw(accuracy, sweep[sweep["bits"] < 32])
    figure.draw_without_rendering()
    images, bits, _ = figure.axes
    assert bits.get_yscale() == "symlog" and "logarithmic beyond ±2" in bits.get_ylabel()
    assert images.get_yscale() == "linear" and "logarithmic" not in images.get_ylabel()
    frame = bits.get_window_extent()
    heights = bits.transData.transform(drawn(bits, "quant"))[:, 1]
    assert frame.y0 < heights.min() and heights.max() < frame.y1
    one, zero = (bits.transData.transform((0, y))[1] for y in (1, 0))
    assert (one - zero) / frame.height > 0.1  # a point can be read
    labels = [text for text in bits.get_yticklabels() if text.get_text()]
    seen = [text.get_window_extent() for text in labels]
    seen = [box for box in seen if frame.y0 <= box.y0 and box.y1 <= frame.y1]
    seen.sort(key=lambda box: box.y0)
    assert len(seen) >= 4
    assert all(low.y1 < high.y0 for low, high in pairwise(seen))


def test_gains_of_a_few_points_have_a_linear_axis() -> None:
    accuracy, sweep = tables()
    bits = draw(accuracy, sweep[sweep["bits"] < 32]).axes[1]
    assert bits.get_yscale() == "linear" and "logarithmic" not in bits.get_ylabel()


def test_the_control_is_a_line_with_a_band_among_the_calibration_images() -> None:
    accuracy, sweep = tables()
    images = draw(accuracy, sweep).axes[0]
    original = arm(accuracy, "net", "original", "all")
    made = gains(sweep[sweep["scope"] == "all"], original, partial(mean_interval, **HOW))
    control = made.set_index(["bits", "images", "classes"]).loc[(32, 64, "subset")]
    colour = looks(["bits32"])["bits32"].colour
    (line,) = [line for line in images.get_lines() if line.get_color() == colour]
    assert list(line.get_ydata()) == [control["value"]] * 2
    (band,) = images.patches
    ends = (band.get_y(), band.get_y() + band.get_height())
    assert ends == pytest.approx((control["low"], control["high"]))
    without = draw(accuracy, sweep[sweep["bits"] != 32]).axes[0]
    assert not without.patches


@pytest.mark.parametrize(
    ("kept", "named"),
    [
        ("bits > 0", ["Label-aware", "Label-agnostic", "Label-aware, 32 bits"]),
        ("bits < 32", ["Label-aware", "Label-agnostic"]),
        ("classes == 'subset' and bits < 32", ["Label-aware"]),
        ("classes == 'subset'", ["Label-aware", "Label-aware, 32 bits"]),
    ],
)
def test_the_legend_names_what_is_drawn_alone(kept: str, named: list[str]) -> None:
    accuracy, sweep = tables()
    legend = draw(accuracy, sweep.query(kept)).legends[0]
    assert [text.get_text() for text in legend.get_texts()] == [*named, "Original", "One subset"]


def test_few_subsets_have_means_without_intervals() -> None:
    figure = draw(*tables(count=3))
    assert len(drawn(figure.axes[0], "quant")) == 3
    assert np.isfinite(figure.axes[0].get_ylim()).all()


@pytest.mark.parametrize("count", [3, 8])
def test_everything_drawn_is_inside_the_panels(count: int) -> None:
    figure = draw(*tables(count=count))
    figure.draw_without_rendering()
    for panel in figure.axes:
        low, high = panel.get_ylim()
        assert low < 0 < high
        for line in panel.get_lines():
            assert ((line.get_ydata() >= low) & (line.get_ydata() <= high)).all()
        for bars in panel.collections:
            for segment in bars.get_segments():
                y = segment[:, 1] if len(segment) else np.empty(0)  # none without an interval
                assert ((y >= low) & (y <= high)).all()


def test_each_network_has_a_row_of_panels() -> None:
    figure = draw(*tables(networks=("small", "large")))
    assert len(figure.axes) == 6
    assert figure.axes[3].get_title().strip() == "(a) Calibration images"
    assert [text.get_text() for panel in figure.axes for text in panel.texts] == ["small", "large"]


LONG = "wide_resnet_50_2_of_a_long_name_for_$5$_trained_twice_on_all_there_was_and_then_once_more"


@pytest.mark.parametrize("networks", [("small_resnet", "large_resnet"), ("a", LONG), (LONG,)])
def test_words_do_not_lie_over_each_other(networks: tuple[str, ...]) -> None:
    accuracy, sweep = tables(networks=networks)
    figure = effect(accuracy, sweep, BASE, "$1 and $2: " + "many words " * 12, **HOW)
    figure.draw_without_rendering()
    for panel in figure.axes:
        for name in panel.texts:  # over titles, which are as wide as panels, not as the row
            box = name.get_window_extent()
            assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1
            assert box.y0 > panel.title.get_window_extent().y0 + figure.dpi * 9 / 72
            name.set_visible(False)
    assert r"\$1 and \$2" in figure._suptitle.get_text()
    boxes = [panel.get_tightbbox() for panel in figure.axes]
    boxes += [figure.legends[0].get_window_extent(), figure._suptitle.get_window_extent()]
    page = figure.bbox
    for at, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[at + 1 :])
        assert page.x0 <= box.x0 and box.x1 <= page.x1


def test_tables_of_two_studies_are_refused() -> None:
    accuracy, sweep = tables()
    with pytest.raises(DataError, match="sweep of net has no subset of the accuracy table"):
        draw(accuracy, sweep.assign(subset="elsewhere"))


def test_the_script_writes_the_same_bytes_twice_and_leaves_duplicates_out(tmp_path: Path) -> None:
    accuracy, sweep = tables()
    odd = sweep[sweep["subset"] == "s1"].assign(subset="twin", top1=0.0, correct=0)
    paths = {key: str(tmp_path / f"{key}.csv") for key in ("accuracy", "subsets", "sweep")}
    accuracy.drop(columns="setting").to_csv(paths["accuracy"], index=False)
    chosen = accuracy[["subset", "median_icd"]].drop_duplicates("subset").assign(duplicate_of="")
    chosen.to_csv(paths["subsets"], index=False)
    swept = sorted(set(accuracy["subset"]))
    shared = {"title": "A study", "base": {"bits": 4, "images": 64}, "swept": swept, **HOW}
    for run, table in (("a", sweep), ("b", pd.concat([sweep, odd]))):
        table.to_csv(paths["sweep"], index=False)
        outputs = {key: str(tmp_path / run / f"fig8.{key}") for key in ("pdf", "png")}
        plot_effect(**paths, **outputs, **shared)
    for file in ("fig8.pdf", "fig8.png"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_the_sweep_may_have_fewer_subsets_than_the_study(tmp_path: Path) -> None:
    accuracy, sweep = tables()
    paths = {key: str(tmp_path / f"{key}.csv") for key in ("accuracy", "subsets", "sweep")}
    chosen = accuracy[["subset", "median_icd"]].drop_duplicates("subset").assign(duplicate_of="")
    chosen.to_csv(paths["subsets"], index=False)
    accuracy.to_csv(paths["accuracy"], index=False)
    sweep[sweep["subset"] != "s1"].to_csv(paths["sweep"], index=False)
    all_subsets = sorted(set(accuracy["subset"]))
    shared = {**paths, "title": "", "base": vars(BASE), **HOW}
    outputs = {key: str(tmp_path / f"fig8.{key}") for key in ("pdf", "png")}
    with pytest.raises(DataError, match="no row of net on s1"):
        plot_effect(**shared, **outputs, swept=all_subsets)
    plot_effect(**shared, **outputs, swept=[name for name in all_subsets if name != "s1"])
    assert (tmp_path / "fig8.pdf").is_file()


def test_a_sweep_without_a_column_is_refused(tmp_path: Path) -> None:
    accuracy, sweep = tables()
    paths = {key: str(tmp_path / f"{key}.csv") for key in ("accuracy", "subsets", "sweep")}
    accuracy.to_csv(paths["accuracy"], index=False)
    chosen = accuracy[["subset", "median_icd"]].drop_duplicates("subset").assign(duplicate_of="")
    chosen.to_csv(paths["subsets"], index=False)
    sweep.drop(columns="in_subset").to_csv(paths["sweep"], index=False)
    with pytest.raises(DataError, match="lacks the column in_subset"):
        plot_effect(**paths, pdf="x.pdf", png="x.png", title="", base=vars(BASE), swept=[], **HOW)
