"""Published gains beside a study's own, and how their ranks agree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from scipy import stats

from compare_published import compare_published
from laq.analysis.replication import COLUMNS, CORRELATIONS, correlate, side_by_side
from laq.analysis.statistics import holm
from laq.data.published import read_log
from laq.utils.errors import DataError
from laq.utils.files import read_table, write_csv, write_json, write_parquet
from plot_replication import plot_replication
from tests.logs import ORIGINAL, QUANT, row, write

NAMES = list("abcdefghij")
PAIRS = [(n, n + 1) for n in range(8)]
SUB = " (Pick Sub)"
HOW = {"confidence": 0.95, "resamples": 200, "seed": 0}
# Of each subset, in points: what the other study gained on All and Sub, and what two repeats did.
THEIRS = np.array([-9, -4, -6, 0, 2, 1, 7, 5])
THEIR_SUB = THEIRS[::-1] - 10
OURS = np.array([-5, -4, -3, -2, -1, 0, 1, 2])


def log(path: Path, gains: np.ndarray = THEIRS, **edits: Any) -> str:
    """A log of all subsets, in another order and with other indices than here."""
    rows = []
    for (a, b), gain, sub in zip(PAIRS, gains, THEIR_SUB, strict=True):
        rates = {ORIGINAL: 0.8, QUANT: round(0.8 + gain / 100, 3)}
        rates |= {ORIGINAL + SUB: 0.9, QUANT + SUB: round(0.9 + sub / 100, 3)}
        names = {"Subset_Classes": str([NAMES[b], NAMES[a]])}
        rows.append(row((90 - b, 90 - a), float(2 + a), **names, **rates, **edits))
    return str(write(path, rows[::-1]))


def subset(n: int) -> dict[str, Any]:
    indices = list(PAIRS[n])
    icd = dict.fromkeys(["median_icd", "mean_icd", "min_icd", "max_icd"], float(n + 1))
    classes = [NAMES[i] for i in indices]
    of = {"subset": f"s{n}", "kind": "log", "target": None, "seed": 0}
    return {**of, "indices": indices, "classes": classes, **icd}


SUBSETS = [subset(n) for n in range(len(PAIRS))]


def accuracy(variants: tuple[str, ...] = ("q4",), settings: tuple[str, ...] = ("net",)) -> Any:
    """Top-1: the original .5 everywhere, two repeats a point about what a variant gained."""
    rows = []
    for setting in settings:
        for n, gained in enumerate(OURS):
            for scope in ("all", "subset"):
                ids = {"network": setting, "subset": f"s{n}", "scope": scope}
                ids |= {"median_icd": n + 1.0, "mean_icd": n + 1.0, "n": 1000}
                rows.append({**ids, "variant": "original", "repeat": 1, "correct": 500})
                for variant in variants:
                    for repeat in (1, 2):
                        correct = 500 + 10 * int(gained) + (10 if repeat == 1 else -10)
                        rows.append(
                            {**ids, "variant": variant, "repeat": repeat} | {"correct": correct}
                        )
    table = pd.DataFrame(rows)
    table["top1"] = table["correct"] / table["n"]
    return table


def read(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(setting=table["network"])


def beside(tmp_path: Path, **how: Any) -> pd.DataFrame:
    logs = {"q4": read_log(log(tmp_path / "four.csv"))}
    return side_by_side(read(accuracy(**how)), SUBSETS, logs, NAMES)


def test_gains_stand_side_by_side_subset_by_subset(tmp_path: Path) -> None:
    found = beside(tmp_path)
    assert list(found.columns) == COLUMNS
    assert len(found) == 2 * len(PAIRS)
    for scope, theirs in (("all", THEIRS), ("subset", THEIR_SUB)):
        part = found[found["scope"] == scope]
        assert part["subset"].tolist() == [f"s{n}" for n in range(8)]
        np.testing.assert_allclose(100 * part["published"].astype(float), theirs, atol=1e-9)
        np.testing.assert_allclose(100 * part["ours"].astype(float), OURS, atol=1e-9)
        np.testing.assert_allclose(100 * part["low"].astype(float), OURS - 1, atol=1e-9)
        np.testing.assert_allclose(100 * part["high"].astype(float), OURS + 1, atol=1e-9)
    assert set(found["log"]) == {"four.csv"}
    assert set(found["repeats"]) == {2} and set(found["rows"]) == {1}
    assert found["published_icd"].tolist()[:8] == [2.0 + n for n in range(8)]
    assert found["median_icd"].tolist()[:8] == [1.0 + n for n in range(8)]


def test_rows_of_one_subset_are_averaged_and_one_repeat_has_no_range(tmp_path: Path) -> None:
    again = row((7, 8), 2.0, Subset_Classes="['a', 'b']", **{ORIGINAL: 0.8, QUANT: 0.8})
    path = log(tmp_path / "four.csv")
    rows = pd.read_csv(path).to_dict("records")
    write(Path(path), [*rows, again])
    table = read(accuracy())
    table = table[table["repeat"] == 1]
    found = side_by_side(table, SUBSETS, {"q4": read_log(path)}, NAMES)
    first = found[(found["subset"] == "s0") & (found["scope"] == "all")].iloc[0]
    assert first["rows"] == 2 and first["published"] == pytest.approx(-0.045)
    assert found["low"].isna().all() and found["high"].isna().all()


def test_subsets_that_a_log_lacks_are_left_out_and_one_with_none_is_refused(tmp_path: Path) -> None:
    path = Path(log(tmp_path / "four.csv"))
    rows = pd.read_csv(path).to_dict("records")
    odd = row((1, 2), Subset_Classes="['a', 'zebra']")
    found = side_by_side(
        read(accuracy()), SUBSETS, {"q4": read_log(write(path, [*rows[:3], odd]))}, NAMES
    )
    assert sorted(set(found["subset"])) == ["s5", "s6", "s7"]
    with pytest.raises(DataError, match=r"four\.csv has none of the study's subsets; take them"):
        side_by_side(read(accuracy()), SUBSETS, {"q4": read_log(write(path, [odd]))}, NAMES)


def test_correlations_are_those_of_scipy(tmp_path: Path) -> None:
    found = correlate(beside(tmp_path, settings=("net", "other")), None, **HOW)
    assert list(found.columns) == CORRELATIONS
    gains = found[found["compared"] == "gain"]
    assert gains["setting"].tolist() == ["net", "net", "other", "other"]
    assert gains["scope"].tolist() == ["all", "subset"] * 2
    for scope, theirs in (("all", THEIRS), ("subset", THEIR_SUB)):
        part = gains[gains["scope"] == scope]
        rho = stats.spearmanr(theirs, OURS).statistic
        np.testing.assert_allclose(part["spearman"], rho)
        np.testing.assert_allclose(100 * part["published"], theirs.mean())
        np.testing.assert_allclose(100 * part["ours"], OURS.mean())
        assert (part["low"] < rho).all() and (part["high"] > rho).all()
    (median,) = found[found["compared"] == "median_icd"].to_dict("records")
    assert (median["spearman"], median["n"]) == (1.0, 8)
    np.testing.assert_allclose(found["p_holm"], holm(found["p"]))


def distances(seed: int = 0) -> pd.DataFrame:
    points = np.random.default_rng(seed).normal(size=(len(NAMES), 2))
    matrix = np.square(points[:, None] - points[None]).sum(axis=-1)
    return pd.DataFrame((matrix + matrix.T) / 2, NAMES, NAMES)


def files(folder: Path, table: pd.DataFrame) -> dict[str, Any]:
    write_csv(folder / "accuracy.csv", table)
    listed = pd.DataFrame(SUBSETS).drop(columns=["indices", "classes"]).assign(duplicate_of="")
    write_csv(folder / "subsets.csv", listed)
    for each in SUBSETS:
        write_json(folder / f"{each['subset']}.json", each)
    write_parquet(folder / "kl_matrix.parquet", distances())
    return {
        "accuracy": str(folder / "accuracy.csv"),
        "table": str(folder / "subsets.csv"),
        "subsets": [str(folder / f"{each['subset']}.json") for each in SUBSETS],
        "matrix": str(folder / "kl_matrix.parquet"),
    }


def run(folder: Path, given: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    paths = files(folder, accuracy(("q4", "q3")))
    logs = [log(folder / "four.csv"), log(folder / "three.csv", THEIRS[::-1])]
    made = {"replication": str(folder / "r.csv"), "correlations": str(folder / "c.csv")}
    compare_published(**paths, logs=logs, given=given, **made, variants=["q4", "q3"], **HOW)
    return pd.read_csv(made["replication"]), pd.read_csv(made["correlations"])


def test_the_script_pairs_each_log_with_its_variant(tmp_path: Path) -> None:
    table, correlations = run(tmp_path, [])
    on_all = correlations[correlations["scope"] == "all"].set_index("variant")["spearman"]
    assert on_all["q4"] == pytest.approx(-on_all["q3"])
    assert dict(zip(table["variant"], table["log"], strict=True)) == {
        "q4": "four.csv",
        "q3": "three.csv",
    }
    # Distances once, however many logs there are.
    assert correlations["compared"].tolist() == ["gain"] * 4 + ["median_icd"]
    before = (tmp_path / "r.csv").read_bytes(), (tmp_path / "c.csv").read_bytes()
    run(tmp_path, [])
    assert before == ((tmp_path / "r.csv").read_bytes(), (tmp_path / "c.csv").read_bytes())


def test_a_matrix_in_another_order_is_put_into_ours(tmp_path: Path) -> None:
    given = tmp_path / "theirs.csv"
    distances().iloc[::-1, ::-1].to_csv(given)
    _, correlations = run(tmp_path, [str(given)])
    (last,) = correlations[correlations["compared"] == "icd_matrix"].to_dict("records")
    assert (last["spearman"], last["n"]) == (pytest.approx(1.0), len(NAMES))
    assert last["p"] < 0.01


def test_the_figure_has_a_panel_a_variant_and_scope(tmp_path: Path) -> None:
    run(tmp_path, [])
    paths = {"replication": str(tmp_path / "r.csv"), "correlations": str(tmp_path / "c.csv")}
    pdf, png = tmp_path / "replication.pdf", tmp_path / "replication.png"
    plot_replication(**paths, pdf=str(pdf), png=str(png), title="A $study", variants=["q4", "q3"])
    assert pdf.read_bytes().startswith(b"%PDF") and png.read_bytes().startswith(b"\x89PNG")

    from laq.figures.replication import replicated

    read = read_table(paths["replication"]), read_table(paths["correlations"])
    figure = replicated(*read, "A study", ["q4", "q3"])
    try:
        assert len(figure.axes) == 4
        panel = figure.axes[1]
        (points,) = (line for line in panel.get_lines() if len(line.get_xdata()) == 8)
        np.testing.assert_allclose(points.get_xdata(), THEIR_SUB, atol=1e-9)
        np.testing.assert_allclose(points.get_ydata(), OURS, atol=1e-9)
        (bars,) = panel.collections
        spans = [segment[:, 1] for segment in bars.get_segments()]
        np.testing.assert_allclose(spans, np.c_[OURS - 1, OURS + 1], atol=1e-9)
        assert "n = 8" in panel.texts[0].get_text() + panel.texts[-1].get_text()
        legend = [text.get_text() for text in figure.legends[0].get_texts()]
        assert legend == ["One subset", "Least to largest repeat", "The same gain"]
    finally:
        plt.close("all")
