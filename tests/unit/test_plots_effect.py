"""Figure 8: gain by calibration images and bits, and predictions inside the subset."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
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
